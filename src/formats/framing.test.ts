import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { PenstockError } from '../errors.ts';
import { codecFor, rowsOf } from './codec.ts';
import { type Codec, maxRowsOfMessage } from './format.ts';
import type { ConnectionSchema, Format } from './schema/schema.ts';

const columns = [{ name: 'a', type: 'int32' }] as const;
const text = [{ name: 'value', type: 'string' }] as const;

function lines(format: Format, fields: ConnectionSchema['fields'], longest?: number): Codec {
  const framing = longest === undefined ? {} : { max_line_length: longest };
  return codecFor({ format, fields: [...(fields ?? [])], framing: { method: 'newline', ...framing } });
}

/** The rows of a message, and the message of each that is bad. */
function split(codec: Codec, payload: string | Buffer): { rows: unknown[]; bad: string[] } {
  const bad: string[] = [];
  const rows = codec.decodeAll?.(Buffer.from(payload), (error: PenstockError) => bad.push(error.message));
  return { rows: rows ?? [], bad };
}

describe('framing by newlines', () => {
  const json = lines({ type: 'json' }, [...columns]);
  const raw = lines({ type: 'raw_string' }, [...text]);

  test.each([
    ['', []],
    ['\n', []],
    ['{"a":1}', [1]],
    ['{"a":1}\n', [1]],
    ['{"a":1}\r\n{"a":2}\r\n', [1, 2]],
    ['\n{"a":1}\n\n\r\n{"a":2}', [1, 2]],
  ])('reads JSON lines from %j', (payload, values) => {
    expect(split(json, payload)).toEqual({ rows: values.map((a) => ({ a })), bad: [] });
  });

  test.each([
    ['', []],
    ['\n', ['']],
    ['a\n\nb', ['a', '', 'b']],
    ['a\r\nb\rc\r\n', ['a', 'b\rc']],
    ['a\r', ['a\r']],
  ])('reads lines of text from %j, empty ones too', (payload, values) => {
    expect(split(raw, payload)).toEqual({ rows: values.map((value) => ({ value })), bad: [] });
  });

  test('reports bad lines and reads the others', () => {
    const payload = '{"a":1}\n{"a":"x"}\n\n{"a":2}\nnonsense\n{"a":3}\n';
    const bad = [
      'Line 2: The field /a is not a whole number',
      expect.stringContaining('Line 5: The payload is not a JSON document: byte 0 is a letter'),
    ];
    expect(split(json, payload)).toEqual({ rows: [{ a: 1 }, { a: 2 }, { a: 3 }], bad });
    expect(() => rowsOf(json, Buffer.from(payload))).toThrow(
      expect.objectContaining({
        errors: [{ path: '/a', message: 'is not a whole number' }],
        facts: { line: 2 },
      }),
    );
  });

  test('refuses a line that is too long, and reads the others', () => {
    const short = lines({ type: 'raw_string' }, [...text], 3);
    const bad = ['Line 2: The payload is longer than the 3 bytes of max_line_length'];
    expect(split(short, 'abc\nüü\nd\r\n')).toEqual({ rows: [{ value: 'abc' }, { value: 'd' }], bad });
    expect(short.encode({ value: 'abc' }).toString()).toBe('abc\n');
    expect(() => short.encode({ value: 'abcd' })).toThrow(expect.objectContaining({ code: 'bad_row' }));
  });

  test('refuses a message with more rows than one may hold', () => {
    const most = 'x\n'.repeat(maxRowsOfMessage);
    expect(split(raw, most).rows).toHaveLength(maxRowsOfMessage);
    expect(() => split(raw, `${most}x`)).toThrow(`holds more than ${maxRowsOfMessage} lines`);
    const csv = lines({ type: 'csv' }, [...columns]);
    for (const more of ['1\n', '"1"\n']) {
      expect(split(csv, more.repeat(maxRowsOfMessage)).rows).toHaveLength(maxRowsOfMessage);
      expect(() => split(csv, more.repeat(maxRowsOfMessage + 1))).toThrow('holds more than');
    }
  });

  test('reads exactly one row if one is requested', () => {
    expect(json.decode(Buffer.from('{"a":1}\n'))).toEqual({ a: 1 });
    for (const payload of ['', '{"a":1}\n{"a":2}'])
      expect(() => json.decode(Buffer.from(payload))).toThrow('rows instead of one');
  });

  test('never writes one row as two', () => {
    for (const value of ['a\nb', 'a\r', '\n'])
      expect(() => raw.encode({ value })).toThrow(expect.objectContaining({ code: 'bad_row' }));
    const any = lines({ type: 'json' }, [{ name: 'a', type: 'json' }]);
    expect(any.encode({ a: '{\r\n "b":\n"c\\n"}' }).toString()).toBe('{"a":{   "b": "c\\n"}}\n');
  });
});

describe('gzip', () => {
  const json = codecFor({ format: { type: 'json', compression: 'gzip' }, fields: [...columns] });

  test('refuses data that is not gzip, or truncated', () => {
    const whole = gzipSync('{"a":1}');
    expect(json.decode(whole)).toEqual({ a: 1 });
    for (const payload of [
      Buffer.alloc(0),
      Buffer.from('{"a":1}'),
      whole.subarray(0, -4),
      whole.subarray(0, 5),
    ])
      expect(() => json.decode(payload)).toThrow(
        expect.objectContaining({ code: 'bad_data', errors: [{ path: '', message: 'is not gzip' }] }),
      );
  });

  test('refuses a small message that would unpack to a large one', () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, ' '));
    expect(bomb.length).toBeLessThan(100_000);
    expect(() => json.decode(bomb)).toThrow('is more than 16777216 bytes when it is unpacked');
  });
});

describe('skip_empty', () => {
  test.each<Format>([
    { type: 'json' },
    { type: 'json', compression: 'gzip' },
    { type: 'json', debezium: true },
    { type: 'csv', header: true },
    { type: 'cbor' },
    { type: 'avro', raw_datums: true },
  ])('skips a message without bytes, and only that: %j', (format) => {
    const schema = (skip_empty: boolean) => ({ format: { ...format, skip_empty }, fields: [...columns] });
    expect(() => rowsOf(codecFor(schema(false)), Buffer.alloc(0))).toThrow(
      expect.objectContaining({ code: 'bad_data' }),
    );
    const codec = codecFor(schema(true));
    expect(rowsOf(codec, Buffer.alloc(0))).toEqual([]);
    expect(rowsOf(codec, codec.encode({ a: 5 }))).toEqual([{ a: 5 }]);
    expect(() => rowsOf(codec, Buffer.from(' '))).toThrow(expect.objectContaining({ code: 'bad_data' }));
  });
});
