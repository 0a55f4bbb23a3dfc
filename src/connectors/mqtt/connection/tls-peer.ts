import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';

/** What a TLS server has shown of itself, in words and numbers for people. */

const dayMs = 86_400_000;
const longestChain = 10;

/** Whole days until the certificate's last; negative when that has passed. */
export const daysToExpiry = (certificate: { valid_to: string }): number =>
  Math.floor((Date.parse(certificate.valid_to) - Date.now()) / dayMs);

/** Protocol, cipher and certificates of a connection whose handshake is over. */
export function peerFacts(socket: TLSSocket): Record<string, unknown> {
  const certificate = socket.getPeerCertificate(true);
  const spoken = {
    protocol: socket.getProtocol(),
    cipher: socket.getCipher().standardName,
    ...(typeof socket.alpnProtocol === 'string' ? { alpn: socket.alpnProtocol } : {}),
  };
  // Without a certificate Node answers an empty object.
  if (certificate.fingerprint256 === undefined) return spoken;
  return {
    ...spoken,
    ...certificateFacts(certificate),
    chain: chainOf(certificate).map(({ subject, issuer, valid_to, fingerprint256 }) => ({
      subject: distinguishedName(subject),
      issuer: distinguishedName(issuer),
      validTo: isoDate(valid_to),
      fingerprint256,
    })),
  };
}

function certificateFacts(certificate: DetailedPeerCertificate): Record<string, unknown> {
  return {
    subject: distinguishedName(certificate.subject),
    issuer: distinguishedName(certificate.issuer),
    names: (certificate.subjectaltname ?? '').split(', ').filter((name) => name !== ''),
    validFrom: isoDate(certificate.valid_from),
    validTo: isoDate(certificate.valid_to),
    daysToExpiry: daysToExpiry(certificate),
    fingerprint256: certificate.fingerprint256,
  };
}

/** The certificates from the server's own on, as far as they are known; the last one may be its own issuer. */
function chainOf(certificate: DetailedPeerCertificate): DetailedPeerCertificate[] {
  const chain: DetailedPeerCertificate[] = [];
  let next: DetailedPeerCertificate | undefined = certificate;
  while (next?.fingerprint256 !== undefined && !chain.includes(next) && chain.length < longestChain) {
    chain.push(next);
    next = next.issuerCertificate;
  }
  return chain;
}

/** The server chooses what stands there: it need not be a date. */
const isoDate = (text: string): string =>
  Number.isNaN(Date.parse(text)) ? text : new Date(text).toISOString();

/** `CN=broker, O=Acme`; empty for a certificate that has names of hosts only. */
export const distinguishedName = (name: object | undefined): string =>
  Object.entries(name ?? {})
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(', ');
