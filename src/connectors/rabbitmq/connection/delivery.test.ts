import type { ConsumeMessage } from 'amqplib';
import { expect, test } from 'vitest';
import { deliveryCount, metadataOf, offsetOf, sizeOf } from './delivery.ts';

const messageWith = (headers: object): ConsumeMessage =>
  ({ content: Buffer.from('abc'), fields: {}, properties: { headers } }) as ConsumeMessage;

const nested = (depth: number): unknown => {
  let value: unknown = 'x';
  for (let n = 0; n < depth; n++) value = n % 2 === 0 ? [value] : { a: value };
  return value;
};

test.each<[object, object]>([
  [{ d: { '!': 'decimal', value: { digits: 125, places: 2 } } }, { d: 1.25 }],
  [{ d: { '!': 'decimal' } }, { d: { '!': 'decimal' } }],
  [{ d: { '!': 'decimal', value: { places: '2' } } }, { d: { '!': 'decimal', value: { places: '2' } } }],
  [{ t: { '!': 'timestamp', value: {} } }, { t: { '!': 'timestamp', value: {} } }],
  [{ t: { '!': 'timestamp', value: 8.64e15 } }, { t: null }],
  [{ t: { '!': 'timestamp', value: 0, unit: 's' } }, { t: { '!': 'timestamp', value: 0, unit: 's' } }],
  [{ o: { toJSON: 1, toString: 2 } }, { o: { toJSON: 1, toString: 2 } }],
  [
    { n: Number.NaN, list: [[1], null] },
    { n: null, list: [[1], null] },
  ],
])('the headers %j are shown', (headers, shown) => {
  expect(JSON.parse(String(metadataOf(messageWith(headers), 'q', undefined).headers))).toEqual(shown);
});

test('shows nested headers up to a depth', () => {
  const { headers } = metadataOf(messageWith({ some: nested(8), many: nested(50) }), 'q', undefined);
  const shown = JSON.parse(String(headers));
  expect(shown.some).toEqual(nested(8));
  expect(JSON.stringify(shown.many)).toMatch(/^\{"a":.*\[null\]/);
});

test('counts the bytes of headers of any depth', () => {
  expect(sizeOf(messageWith({ a: 'xy', b: { c: Buffer.alloc(5) } }))).toBe(3 + 16 + 1 + 2 + 1 + 16 + 1 + 5);
  expect(sizeOf(messageWith({ deep: nested(20_000) }))).toBeGreaterThan(20_000);
});

test.each([
  [{ 'x-stream-offset': 7, 'x-delivery-count': 2 }, 7, 2],
  [{ 'x-stream-offset': '7', 'x-delivery-count': 1.5 }, undefined, undefined],
  [Object.create({ 'x-stream-offset': 7, 'x-delivery-count': 2 }), undefined, undefined],
])('takes only whole numbers of the server for offset and count: %j', (headers, offset, count) => {
  const message = messageWith(headers);
  expect([offsetOf(message), deliveryCount(message)]).toEqual([offset, count]);
  expect(metadataOf(message, 'q', undefined).delivery_count).toBe(count === undefined ? null : BigInt(count));
});
