import { createPrivateKey, X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { makeAuthority } from '../../../test/support/certificates.ts';
import { validateProfile } from '../mqtt/config/profile.ts';
import { certificatesOf, isPem, privateKeyOf } from './pem.ts';

const first = await makeAuthority('First');
const second = await makeAuthority('Second');
const third = await makeAuthority('Third');
const one = first.cert.trim();
const bundle = [first, second, third].map(({ cert }) => cert.trim()).join('\n');
const encrypted = createPrivateKey(first.key).export({
  type: 'pkcs8',
  format: 'pem',
  cipher: 'aes-256-cbc',
  passphrase: 'p',
}) as string;

const names = (text: string) => {
  const found = certificatesOf(text);
  return typeof found === 'string' ? found : found.map(({ subject }) => subject);
};
const wrong = (text: string): string => {
  const found = certificatesOf(text);
  if (typeof found !== 'string') throw new Error('it was accepted');
  return found;
};
/** A certificate as `openssl x509 -trustout` writes it: what it is trusted for follows. */
const trusted = Buffer.concat([
  new X509Certificate(one).raw,
  Buffer.from('300c300a06082b06010505070301', 'hex'),
]).toString('base64');
const bag =
  'Bag Attributes\n    friendlyName: ca\n    localKeyID: 1F 0C 09 \nsubject=CN = First\nissuer=CN = First\n';
const explained =
  'Certificate:\n    Data:\n        Version: 3 (0x2)\n        Serial Number:\n            14:59:69\n';

describe('certificates', () => {
  test.each([
    ['as they are', one],
    ['after the text of openssl x509 -text', `${explained}${one}`],
    ['after bag attributes', bag + one],
    ['with CRLF', one.replaceAll('\n', '\r\n')],
    ['with CR', one.replaceAll('\n', '\r')],
    ['with a byte order mark', `\uFEFF${one}`],
    ['indented', one.replaceAll(/^/gm, '    ')],
    ['with spaces at the ends of lines', one.replaceAll('\n', '  \n')],
    ['on one line', one.replaceAll('\n', ' ')],
    ['with line breaks written as \\n', one.replaceAll('\n', '\\n')],
    ['with line breaks written as \\r\\n', one.replaceAll('\n', '\\r\\n')],
    ['with an old label', one.replaceAll('CERTIFICATE', 'X509 CERTIFICATE')],
    [
      'as TRUSTED CERTIFICATE',
      `-----BEGIN TRUSTED CERTIFICATE-----\n${trusted}\n-----END TRUSTED CERTIFICATE-----`,
    ],
    ['followed by other blocks', `${one}\n-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----`],
  ])('are read %s, and so is a profile', (_how, text) => {
    expect(names(text)).toEqual(['CN=First']);
    expect(validateProfile({ url: 'mqtts://h', tls: { ca: text } })).toEqual([]);
  });

  test('of a bundle are all read, with text between them', () => {
    expect(names(bundle)).toEqual(['CN=First', 'CN=Second', 'CN=Third']);
    expect(names(bundle.replaceAll('-----BEGIN', '# the next\n-----BEGIN'))).toHaveLength(3);
  });

  const blocks = bundle.split(/(?<=-----END CERTIFICATE-----)\n/);
  const withSecond = (change: (block: string) => string): string =>
    [blocks[0], change(blocks[1] as string), blocks[2]].join('\n');

  test.each([
    ['a foreign character', (block: string) => block.replace(/(\n.{10})./, '$1*'), 'not base64'],
    ['a lost character', (block: string) => block.replace(/(\n.{10})./, '$1'), 'are missing'],
    ['a lost line', (block: string) => block.replace(/\n[^\n]{64}\n/, '\n'), 'not a certificate'],
    ['an empty body', () => '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----', 'it is empty'],
    ['no end', (block: string) => block.replace('-----END CERTIFICATE-----', ''), 'no -----END CERTIFICATE'],
    ['another end', (block: string) => block.replace('END CERT', 'END X509 CERT'), 'lines differ'],
    ['dots for what was cut', (block: string) => block.replace(/\n.{64}\n/, '\n...\n'), 'not base64'],
  ])('of a bundle are refused for a block with %s, which is named', (_what, change, reason) => {
    const text = withSecond(change);
    expect(wrong(text)).toContain('broken block: number 2 of 3 (line ');
    expect(wrong(text)).toContain(reason);
    expect(validateProfile({ url: 'mqtts://h', tls: { ca: text } })).toMatchObject([{ path: '/tls/ca' }]);
  });

  test('of a bundle are refused if a block has lost its first line or its dashes', () => {
    expect(wrong(withSecond((block) => block.replace('-----BEGIN CERTIFICATE-----\n', '')))).toMatch(
      /has -----END CERTIFICATE----- without its -----BEGIN \(line \d+\)/,
    );
    expect(wrong(withSecond((block) => block.replace('-----BEGIN', '----BEGIN')))).toContain('five dashes');
    expect(wrong(withSecond((block) => block.replace('-----BEGIN', '—BEGIN')))).toContain('five dashes');
    const typeset = one.replaceAll('-----', '———');
    expect(isPem(typeset)).toBe(false);
    expect(validateProfile({ url: 'mqtts://h', tls: { ca: typeset } })).toMatchObject([
      { path: '/tls/ca', message: expect.stringContaining('five dashes') },
    ]);
  });

  const other = (label: string) => `-----BEGIN ${label}-----\nAAAA\n-----END ${label}-----`;
  test.each([
    [first.key, 'but a private key'],
    [other('CERTIFICATE REQUEST'), 'a certificate request'],
    [other('PKCS7'), 'pkcs7 -print_certs'],
    [other('PUBLIC KEY'), 'a public key'],
    [other('X509 CRL'), 'a revocation list'],
    [one.split('\n').slice(1, -1).join('\n'), 'lacks the lines -----BEGIN and -----END'],
    ['hello\nworld', 'must be PEM text'],
  ])('are missed in what is none, and its kind is named (%#)', (text, what) => {
    expect(wrong(text)).toContain(what);
  });
});

describe('a private key', () => {
  const read = (text: string) => {
    const found = privateKeyOf(text);
    return typeof found === 'string' ? found : createPrivateKey({ key: found.pem, passphrase: 'p' }).type;
  };

  test.each([
    ['as it is', first.key],
    ['after its certificate and bag attributes', `${bag}${one}\n${bag}${first.key}`],
    ['with CRLF', first.key.replaceAll('\n', '\r\n')],
    ['on one line', first.key.trim().replaceAll('\n', ' ')],
    ['with line breaks written as \\n', first.key.replaceAll('\n', '\\n')],
    ['encrypted', encrypted],
    [
      'after parameters',
      `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${first.key}`,
    ],
  ])('is read %s', (_how, text) => {
    expect(read(text)).toBe('private');
  });

  test('is encrypted only if it is the key that says so', () => {
    expect(privateKeyOf(`ENCRYPTED backup of ada\n${first.key}`)).toMatchObject({ encrypted: false });
    expect(privateKeyOf(encrypted)).toMatchObject({ encrypted: true });
  });

  test.each([
    [one, 'has no private key, but a certificate'],
    [`${first.key}\n${second.key}`, 'has 2 private keys'],
    ['-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----', 'ssh-keygen -p'],
    [first.key.replace('-----END PRIVATE KEY-----', ''), 'no -----END PRIVATE KEY'],
  ])('is refused with its reason, and never repeated (%#)', (text, reason) => {
    expect(read(text)).toContain(reason);
    expect(read(text)).not.toContain(first.key.split('\n')[1]);
  });

  test('is refused beside a certificate, where it would be stored readable', () => {
    const tls = { cert: `${one}\n${first.key}`, key: first.key };
    expect(validateProfile({ url: 'mqtts://h', tls })).toEqual([
      { path: '/tls/cert', message: expect.stringContaining('move it to tls.key') },
    ]);
  });
});
