import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import {
  createSecureContext,
  type DetailedPeerCertificate,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import { PenstockError } from '../../../errors.ts';
import { given, type MqttProfile } from '../config/profile.ts';

/** TLS of a profile: its certificates and key, and the certificates that a server presents. */

/** Loads the certificates and the key one by one, so that the error names the bad one. Throws `tls_bad_material`. */
export function secureContext(tls: MqttProfile['tls']): SecureContext {
  const { ca, cert, key, passphrase } = tls ?? {};
  if (given(ca)) readCertificate(ca, 'The CA certificate (tls.ca)');
  const own = given(cert) && given(key) ? readPair(cert, key, passphrase) : {};
  try {
    return createSecureContext({ ...(given(ca) ? { ca } : {}), ...own });
  } catch (cause) {
    throw badMaterial('The TLS certificates or the private key cannot be used', cause);
  }
}

/** The client certificate with its key, converted to unencrypted PKCS#8. */
function readPair(cert: string, pem: string, passphrase: string | undefined): { cert: string; key: string } {
  const certificate = readCertificate(cert, 'The client certificate (tls.cert)');
  const key = readKey(pem, passphrase);
  if (!certificate.checkPrivateKey(key))
    throw badMaterial('The private key (tls.key) does not match the client certificate (tls.cert)');
  return { cert, key: key.export({ type: 'pkcs8', format: 'pem' }) as string };
}

function readCertificate(pem: string, what: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw badMaterial(`${what} is not a valid PEM certificate`, cause);
  }
}

function readKey(pem: string, passphrase: string | undefined): KeyObject {
  const encrypted = /ENCRYPTED/.test(pem);
  if (encrypted && !given(passphrase))
    throw badMaterial('The private key (tls.key) is encrypted, but tls.passphrase is not set');
  try {
    return createPrivateKey({ key: pem, ...(given(passphrase) ? { passphrase } : {}) });
  } catch (cause) {
    throw badMaterial(
      encrypted
        ? 'The private key (tls.key) cannot be decrypted with tls.passphrase'
        : 'The private key (tls.key) is not a valid PEM key',
      cause,
    );
  }
}

const badMaterial = (message: string, cause?: unknown): PenstockError =>
  new PenstockError('tls_bad_material', message, {
    hint:
      'Give complete PEM blocks, from -----BEGIN to -----END, and the passphrase of an encrypted key. ' +
      'Supported key formats are PKCS#8, PKCS#1 and SEC1.',
    cause,
  });

const dayMs = 86_400_000;
const maxChain = 10;

/** Whole days until the certificate expires; negative afterwards. */
export const daysToExpiry = (certificate: { valid_to: string }): number =>
  Math.floor((Date.parse(certificate.valid_to) - Date.now()) / dayMs);

export function peerFacts(socket: TLSSocket): Record<string, unknown> {
  const certificate = socket.getPeerCertificate(true);
  const session = {
    protocol: socket.getProtocol(),
    cipher: socket.getCipher().standardName,
    ...(typeof socket.alpnProtocol === 'string' ? { alpn: socket.alpnProtocol } : {}),
  };
  // Without a certificate Node returns an empty object.
  if (certificate.fingerprint256 === undefined) return session;
  return {
    ...session,
    ...summaryOf(certificate),
    names: (certificate.subjectaltname ?? '').split(', ').filter((name) => name !== ''),
    validFrom: isoDate(certificate.valid_from),
    daysToExpiry: daysToExpiry(certificate),
    chain: chainOf(certificate).map(summaryOf),
  };
}

const summaryOf = (certificate: DetailedPeerCertificate): Record<string, unknown> => ({
  subject: distinguishedName(certificate.subject),
  issuer: distinguishedName(certificate.issuer),
  validTo: isoDate(certificate.valid_to),
  fingerprint256: certificate.fingerprint256,
});

/** The certificates from the server's own up to the root, as far as known. */
function chainOf(certificate: DetailedPeerCertificate): DetailedPeerCertificate[] {
  const chain: DetailedPeerCertificate[] = [];
  let next: DetailedPeerCertificate | undefined = certificate;
  while (next?.fingerprint256 !== undefined && !chain.includes(next) && chain.length < maxChain) {
    chain.push(next);
    next = next.issuerCertificate;
  }
  return chain;
}

/** The server controls this text: it need not be a date. */
const isoDate = (text: string): string =>
  Number.isNaN(Date.parse(text)) ? text : new Date(text).toISOString();

/** `CN=broker, O=Acme`; empty if the certificate has host names only. */
export const distinguishedName = (name: object | undefined): string =>
  Object.entries(name ?? {})
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(', ');
