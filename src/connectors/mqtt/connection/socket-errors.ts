import { type ErrorCode, PenstockError } from '../../../errors.ts';
import type { Endpoint } from '../config/address.ts';

/** Translates what Node says about TCP and TLS. `undefined` stands for a connection that was closed without a word. */

const networkCodes: Readonly<Record<string, [ErrorCode, string]>> = {
  ECONNREFUSED: ['connection_refused', 'nothing listens on this port'],
  ETIMEDOUT: ['connection_timeout', 'the server does not answer'],
  EHOSTUNREACH: ['network_unreachable', 'there is no route to the host'],
  ENETUNREACH: ['network_unreachable', 'there is no route to the network'],
  EADDRNOTAVAIL: ['network_unreachable', 'no local address can reach it'],
};

const networkHints: Partial<Record<ErrorCode, string>> = {
  connection_refused: 'Check the port, and that the broker runs and listens on this address.',
  connection_timeout: 'Check the address, and that no firewall drops the connection.',
  network_unreachable: 'Check the address and the routes of the machine Penstock runs on.',
};

/** The error for a TCP connection that failed. */
export function socketError(error: NodeJS.ErrnoException | undefined, endpoint: Endpoint): PenstockError {
  const [code, words] = networkCodes[error?.code ?? ''] ?? [
    'connection_lost',
    error?.code ?? 'it was closed at once',
  ];
  const hint = networkHints[code];
  return new PenstockError(code, `Cannot connect to ${endpoint.host} port ${endpoint.port}: ${words}`, {
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}

interface TlsReason {
  code: ErrorCode;
  message: string;
  hint: string;
}

const untrusted = (message: string): TlsReason => ({
  code: 'tls_unknown_issuer',
  message,
  hint: "Put the certificate of the broker's issuer (its CA) into tls.ca.",
});

const refusedCertificate = (message: string): TlsReason => ({
  code: 'tls_client_certificate_refused',
  message,
  hint: 'Check that tls.cert is valid, not revoked, and issued by a CA that the broker trusts.',
});

const noCertificate: TlsReason = {
  code: 'tls_client_certificate_required',
  message: 'The server asks for a client certificate',
  hint: 'Put the client certificate into tls.cert and its private key into tls.key.',
};

const notTls: TlsReason = {
  code: 'tls_not_spoken',
  message: 'The server answers in something that is not TLS',
  hint: 'Use mqtt:// if this port has no TLS, or the port that has it (usually 8883).',
};

/** By the code of Node's or OpenSSL's error. The alert numbers behind the names are those of RFC 8446, section 6. */
const tlsReasons: Readonly<Record<string, TlsReason>> = {
  CERT_HAS_EXPIRED: {
    code: 'tls_certificate_expired',
    message: 'The server certificate has expired',
    hint: "Renew the broker's certificate.",
  },
  CERT_NOT_YET_VALID: {
    code: 'tls_certificate_expired',
    message: 'The server certificate is not valid yet',
    hint: "Check the clocks of the broker and of this machine, and the certificate's first day.",
  },
  DEPTH_ZERO_SELF_SIGNED_CERT: {
    code: 'tls_self_signed',
    message: 'The server certificate is signed by itself and not trusted',
    hint: 'If it is the certificate you expect, put it into tls.ca.',
  },
  SELF_SIGNED_CERT_IN_CHAIN: untrusted('The server certificate comes from an issuer that is not trusted'),
  UNABLE_TO_GET_ISSUER_CERT: untrusted('The issuer of the server certificate is not known'),
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted('The issuer of the server certificate is not known'),
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted('The issuer of the server certificate is not known'),
  CERT_SIGNATURE_FAILURE: untrusted('The signature of the server certificate does not fit its issuer'),
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: noCertificate,
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: refusedCertificate(
    'The server does not know the issuer of the client certificate',
  ),
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: refusedCertificate('The server refuses the client certificate'),
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: refusedCertificate(
    'The server cannot use the client certificate',
  ),
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: refusedCertificate('The client certificate has been revoked'),
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: refusedCertificate('The client certificate has expired'),
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: refusedCertificate('The server refuses the client certificate'),
  ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR: refusedCertificate('The server cannot verify the client certificate'),
  ERR_SSL_TLSV1_ALERT_ACCESS_DENIED: refusedCertificate(
    'The server denies access to this client certificate',
  ),
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: {
    code: 'tls_failed',
    message: 'The server refuses the TLS handshake',
    hint: 'It may want a client certificate (tls.cert, tls.key), or ciphers that this client does not offer.',
  },
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: {
    code: 'tls_failed',
    message: 'The server knows none of the application protocols offered (ALPN)',
    hint: 'Set alpn to what the broker expects on this port, or remove it.',
  },
  ERR_SSL_WRONG_VERSION_NUMBER: notTls,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: notTls,
  ERR_SSL_HTTP_REQUEST: notTls,
};

/**
 * The error for a TLS connection that failed; `name` is the one the certificate had to be for, `facts` what the server
 * had shown before.
 */
export function tlsError(
  error: NodeJS.ErrnoException | undefined,
  name: string,
  bytesRead: number,
  facts: Record<string, unknown> = {},
): PenstockError {
  const code = tlsCode(error);
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return nameMismatch(error, name, facts);
  const known = tlsReasons[code];
  if (known) return new PenstockError(known.code, known.message, { hint: known.hint, facts, cause: error });
  if (bytesRead === 0) {
    return new PenstockError('tls_failed', 'The server closed the connection when TLS was started', {
      hint: 'Check that this port has TLS: use mqtt:// for one that has not.',
      cause: silence,
    });
  }
  return new PenstockError('tls_failed', `The TLS handshake failed (${code || 'closed by the server'})`, {
    hint: 'Check which TLS versions, ciphers and client certificates the broker accepts.',
    facts,
    cause: error,
  });
}

/** Whether the code is one that TLS raised; refusals of a client certificate come after the handshake in TLS 1.3. */
export const isTlsReason = (error: NodeJS.ErrnoException | undefined): boolean =>
  tlsCode(error) in tlsReasons;

/** OpenSSL 3.2 renamed its oldest alerts. */
const tlsCode = (error: NodeJS.ErrnoException | undefined): string =>
  error?.code?.replace('SSL/TLS_ALERT', 'SSLV3_ALERT') ?? '';

/** The cause of an error that stands for a server that closed the connection instead of answering. */
export const silence = new Error('closed without an answer');

function nameMismatch(
  error: NodeJS.ErrnoException | undefined,
  name: string,
  facts: Record<string, unknown>,
): PenstockError {
  const certificate = (error as { cert?: { subjectaltname?: string } } | undefined)?.cert;
  const names = certificate?.subjectaltname?.slice(0, 300) ?? 'no name at all';
  return new PenstockError(
    'tls_name_mismatch',
    `The server certificate is not for ${name}, but for ${names}`,
    {
      hint: 'Use one of these names in the URL, or set serverName to it.',
      facts,
      cause: error,
    },
  );
}
