import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { checkServerIdentity, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { PenstockError } from '../../errors.ts';
import { nameOf } from './pem.ts';

/** Explains why the certificate of a server was refused, from its chain and the certificates in `tls.ca`. */

export interface PeerCertificates {
  /** The server's own certificate and its issuers, as far as known, up to the root. */
  chain: X509Certificate[];
  /** The certificates of `tls.ca`; none if the CAs of the system are trusted. */
  trusted: X509Certificate[];
  /** The client certificate, if there is one. */
  own?: X509Certificate | undefined;
}

const maxChain = 10;

/**
 * Of an open or failed handshake. `getPeerX509Certificate` is not used: called before Node's own check, it takes the host
 * names from the certificate that the check sees.
 */
export function chainOf(socket: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  const seen: DetailedPeerCertificate[] = [];
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // Without a certificate Node returns an empty object.
  while (next?.raw !== undefined && !seen.includes(next) && chain.length < maxChain) {
    seen.push(next);
    chain.push(new X509Certificate(next.raw));
    next = next.issuerCertificate;
  }
  return chain;
}

const isSelfIssued = (certificate: X509Certificate): boolean => certificate.subject === certificate.issuer;

const quoted = (name: string): string => `"${nameOf(name)}"`;

/** `untrusted` of an issuer that is not trusted or not known; `facts` name it. */
export function untrustedIssuer({ chain, trusted }: PeerCertificates): PenstockError | undefined {
  const own = chain[0];
  const sent = chain.filter(
    ({ fingerprint256 }) => !trusted.some((one) => one.fingerprint256 === fingerprint256),
  );
  const top = sent.at(-1) ?? own;
  if (own === undefined || top === undefined) return undefined;
  const missing = nameOf(top.issuer);
  const facts = {
    missingIssuer: missing,
    sent: sent.map(({ subject }) => nameOf(subject)),
    trusted: trusted.slice(0, 20).map(({ subject }) => nameOf(subject)),
  };
  const [message, hint] = reasonOf(top, sent, trusted);
  return new PenstockError('tls_unknown_issuer', message, { hint, facts });
}

function reasonOf(
  top: X509Certificate,
  sent: X509Certificate[],
  trusted: X509Certificate[],
): [message: string, hint: string] {
  const issuer = quoted(top.issuer);
  if (trusted.some(({ subject }) => subject === top.issuer))
    return [
      `tls.ca has a certificate for ${issuer}, but with another key than the issuer of the server certificate`,
      'The CA has probably been created anew under the same name. Set tls.ca to its present certificate.',
    ];
  const full = isSelfIssued(top);
  const intermediate = `If ${issuer} is an intermediate, add its certificate to the certificate file of the server, after the server's own.`;
  if (trusted.length > 0) {
    const names = trusted.slice(0, 3).map(({ subject }) => quoted(subject));
    const others = trusted.length > names.length ? ` and ${trusted.length - names.length} more` : '';
    return [
      `The server certificate was issued by ${issuer}, which is not in tls.ca${full ? '' : ', and which the server does not send'}. ` +
        `tls.ca has ${names.join(', ')}${others}`,
      full
        ? `Add the certificate of ${issuer} to tls.ca, if this is the server you expect.`
        : `Add the certificate of ${issuer} to tls.ca, if this is the server you expect. ${intermediate}`,
    ];
  }
  const published = /CA Issuers - URI:(http\S{1,200})/.exec(top.infoAccess ?? '')?.[1];
  const place = published === undefined ? '' : ` That certificate is at ${published}.`;
  return [
    `The server certificate was issued by ${issuer}, which is not a CA of this system${full ? '' : ', and whose certificate the server does not send'}`,
    `Set tls.ca to the certificate of ${issuer}.${full || sent.length > 1 ? '' : ` ${intermediate}`}${place}`,
  ];
}

/** For a self-signed certificate in place of another one of the same name. */
export function replacedSelfSigned({ chain, trusted }: PeerCertificates): PenstockError | undefined {
  const own = chain[0];
  if (own === undefined || !trusted.some(({ subject }) => subject === own.subject)) return undefined;
  return new PenstockError(
    'tls_self_signed',
    `The self-signed server certificate is for ${quoted(own.subject)}, but not the one of this name in tls.ca`,
    { hint: 'The server has a new certificate. If you expect that, set tls.ca to it.' },
  );
}

/** For a certificate of the chain that is outside of its period. */
export function outOfDate({ chain }: PeerCertificates, now: number = Date.now()): PenstockError | undefined {
  for (const [depth, certificate] of chain.entries()) {
    const { validFromDate: from, validToDate: to } = certificate;
    const what =
      depth === 0 ? 'The server certificate' : `The issuer certificate ${quoted(certificate.subject)}`;
    const facts = { certificate: nameOf(certificate.subject), from, to };
    if (to.getTime() < now)
      return new PenstockError('tls_certificate_expired', `${what} expired on ${to.toISOString()}`, {
        hint:
          depth === 0
            ? 'Renew the certificate on the server, and restart the server or let it load its files again.'
            : 'Install the new certificate of the issuer on the server. If it is in tls.ca, replace it there too.',
        facts,
      });
    if (from.getTime() > now)
      return new PenstockError(
        'tls_certificate_expired',
        `${what} is not valid before ${from.toISOString()}`,
        {
          hint: `Check the clock of this machine, which says ${new Date(now).toISOString()}, and the start date of the certificate.`,
          facts,
        },
      );
  }
  return undefined;
}

const serverAuth = '1.3.6.1.5.5.7.3.1';
const clientAuth = '1.3.6.1.5.5.7.3.2';
const anyUsage = '2.5.29.37.0';

/** Whether the extended key usage of a certificate allows a use. Node calls it key usage; without it all is allowed. */
const isFor = ({ keyUsage }: X509Certificate, use: string): boolean =>
  keyUsage === undefined || keyUsage.length === 0 || keyUsage.includes(use) || keyUsage.includes(anyUsage);

/** For a chain in which a certificate is used for what it is not meant for. */
export function unsuitable({ chain }: PeerCertificates): PenstockError | undefined {
  const notCa = chain.slice(1).find(({ ca }) => !ca);
  if (notCa !== undefined)
    return new PenstockError(
      'tls_unknown_issuer',
      `The certificate ${quoted(notCa.subject)}, which issued another one of the server, is not one of a CA (no basicConstraints CA:TRUE)`,
      { hint: 'Let a CA issue the certificate of the server again.' },
    );
  const wrong = chain.find((certificate) => !isFor(certificate, serverAuth));
  if (wrong === undefined) return undefined;
  return new PenstockError(
    'tls_failed',
    `The certificate ${quoted(wrong.subject)} of the server is not meant for servers: its extended key usage lacks serverAuth`,
    {
      hint: isFor(wrong, clientAuth)
        ? 'It is meant for clients: the server probably has the certificate of a client. Install one with serverAuth there.'
        : 'Let it be issued again with the extended key usage serverAuth.',
    },
  );
}

const sayings: readonly [RegExp, hint: string][] = [
  [
    /subtree violation|name constraint/,
    'A CA of the chain may issue certificates for certain names only (nameConstraints). Use a name that it permits, or another CA.',
  ],
  [/key too weak/, 'Issue the certificate again with a key of at least 2048 bits (RSA) or 256 bits (EC).'],
  [
    /digest algorithm too weak|md too weak/,
    'Issue the certificate again with a signature of SHA-256 or better.',
  ],
];

/** For the refusals of OpenSSL that Node gives no code of their own; their message says the reason. */
export function refusedAs(sentence: string): PenstockError {
  const words = sentence.replace('EE ', 'server ').slice(0, 200) || 'OpenSSL names no reason';
  const hint = sayings.find(([words]) => words.test(sentence))?.[1];
  return new PenstockError('tls_failed', `The certificate of the server is refused: ${words}`, {
    hint: hint ?? 'Let the certificate of the server be issued again.',
  });
}

/** Says why a server will not accept a client certificate, whatever CA it trusts. */
export function clientProblem(own: X509Certificate, now: number = Date.now()): string | undefined {
  const { validFromDate: from, validToDate: to, subject } = own;
  const what = `The client certificate ${quoted(subject)} (tls.cert)`;
  if (to.getTime() < now) return `${what} expired on ${to.toISOString()}`;
  if (from.getTime() > now)
    return `${what} is not valid before ${from.toISOString()}; the clock of this machine says ${new Date(now).toISOString()}`;
  return isFor(own, clientAuth)
    ? undefined
    : `${what} is not meant for clients: its extended key usage lacks clientAuth`;
}

/** For a handshake that the server ended without a word, once it had responded. */
export function endedByServer({ own }: PeerCertificates): PenstockError {
  const problem = own && clientProblem(own);
  if (problem !== undefined)
    return new PenstockError(
      'tls_client_certificate_refused',
      `${problem}. The server closed the connection in the TLS handshake`,
      { hint: 'Set tls.cert and tls.key to a client certificate that is valid.' },
    );
  return new PenstockError(
    'tls_failed',
    'The server closed the connection in the TLS handshake, without a reason',
    {
      hint:
        own === undefined
          ? 'The server probably requires a client certificate: set tls.cert and tls.key. See the log of the server.'
          : `The server probably does not accept the client certificate ${quoted(own.subject)}, issued by ${quoted(own.issuer)}. ` +
            'Check that the server trusts this issuer, and whether an intermediate is missing in tls.cert. See the log of the server.',
    },
  );
}

export function nameMismatch(
  certificate: X509Certificate | undefined,
  name: string,
  facts: Record<string, unknown>,
): PenstockError {
  const parts = (certificate?.subjectAltName ?? '').split(', ');
  const hosts = parts.flatMap((part) => /^(?:DNS|IP Address):(.+)$/.exec(part)?.[1] ?? []);
  const listed = hosts.length > 0 ? hosts.slice(0, 10).join(', ').slice(0, 300) : 'no host name';
  const kind = isIP(name) === 0 ? 'DNS' : 'IP';
  const reissue = `let the certificate be issued again with the subject alternative name ${kind}:${name}`;
  return new PenstockError('tls_name_mismatch', `The server certificate is for ${listed}, not for ${name}`, {
    hint: usableName(certificate, hosts, reissue),
    facts: { ...facts, expected: name },
  });
}

/** Names a host that Node accepts for the certificate: it takes no `*.local`, and no address from a common name. */
function usableName(certificate: X509Certificate | undefined, hosts: string[], reissue: string): string {
  const accepted = (host: string): boolean =>
    certificate !== undefined && checkServerIdentity(host, certificate.toLegacyObject()) === undefined;
  const plain = hosts.find((host) => !host.includes('*') && accepted(host));
  if (plain !== undefined)
    return `Use ${plain} in the URL, or keep the URL and set serverName to ${plain}, or ${reissue}.`;
  const wildcard = hosts.find((host) => host.includes('*') && accepted(host.replace('*', 'broker')));
  if (wildcard !== undefined)
    return (
      `In ${wildcard} the * stands for exactly one part of a name. Use such a name in the URL, or keep the URL and set ` +
      `serverName to one, such as ${wildcard.replace('*', 'broker')}, or ${reissue}.`
    );
  const commonName = /^CN=(.+)$/m.exec(certificate?.subject ?? '')?.[1];
  if (commonName !== undefined && /^[0-9A-Za-z._-]+$/.test(commonName) && accepted(commonName))
    return `The only name is the common name: set serverName to ${commonName}, or ${reissue}.`;
  return `No name in the URL can match: ${reissue}.`;
}
