import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { connectorFor } from '../src/connectors/registry.ts';
import type { PenstockError } from '../src/errors.ts';
import { certificatesIn, readCertificates } from '../src/security/certificate-files.ts';
import { temporaryFolder } from './support/at-end.ts';
import { makeAuthority } from './support/certificates.ts';

const pem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
const { profile } = connectorFor('mqtt');

describe('the paths of certificates', () => {
  let base: string;
  let folder: string;
  beforeAll(() => {
    base = temporaryFolder('certificates');
    folder = join(base, 'certs');
    mkdirSync(join(folder, 'plant'), { recursive: true });
    mkdirSync(join(base, 'certs-of-others'));
    for (const path of ['certs/ca.pem', 'certs/plant/ca.pem', 'outside.pem', 'certs-of-others/ca.pem'])
      writeFileSync(join(base, path), pem);
    writeFileSync(join(folder, 'text.pem'), 'no certificate');
    writeFileSync(join(folder, 'large.pem'), pem + 'x'.repeat(300_000));
    symlinkSync('ca.pem', join(folder, 'current.pem'));
    symlinkSync('../outside.pem', join(folder, 'escape.pem'));
    symlinkSync('..', join(folder, 'up'));
    execFileSync('mkfifo', [join(folder, 'pipe.pem')]);
  });

  const read = (ca: string, dir: string | undefined = folder) =>
    readCertificates({ url: 'mqtts://h', tls: { ca } }, profile, certificatesIn(dir));
  const refusal = (ca: string, dir?: string): PenstockError => {
    try {
      read(ca, dir);
    } catch (error) {
      return error as PenstockError;
    }
    throw new Error(`${ca} was read`);
  };

  test('are replaced by the content of the files', () => {
    const config = { url: 'mqtts://h', tls: { ca: pem } };
    expect(read('ca.pem')).toEqual(config);
    expect(read('plant/ca.pem')).toEqual(config);
    expect(read(join(folder, 'plant', 'ca.pem'))).toEqual(config);
    expect(read('current.pem')).toEqual(config);
  });

  test('do not change text or other properties', () => {
    const config = { url: 'ca.pem', username: 'ca.pem', tls: { ca: pem, cert: '' } };
    expect(readCertificates(config, profile, certificatesIn(undefined))).toEqual(config);
  });

  test.each([
    '../outside.pem',
    'escape.pem',
    'up/outside.pem',
    '/etc/passwd',
    'missing.pem',
    '.',
    'ca.pem\0',
  ])('are refused outside of the folder as if there was nothing: %j', (path) => {
    const error = refusal(path);
    expect(error.code).toBe('certificate_unreadable');
    expect(error.errors).toEqual([
      { path: '/tls/ca', message: 'does not name a file below PENSTOCK_CERT_DIR' },
    ]);
  });

  test('are refused in a folder with the same prefix', () => {
    expect(refusal(join(base, 'certs-of-others', 'ca.pem')).message).toContain('does not name a file below');
  });

  test.each([
    ['plant', 'not a file'],
    ['pipe.pem', 'not a file'],
    ['large.pem', 'larger than 256 KiB'],
    ['text.pem', 'without a PEM block'],
  ])('are refused for what is no certificate: %s', (path, why) => {
    expect(refusal(path).message).toContain(why);
  });

  test('of other kinds of files are refused with the way to convert them', async () => {
    const { cert, key } = await makeAuthority();
    const put = (name: string, content: string | Buffer) => {
      writeFileSync(join(folder, name), content);
      return name;
    };
    const der = (text: string) => Buffer.from(text.replaceAll(/-----.*-----|\s/g, ''), 'base64');
    expect(refusal(put('a.der', der(cert))).message).toContain('openssl x509 -inform DER');
    expect(refusal(put('key.der', der(key))).message).toContain('openssl pkey -inform DER');
    // How every PKCS#12 file begins: a sequence with version 3, and data.
    const p12 = Buffer.from('3082034902010330820308060a2a864886f70d010701', 'hex');
    expect(refusal(put('a.p12', p12)).message).toContain('openssl pkcs12');
    const p7b = Buffer.from('3082022806092a864886f70d010702a08202193082', 'hex');
    expect(refusal(put('a.p7b', p7b)).message).toContain('openssl pkcs7 -inform DER');
    expect(refusal(put('a.jks', Buffer.from('feedfeed00000002', 'hex'))).message).toContain('key store');
    expect(refusal(put('empty.pem', '')).message).toContain('an empty file');
    expect(refusal(put('a.b64', der(cert).toString('base64'))).message).toContain('without its lines');
  });

  test('of the files of other systems are read', () => {
    const utf16 = Buffer.from(`\uFEFF${pem}`, 'utf16le');
    writeFileSync(join(folder, 'utf16.pem'), utf16);
    writeFileSync(join(folder, 'utf16be.pem'), utf16.swap16());
    writeFileSync(join(folder, 'text-before.pem'), `Bag Attributes\n${pem}`);
    expect(read('utf16.pem')).toMatchObject({ tls: { ca: pem } });
    expect(read('utf16be.pem')).toMatchObject({ tls: { ca: pem } });
    expect(read('text-before.pem')).toMatchObject({ tls: { ca: `Bag Attributes\n${pem}` } });
    expect(read(`Bag Attributes\n${pem}`)).toMatchObject({ tls: { ca: `Bag Attributes\n${pem}` } });
  });

  test('are told from text that the connector is to judge', () => {
    for (const ca of [`${'MIIB'.repeat(20)}\n${'MIIB'.repeat(20)}`, 'A'.repeat(2_000)])
      expect(read(ca)).toMatchObject({ tls: { ca } });
    expect(() => read('ca.pem\n')).toThrow('does not name a file');
  });

  test('are refused without a folder, and never repeated, as they might be keys', () => {
    const error = () =>
      readCertificates({ tls: { key: 'MIIBVgIBADANBg' } }, profile, certificatesIn(undefined));
    expect(error).toThrow('/tls/key names a file, but PENSTOCK_CERT_DIR is not set');
    expect(error).not.toThrow('MIIBVg');
    expect(refusal('ca.pem', join(base, 'nowhere')).message).toContain('does not exist');
  });
});
