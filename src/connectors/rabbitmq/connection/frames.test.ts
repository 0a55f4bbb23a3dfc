import { expect, test } from 'vitest';
import { readFrame } from './frames.ts';

const shortText = (text: string) => Buffer.from([text.length, ...Buffer.from(text)]);
const sized = (bytes: Buffer) => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
};
const field = (name: string, type: string, value: Buffer) =>
  Buffer.concat([shortText(name), Buffer.from(type), value]);

/** The frame with the properties of a message of 3 bytes: content type, headers and priority. */
function headerFrame(...fields: Buffer[]): Buffer {
  const fixed = Buffer.alloc(14);
  fixed.writeUInt16BE(60, 0);
  fixed.writeBigUInt64BE(3n, 4);
  fixed.writeUInt16BE(0x8000 | 0x2000 | 0x0800, 12);
  const payload = Buffer.concat([fixed, shortText('a/b'), sized(Buffer.concat(fields)), Buffer.from([5])]);
  const start = Buffer.from([2, 0, 1]);
  return Buffer.concat([start, sized(payload), Buffer.from([0xce])]);
}

const offset = Buffer.alloc(8);
offset.writeBigInt64BE(7n);
const good = [field('n', 'l', offset), field('text', 'S', sized(Buffer.from('x')))];
const unknown = field('?', 'Z', Buffer.alloc(3));

test.each([
  ['a table', field('t', 'F', sized(unknown))],
  ['an array', field('t', 'A', sized(Buffer.from('Z')))],
])('reads the other headers beside %s that amqplib cannot decode', (_, bad) => {
  const bytes = headerFrame(good[0] as Buffer, bad, good[1] as Buffer);
  const read = readFrame(Buffer.concat([bytes, Buffer.from('rest')]), 0);
  expect(read?.frame).toMatchObject({
    channel: 1,
    size: 3,
    fields: { contentType: 'a/b', headers: { n: 7, t: null, text: 'x' }, priority: 5 },
  });
  expect(String(read?.rest)).toBe('rest');
});

test('reads a message without its properties if no header can be decoded', () => {
  expect(readFrame(headerFrame(...good, unknown), 0)?.frame).toEqual({
    id: 60,
    channel: 1,
    size: 3,
    fields: {},
  });
  expect(readFrame(headerFrame(...good).subarray(0, 20), 0)).toBeUndefined();
});
