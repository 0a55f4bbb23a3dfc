import { X509Certificate } from 'node:crypto';

/**
 * PEM as people have it (RFC 7468): text before and between the blocks, as `openssl x509 -text` and `openssl pkcs12` write;
 * any line ends, indentation, or line breaks written as `\n`. Every block is checked, as OpenSSL stops at a broken one without
 * an error. Each function returns what is wrong as a predicate, which never repeats the text.
 */

interface Block {
  label: string;
  /** Where it begins in the text. */
  index: number;
  /** Header lines of the former PEM, such as those of an encrypted key. */
  headers: string[];
  base64: string;
}

/** Whether a text is PEM. */
export const isPem = (text: string): boolean => text.includes('-----BEGIN');

/** Whether a text is a certificate or key in any form, rather than the path of a file. */
export const isContent = (text: string): boolean =>
  isPem(text) ||
  /[\n\r]/.test(text) ||
  text.length > 1_024 ||
  /^\s*(?:data:|LS0tLS1CRUdJ|MI[0-9A-Za-z+/]{64}|(?:[0-9A-Fa-f]{2}:?){64}|ssh-|ecdsa-sha2-|PuTTY-User-Key)/.test(
    text,
  );

const edge = /-----(BEGIN|END) ([^-\n]*)-----/g;
const damagedEdge =
  /[-\u2010-\u2015] ?(?:BEGIN|END) [A-Z0-9 ]*(?:CERTIFICATE|PRIVATE KEY)|(?:BEGIN|END) [A-Z0-9 ]*(?:CERTIFICATE|PRIVATE KEY) ?[-\u2010-\u2015]/g;

/** Returns the certificates in the order of the text. At least one; other kinds of blocks are passed over. */
export function certificatesOf(pem: string): X509Certificate[] | string {
  const text = withLines(pem);
  const blocks = blocksOf(text);
  if (typeof blocks === 'string') return blocks;
  const certificates: X509Certificate[] = [];
  for (const [index, block] of blocks.entries()) {
    if (!/^(?:X509 |TRUSTED )?CERTIFICATE$/.test(block.label)) continue;
    try {
      certificates.push(new X509Certificate(Buffer.from(block.base64, 'base64')));
    } catch {
      // OpenSSL's reason names a place in its parser, which does not help.
      const where = `number ${index + 1} of ${blocks.length}`;
      return broken(where, text, block.index, 'its content is not a certificate', certificates.at(-1));
    }
  }
  return certificates.length > 0 ? certificates : `has no certificate, but ${kindOf(blocks[0]?.label ?? '')}`;
}

export interface PrivateKey {
  /** The key alone. */
  pem: string;
  encrypted: boolean;
}

/** Returns the only private key of a text. */
export function privateKeyOf(pem: string): PrivateKey | string {
  const blocks = blocksOf(withLines(pem));
  if (typeof blocks === 'string') return blocks;
  const keys = blocks.filter(
    ({ label, base64 }, index) =>
      label.endsWith('PRIVATE KEY') && blocks.findIndex((block) => block.base64 === base64) === index,
  );
  const [key] = keys;
  if (key === undefined) return `has no private key, but ${kindOf(blocks[0]?.label ?? '')}`;
  if (keys.length > 1) return `has ${keys.length} private keys: keep the one of the client certificate`;
  if (key.label === 'OPENSSH PRIVATE KEY')
    return 'has a key in the format of OpenSSH: convert a copy of it with ssh-keygen -p -m PKCS8 -f FILE';
  const headers = key.headers.length === 0 ? '' : `${key.headers.join('\n')}\n\n`;
  const lines = key.base64.match(/.{1,64}/g)?.join('\n') ?? '';
  return {
    pem: `-----BEGIN ${key.label}-----\n${headers}${lines}\n-----END ${key.label}-----\n`,
    encrypted: key.label.startsWith('ENCRYPTED') || key.headers.some((line) => line.includes('ENCRYPTED')),
  };
}

export const hasPrivateKey = (text: string): boolean => /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/.test(text);

function blocksOf(text: string): Block[] | string {
  const edges = [...text.matchAll(edge)].map(({ 0: whole, 1: kind, 2: label = '', index }) => ({
    begins: kind === 'BEGIN',
    label,
    index,
    end: index + whole.length,
  }));
  if (edges.length === 0) return notPem(text);
  if (edges.some(({ label }) => label.startsWith('PGP '))) return ofPgp;
  const damaged = [...text.matchAll(damagedEdge)].find(
    ({ index }) => !edges.some((found) => index >= found.index && index < found.end),
  );
  if (damaged)
    return `must have five dashes on both sides of BEGIN and END (line ${lineAt(text, damaged.index)})`;
  const total = edges.filter(({ begins }) => begins).length;
  const blocks: Block[] = [];
  for (let at = 0; at < edges.length; at += 2) {
    const [first, last] = [edges[at], edges[at + 1]];
    if (first === undefined) break;
    const wrong = (why: string) => broken(`number ${blocks.length + 1} of ${total}`, text, first.index, why);
    if (!first.begins)
      return `has -----END ${first.label}----- without its -----BEGIN (line ${lineAt(text, first.index)})`;
    if (last === undefined || last.begins) return wrong(`it has no -----END ${first.label}-----`);
    if (last.label !== first.label) return wrong('its -----BEGIN and -----END lines differ');
    const { headers, base64 } = content(text.slice(first.end, last.index));
    if (base64 === '') return wrong('it is empty');
    const foreign = foreignIn(text, first.end, last.index);
    if (foreign !== undefined) return wrong(foreign);
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return wrong('its base64 goes on after = or ends with three');
    if (base64.length % 4 !== 0)
      return wrong(`characters of its base64 are missing${spaced(text, first, last)}`);
    blocks.push({ label: first.label, index: first.index, headers, base64 });
  }
  return blocks;
}

const headersOnOneLine = /(Proc-Type: 4,ENCRYPTED)[ \t]+(DEK-Info: [0-9A-Za-z-]+,[0-9A-Fa-f]+)[ \t]+/g;

/**
 * Line breaks of every system, those that were written as `\n`, perhaps twice, to fit into a variable or into JSON, and those
 * that the headers of an encrypted key need.
 */
const withLines = (text: string): string =>
  text
    .replace(/^\uFEFF/, '')
    .replaceAll(/\r\n?|(?:\\+r)?\\+n/g, '\n')
    .replaceAll(headersOnOneLine, '\n$1\n$2\n\n');

/** Names the first character of a block that base64 does not have. It is no part of what the block holds. */
function foreignIn(text: string, from: number, to: number): string | undefined {
  const body = text.slice(from, to).replaceAll(headerLine, (line) => ' '.repeat(line.length));
  const found = /[^0-9A-Za-z+/=\s]/u.exec(body);
  if (found === null) return undefined;
  const [character] = found;
  const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
  const shown = /[!-~]/.test(character) ? character : `U+${code}`;
  const advice = /[-_]/.test(character) ? '. In base64url, + is written as - and / as _: convert it' : '';
  return `line ${lineAt(text, from + found.index)} has the character ${shown}, which is not base64${advice}`;
}

const spaced = (text: string, first: { end: number }, last: { index: number }): string =>
  /\S \S/.test(text.slice(first.end, last.index)) ? ': perhaps each + has become a space' : '';

const lineAt = (text: string, index: number): number => text.slice(0, index).split('\n').length;

const headerLine = /^[ \t]*[A-Za-z][A-Za-z0-9-]*: .*$/gm;

function content(body: string): { headers: string[]; base64: string } {
  const lines = body.split('\n').map((line) => line.trim());
  const headers = lines.filter((line) => /^[A-Za-z][A-Za-z0-9-]*: /.test(line));
  const rest = lines.filter((line) => !headers.includes(line));
  return { headers, base64: rest.join('').replaceAll(/\s/g, '') };
}

function notPem(text: string): string {
  if (/BEGIN SSH2 |^\s*(?:ssh-|ecdsa-sha2-)\S+ /.test(text) || /^PuTTY-User-Key/.test(text))
    return 'is a key for SSH: TLS needs the X.509 certificate and its own private key, as PEM text';
  if (/BEGIN [A-Z0-9 ]+/.test(text)) return 'must have five dashes on both sides of BEGIN and END';
  if (/-----begin /i.test(text)) return 'must have BEGIN and END, and what follows them, in capital letters';
  const encoded = text.replace(/^\s*data:[^,]{0,100},/, '').replaceAll(/\s/g, '');
  if (/^(?:[0-9A-Fa-f]{2}[:]?){64,}$/.test(encoded)) return 'is hexadecimal: write it as PEM text';
  if (/^[A-Za-z0-9+/_-]{64,}={0,2}$/.test(encoded)) return base64Of(Buffer.from(encoded, 'base64'));
  return 'must be PEM text, with lines -----BEGIN and -----END';
}

const ofPgp = 'is of PGP, which TLS does not use: it needs X.509 certificates and keys, as PEM text';

function base64Of(bytes: Buffer): string {
  if (bytes.includes('-----BEGIN')) return 'is the base64 of PEM text: decode it once (base64 -d)';
  if (bytes[0] === 0x30 && bytes.subarray(2, 8).includes(pkcs12Version))
    return 'is the base64 of a PKCS#12 file (.p12, .pfx): decode it, then convert it with openssl pkcs12 -in FILE -out FILE.pem';
  return 'lacks the lines -----BEGIN and -----END around its base64';
}

const pkcs12Version = Buffer.from([2, 1, 3]);

function broken(where: string, text: string, index: number, why: string, before?: X509Certificate): string {
  const after = before === undefined ? '' : `, after ${nameOf(before.subject)}`;
  return `has a broken block: ${where} (line ${lineAt(text, index)}${after}). Reason: ${why}`;
}

function kindOf(label: string): string {
  if (label.endsWith('CERTIFICATE REQUEST'))
    return 'a certificate request: use the certificate that the CA has issued for it';
  if (label === 'PKCS7' || label === 'CMS')
    return 'a PKCS#7 bundle: convert it with openssl pkcs7 -print_certs';
  if (label === 'X509 CRL') return 'a revocation list';
  if (label.endsWith('PRIVATE KEY')) return 'a private key';
  if (label.endsWith('PARAMETERS')) return 'parameters of a key only';
  if (label.endsWith('PUBLIC KEY')) return 'a public key';
  if (label.endsWith('CERTIFICATE')) return 'a certificate';
  return 'a block of another kind';
}

/** `CN=Acme Root, O=Acme` of a name as Node writes it, one part a line. */
export const nameOf = (name: string): string =>
  name.split('\n').reverse().join(', ').slice(0, 200) || 'a certificate without a name';
