import { expect, test } from 'vitest';
import { codecFor } from '../codec.ts';
import { bytesOfBase64 } from './base64.ts';

test.each([
  ['', ''],
  ['AAH/', '0001ff'],
  ['AAH_', '0001ff'],
  ['-_8=', 'fbff'],
  ['-_8', 'fbff'],
  ['+/8', 'fbff'],
  ['AA==', '00'],
  ['AA', '00'],
])('%s is base64', (text, hex) => {
  expect(bytesOfBase64(text)?.toString('hex')).toBe(hex);
  for (const type of ['json', 'csv'] as const) {
    const codec = codecFor({ format: { type }, fields: [{ name: 'a', type: 'bytes', required: true }] });
    const message = type === 'json' ? JSON.stringify({ a: text }) : `"${text}"`;
    expect(codec.decode(Buffer.from(message))).toEqual({ a: Buffer.from(hex, 'hex') });
  }
});

test.each(['A', 'A=', 'A==', 'AA=', 'AAA==', '=', '==', 'AAAA=', 'A A=', 'AA\n', 'AA.A', 'ü'])(
  '%j is not',
  (text) => {
    expect(bytesOfBase64(text)).toBeUndefined();
  },
);
