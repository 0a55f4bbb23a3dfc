import { createPrivateKey, X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { makeAuthority } from '../../../test/support/certificates.ts';
import { validateProfile } from '../mqtt/config/profile.ts';
import { certificatesOf, isPem, privateKeyOf } from './pem.ts';
import { secureContext } from './tls.ts';

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

const former = createPrivateKey(first.key).export({
  type: 'sec1',
  format: 'pem',
  cipher: 'aes-128-cbc',
  passphrase: 'p',
}) as string;

const other = (label: string) => `-----BEGIN ${label}-----\nAAAA\n-----END ${label}-----`;

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
    ['with line breaks escaped twice', one.replaceAll('\n', '\\\\n')],
    ['indented by tabs', one.replaceAll(/^/gm, '\t')],
    ['in quotation marks', `"${one.replaceAll('\n', '\\n')}"`],
    ['without any line break', one.replaceAll('\n', '')],
    ['after a revocation list', `-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n${one}`],
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
    ['base64url', (block: string) => block.replace(/(\n.{10})./, '$1_'), 'In base64url, + is written as -'],
    ['a space for a +', (block: string) => block.replace(/(\n.{10})./, '$1 '), 'perhaps each + has become'],
    ['a quoting mark', (block: string) => block.replaceAll(/^/gm, '> '), 'has the character >, which'],
    [
      'a string of C',
      (block: string) => block.replaceAll(/^(.*)$/gm, '"$1\\n"'),
      'has the character ", which',
    ],
    [
      'an invisible one',
      (block: string) => block.replace(/(\n.{10})/, '$1\u200B'),
      'the character U+200B, which',
    ],
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

  /** How every PKCS#12 file begins. */
  const p12 = Buffer.from('3082034902010330820308060a2a864886f70d010701', 'hex');
  test.each([
    [first.key, 'but a private key'],
    [other('CERTIFICATE REQUEST'), 'a certificate request'],
    [other('PKCS7'), 'pkcs7 -print_certs'],
    [other('PUBLIC KEY'), 'a public key'],
    [other('X509 CRL'), 'a revocation list'],
    [one.split('\n').slice(1, -1).join('\n'), 'lacks the lines -----BEGIN and -----END'],
    ['hello\nworld', 'must be PEM text'],
    [Buffer.from(bundle).toString('base64'), 'is the base64 of PEM text: decode it once'],
    [`data:text/plain;base64,${Buffer.from(one).toString('base64')}`, 'is the base64 of PEM text'],
    [Buffer.concat([p12, Buffer.alloc(900)]).toString('base64'), 'the base64 of a PKCS#12 file'],
    [new X509Certificate(one).raw.toString('hex'), 'is hexadecimal'],
    [new X509Certificate(one).raw.toString('base64'), 'lacks the lines -----BEGIN and -----END'],
    [one.toLowerCase(), 'in capital letters'],
    [other('PGP PUBLIC KEY BLOCK'), 'is of PGP'],
    [other('EC PARAMETERS'), 'but parameters of a key only'],
    [`ssh-ed25519 ${'A'.repeat(68)} ada@plant`, 'is a key for SSH'],
    ['---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----', 'is a key for SSH'],
  ])('are missed in what is none, and its kind is named (%#)', (text, what) => {
    expect(wrong(text)).toContain(what);
    expect(validateProfile({ url: 'mqtts://h', tls: { ca: text } })).toHaveLength(1);
  });

  test('are not looked for under the address of a page', () => {
    expect(validateProfile({ url: 'mqtts://h', tls: { ca: 'https://acme.example/ca.pem' } })).toMatchObject([
      { path: '/tls/ca', message: expect.stringContaining('not a URL') },
    ]);
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
    ['encrypted in the former way', former],
    ['encrypted in the former way, on one line', former.trim().replaceAll(/\n+/g, ' ')],
    ['twice', `${first.key}\n${first.key}`],
    [
      'after parameters',
      `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${first.key}`,
    ],
  ])('is read %s', (_how, text) => {
    expect(read(text)).toBe('private');
  });

  test.each([
    ['p ', 'with tls.passphrase, which begins or ends with white space'],
    ['q', 'with tls.passphrase'],
  ])('that cannot be decrypted is named without its passphrase: %j', (passphrase, words) => {
    const pair = { cert: one, key: encrypted, passphrase };
    expect(() => secureContext(pair)).toThrow(new RegExp(`${words}$`));
  });

  test('that decrypts to something else is not called out of date', () => {
    const der = Buffer.from(encrypted.replaceAll(/-----.*-----|\s/g, ''), 'base64');
    const cipher = Buffer.from('060960864801650304012a0410', 'hex');
    // A bit of the vector is in the first block of the plaintext too, and the padding at the end stays right.
    const vector = der.indexOf(cipher) + cipher.length;
    der[vector] = (der[vector] as number) ^ 1;
    const key = `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${der.toString('base64')}\n-----END ENCRYPTED PRIVATE KEY-----`;
    expect(() => secureContext({ cert: one, key, passphrase: 'p' })).toThrow(/cannot be decrypted/);
  });

  test('that is encrypted with a cipher of former times says how to encrypt it anew', () => {
    // PBE-MD5-DES of PKCS#5, as old versions of OpenSSL wrote it.
    const der = Buffer.from(
      `30${'29'}301b06092a864886f70d010503300e0408${'00'.repeat(8)}02020800040a${'00'.repeat(10)}`,
      'hex',
    );
    const key = `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${der.toString('base64')}\n-----END ENCRYPTED PRIVATE KEY-----`;
    let error: unknown;
    try {
      secureContext({ cert: one, key, passphrase: 'p' });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({
      code: 'tls_bad_material',
      hint: expect.stringContaining('-v2 aes-256-cbc'),
    });
    expect((error as Error).message).toContain('out of date');
  });

  test('is encrypted only if it is the key that says so', () => {
    expect(privateKeyOf(`ENCRYPTED backup of ada\n${first.key}`)).toMatchObject({ encrypted: false });
    expect(privateKeyOf(encrypted)).toMatchObject({ encrypted: true });
  });

  test.each([
    [one, 'has no private key, but a certificate'],
    [`${first.key}\n${second.key}`, 'has 2 private keys'],
    [Buffer.from(first.key).toString('base64'), 'is the base64 of PEM text'],
    [other('PGP PRIVATE KEY BLOCK'), 'is of PGP'],
    ['PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\n', 'is a key for SSH'],
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
