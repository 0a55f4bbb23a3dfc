import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import {
  createSecureContext,
  type DetailedPeerCertificate,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import { PenstockError } from '../../errors.ts';
import { certificatesOf, nameOf, privateKeyOf } from './pem.ts';

/** TLS of a profile: its certificates and key, and the certificates that a server presents. */

/** The TLS part of a profile, by its names in the config. Forms send empty strings. */
export interface TlsProfile {
  tls?: Partial<Record<'ca' | 'cert' | 'key' | 'passphrase', string | undefined>> | undefined;
  insecureSkipVerify?: boolean | undefined;
  /** Whether a trusted certificate may be for any host. */
  anyName?: boolean | undefined;
  /** Name to send as SNI and to expect in the certificate; by default the host. */
  serverName?: string | undefined;
  alpn?: readonly string[] | undefined;
}

/** Whether a text of a form was filled in. */
export const given = (text: string | undefined): text is string => text !== undefined && text !== '';

/**
 * Loads the certificates and the key one by one, so that the error names the bad one. A certificate in `ca` is trusted
 * by itself, also if it is an intermediate whose root is missing. Throws `tls_bad_material`.
 */
export function secureContext(tls: TlsProfile['tls']): SecureContext {
  const { ca, cert, key, passphrase } = tls ?? {};
  const trusted = given(ca) ? { ca: trustedBy(tls).map(String), allowPartialTrustChain: true } : {};
  const own = given(cert) && given(key) ? readPair(cert, key, passphrase) : {};
  try {
    return createSecureContext({ ...trusted, ...own });
  } catch (cause) {
    const reason = (cause as { reason?: unknown }).reason;
    const why = typeof reason === 'string' ? `: ${reason}` : '';
    throw badMaterial(`The TLS certificates or the private key cannot be used${why}`, cause);
  }
}

/** The certificates of `tls.ca`; none if it is not set. Throws `tls_bad_material`. */
export const trustedBy = (tls: TlsProfile['tls']): X509Certificate[] =>
  given(tls?.ca) ? readCertificates(tls.ca, 'The CA certificate (tls.ca)') : [];

/** The client certificate of a profile without its issuers. Throws `tls_bad_material`. */
export function clientCertificate(tls: TlsProfile['tls']): X509Certificate | undefined {
  const certificates = given(tls?.cert)
    ? readCertificates(tls.cert, 'The client certificate (tls.cert)')
    : [];
  return certificates.find(({ ca }) => !ca) ?? certificates[0];
}

/** The client certificate with its key, converted to unencrypted PKCS#8. */
function readPair(cert: string, pem: string, passphrase: string | undefined): { cert: string; key: string } {
  const certificates = readCertificates(cert, 'The client certificate (tls.cert)');
  const key = readKey(pem, passphrase);
  const at = certificates.findIndex((certificate) => certificate.checkPrivateKey(key));
  if (at < 0) {
    const name = nameOf(certificates[0]?.subject ?? '');
    throw badMaterial(
      `The private key (tls.key) does not match the client certificate (tls.cert), which is for ${name}`,
    );
  }
  // The certificate of the key comes first in TLS, whatever the order in the file.
  const ordered = [certificates[at], ...certificates.slice(0, at), ...certificates.slice(at + 1)];
  return { cert: ordered.join(''), key: key.export({ type: 'pkcs8', format: 'pem' }) as string };
}

function readCertificates(pem: string, what: string): X509Certificate[] {
  const certificates = certificatesOf(pem);
  if (typeof certificates === 'string') throw badMaterial(`${what} ${certificates}`);
  return certificates;
}

function readKey(text: string, passphrase: string | undefined): KeyObject {
  const found = privateKeyOf(text);
  if (typeof found === 'string') throw badMaterial(`The private key (tls.key) ${found}`);
  const { pem, encrypted } = found;
  if (encrypted && !given(passphrase))
    throw badMaterial('The private key (tls.key) is encrypted, but tls.passphrase is not set');
  try {
    return createPrivateKey({ key: pem, ...(given(passphrase) ? { passphrase } : {}) });
  } catch (cause) {
    if (!encrypted) throw badMaterial('The private key (tls.key) cannot be read', cause);
    // ERR_OSSL_UNSUPPORTED is another case: a wrong passphrase, by chance with the right padding.
    if ((cause as NodeJS.ErrnoException).code === 'ERR_OSSL_EVP_UNSUPPORTED')
      throw badMaterial(
        'The private key (tls.key) is encrypted in a way that is out of date',
        cause,
        encryptAnew,
      );
    const spaced = passphrase !== passphrase?.trim() ? ', which begins or ends with white space' : '';
    throw badMaterial(`The private key (tls.key) cannot be decrypted with tls.passphrase${spaced}`, cause);
  }
}

const encryptAnew =
  'Encrypt a copy anew: openssl pkcs8 -provider legacy -provider default -topk8 -v2 aes-256-cbc -in FILE -out FILE.pem';

const badMaterial = (
  message: string,
  cause?: unknown,
  hint = 'Give complete PEM blocks, from -----BEGIN to -----END, and the passphrase of an encrypted key. ' +
    'Supported key formats are PKCS#8, PKCS#1 and SEC1.',
): PenstockError => new PenstockError('tls_bad_material', message, { hint, cause });

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
