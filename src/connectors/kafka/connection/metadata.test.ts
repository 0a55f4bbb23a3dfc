import { expect, test } from 'vitest';
import { bytesOf } from './metadata.ts';
import type { Fetched } from './reader.ts';

const message = (parts: Pick<Fetched, 'key' | 'value' | 'headers'>): Fetched => ({
  topic: 't',
  partition: 0,
  offset: 0n,
  timestamp: 0n,
  ...parts,
});

test('a message has the bytes of its value, its key and its headers', () => {
  const [key, value] = [Buffer.alloc(20), Buffer.alloc(300)];
  const headers: Fetched['headers'] = [
    [Buffer.from('h'), Buffer.alloc(4_000)],
    [Buffer.from('h'), null],
    [null, Buffer.alloc(50_000)],
  ];
  expect(bytesOf(message({ key, value, headers }))).toBe(54_322);
  expect(bytesOf(message({ key: null, value: null, headers: [] }))).toBe(0);
});
