import { type ErrorCode, PenstockError } from '../../errors.ts';
import {
  clientProblem,
  endedByServer,
  nameMismatch,
  outOfDate,
  type PeerCertificates,
  refusedAs,
  replacedSelfSigned,
  unsuitable,
  untrustedIssuer,
} from './certificate-errors.ts';
import { clientCertificate, type TlsProfile } from './tls.ts';

/** Translates TCP and TLS errors of Node. `undefined` means that the connection was closed without an error. */

const unreachable = 'Check the address, and the network routes of the machine that runs Penstock.';

const closedAtOnce =
  'Something on the way, or the server itself, refuses this client: check firewalls, proxies and allowed addresses.';

const networkReasons: Readonly<Record<string, [code: ErrorCode, reason: string, hint: string]>> = {
  ECONNREFUSED: [
    'connection_refused',
    'no process listens on this port',
    'Check the port. Check that the server is running and listens on this address.',
  ],
  ETIMEDOUT: [
    'connection_timeout',
    'the server does not respond',
    'Check the address, and whether a firewall blocks the connection.',
  ],
  EHOSTUNREACH: ['network_unreachable', 'no route to the host', unreachable],
  ENETUNREACH: ['network_unreachable', 'no route to the network', unreachable],
  ECONNRESET: ['connection_lost', 'the server closed the connection at once', closedAtOnce],
  EADDRNOTAVAIL: ['network_unreachable', 'no local address can reach the server', unreachable],
};

export function socketError(
  error: NodeJS.ErrnoException | undefined,
  endpoint: { host: string; port: number },
): PenstockError {
  const [code, reason, hint] = networkReasons[error?.code ?? ''] ?? [
    'connection_lost',
    error?.code,
    error === undefined ? closedAtOnce : undefined,
  ];
  const message = `Cannot connect to ${endpoint.host} port ${endpoint.port}: ${reason ?? 'the server closed the connection at once'}`;
  return new PenstockError(code, message, { ...(hint === undefined ? {} : { hint }), cause: error });
}

type TlsReason = [code: ErrorCode, message: string, hint: string];

const untrusted = (message: string): TlsReason => [
  'tls_unknown_issuer',
  message,
  'Set tls.ca to the CA certificate that issued the server certificate.',
];

const clientCertificateRefused = (message: string): TlsReason => [
  'tls_client_certificate_refused',
  message,
  'Set tls.cert to a valid certificate from a CA that the server trusts.',
];

const clientCertificateRequired: TlsReason = [
  'tls_client_certificate_required',
  'The server requires a client certificate',
  'Set tls.cert to a client certificate and tls.key to its private key.',
];

const notTls: TlsReason = [
  'tls_not_spoken',
  'The server does not speak TLS on this port',
  'Use the TLS port of the server (for MQTT usually 8883), or connect without TLS.',
];

const oldTls: TlsReason = [
  'tls_failed',
  'The server supports neither TLS 1.2 nor TLS 1.3',
  'Update the server, or raise its TLS version. Penstock does not use TLS 1.0 and 1.1, which are insecure.',
];

const noCommonCipher: TlsReason = [
  'tls_failed',
  'The server and Penstock have no secure cipher, curve or key size in common',
  'Update the server, or let it use the ciphers of TLS 1.2 or 1.3 and keys of at least 2048 bits.',
];

const unknownName: TlsReason = [
  'tls_failed',
  'The server does not know the host name that it was asked for (SNI)',
  'Use the host name of the server in the URL, or set serverName to it.',
];

const outdated: TlsReason = [
  'tls_certificate_expired',
  'A certificate of the server has expired or is not valid yet',
  'Renew the certificate on the server, and check the clock of this machine.',
];

/** The codes for which the chain says more. */
const explanations: Readonly<Record<string, (peer: PeerCertificates) => PenstockError | undefined>> = {
  CERT_HAS_EXPIRED: outOfDate,
  CERT_NOT_YET_VALID: outOfDate,
  INVALID_CA: unsuitable,
  INVALID_PURPOSE: unsuitable,
  DEPTH_ZERO_SELF_SIGNED_CERT: replacedSelfSigned,
  CERT_SIGNATURE_FAILURE: untrustedIssuer,
  SELF_SIGNED_CERT_IN_CHAIN: untrustedIssuer,
  UNABLE_TO_GET_ISSUER_CERT: untrustedIssuer,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrustedIssuer,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrustedIssuer,
};

const unknownIssuer = untrusted('The issuer of the server certificate is unknown');
const refused = clientCertificateRefused('The server refused the client certificate');

/** By error code of Node or OpenSSL. The alerts are those of RFC 8446, section 6. */
const tlsReasons: Readonly<Record<string, TlsReason>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: [
    'tls_self_signed',
    'The server certificate is self-signed and not trusted',
    'If this is the certificate you expect, set tls.ca to it.',
  ],
  SELF_SIGNED_CERT_IN_CHAIN: untrusted('The issuer of the server certificate is not trusted'),
  UNABLE_TO_GET_ISSUER_CERT: unknownIssuer,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownIssuer,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownIssuer,
  CERT_SIGNATURE_FAILURE: untrusted('The signature of the server certificate does not match its issuer'),
  CERT_HAS_EXPIRED: outdated,
  CERT_NOT_YET_VALID: outdated,
  INVALID_CA: untrusted(
    'A certificate in the chain of the server may not issue certificates (no basicConstraints CA:TRUE)',
  ),
  PATH_LENGTH_EXCEEDED: untrusted(
    'The chain of the server has more intermediates than its CA allows (pathlen)',
  ),
  CERT_CHAIN_TOO_LONG: untrusted('The chain of the server is too long'),
  INVALID_PURPOSE: [
    'tls_failed',
    'The server certificate, or one of its issuers, is not meant for servers (extended key usage)',
    'Let the certificate of the server be issued again with the extended key usage serverAuth.',
  ],
  CERT_REVOKED: untrusted('The server certificate has been revoked'),
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: clientCertificateRequired,
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: clientCertificateRefused(
    'The server does not know the issuer of the client certificate',
  ),
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: refused,
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: clientCertificateRefused(
    'The server does not support this type of client certificate',
  ),
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: clientCertificateRefused(
    'The client certificate has been revoked',
  ),
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: clientCertificateRefused('The client certificate has expired'),
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: refused,
  ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR: clientCertificateRefused(
    'The server cannot verify the client certificate',
  ),
  ERR_SSL_TLSV1_ALERT_ACCESS_DENIED: clientCertificateRefused(
    'The server denied access to the client certificate',
  ),
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: [
    'tls_failed',
    'The server refused the TLS handshake',
    'Check whether the server requires a client certificate (tls.cert, tls.key) or special ciphers.',
  ],
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: [
    'tls_failed',
    'The server supports none of the offered application protocols (ALPN)',
    'Set alpn to the protocol that the server expects on this port, or remove alpn.',
  ],
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: oldTls,
  ERR_SSL_UNSUPPORTED_PROTOCOL: oldTls,
  ERR_SSL_UNSAFE_LEGACY_RENEGOTIATION_DISABLED: oldTls,
  ERR_SSL_TLSV1_ALERT_INSUFFICIENT_SECURITY: noCommonCipher,
  ERR_SSL_DH_KEY_TOO_SMALL: noCommonCipher,
  ERR_SSL_BAD_ECPOINT: noCommonCipher,
  ERR_SSL_WRONG_SIGNATURE_TYPE: noCommonCipher,
  ERR_SSL_TLSV1_UNRECOGNIZED_NAME: unknownName,
  ERR_SSL_WRONG_VERSION_NUMBER: notTls,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: notTls,
  ERR_SSL_HTTP_REQUEST: notTls,
};

/** Facts about the server's side of a TLS connection. */
export interface TlsPeer extends PeerCertificates {
  /** The expected certificate name. */
  name: string;
  bytesRead: number;
  facts: Record<string, unknown>;
}

/** A connection in which the server has responded, but nothing more is known. */
export const someTlsPeer = (name = ''): TlsPeer => ({
  name,
  bytesRead: 1,
  facts: {},
  chain: [],
  trusted: [],
});

/** A server that may have refused the client's certificate after the handshake. */
export const refusedPeer = (name: string, { tls }: TlsProfile): TlsPeer => ({
  ...someTlsPeer(name),
  own: clientCertificate(tls),
});

/** The error for a failed TLS connection. */
export function tlsError(error: NodeJS.ErrnoException | undefined, peer: TlsPeer): PenstockError {
  const code = tlsCode(error);
  const { facts } = peer;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return nameMismatch(peer.chain[0], peer.name, facts);
  const explained = explanationOf(code, error, peer);
  if (explained)
    return new PenstockError(explained, explained.message, {
      ...(explained.hint === undefined ? {} : { hint: explained.hint }),
      facts: { ...facts, ...explained.facts },
      cause: error,
    });
  const known = tlsReasons[code];
  if (known) return new PenstockError(known[0], known[1], { hint: known[2], facts, cause: error });
  if (peer.bytesRead === 0)
    return new PenstockError('tls_failed', 'The server closed the connection at the start of TLS', {
      hint: 'Check that this port uses TLS. Connect without TLS if it does not.',
      cause: silence,
    });
  return new PenstockError('tls_failed', `The TLS handshake failed (${code})`, {
    hint: 'Check which TLS versions, ciphers and client certificates the server accepts.',
    facts,
    cause: error,
  });
}

const closings: readonly string[] = ['', 'ECONNRESET', 'EPIPE'];

function explanationOf(
  code: string,
  error: NodeJS.ErrnoException | undefined,
  peer: TlsPeer,
): PenstockError | undefined {
  if (code === 'UNSPECIFIED') return refusedAs(error?.message ?? '');
  if (closings.includes(code) && peer.bytesRead > 0) return endedByServer(peer);
  const [known, message, hint] = tlsReasons[code] ?? [];
  const problem = peer.own && clientProblem(peer.own);
  if (known === 'tls_client_certificate_refused' && problem !== undefined)
    return new PenstockError(known, `${message}: ${problem}`, { hint });
  return explanations[code]?.(peer);
}

/** Whether TLS raised the error. In TLS 1.3 the refusal of a client certificate comes after the handshake. */
export const isTlsReason = (error: NodeJS.ErrnoException | undefined): boolean =>
  tlsCode(error) in tlsReasons;

/** OpenSSL 3.2 renamed its oldest alerts. */
const tlsCode = (error: NodeJS.ErrnoException | undefined): string =>
  error?.code?.replace('SSL/TLS_ALERT', 'SSLV3_ALERT') ?? '';

/** Whether an HTTP status says that the same request may succeed later. */
export const isUnavailable = (status: number): boolean => [408, 425, 429].includes(status) || status >= 500;

/** The cause of an error for a server that closed the connection without sending anything. */
export const silence = new Error('closed without a response');
