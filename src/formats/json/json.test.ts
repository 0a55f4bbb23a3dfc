import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { arbitraryFields, arbitraryRow } from '../../../test/support/arbitrary-rows.ts';
import { PenstockError } from '../../errors.ts';
import { codecFor } from '../codec.ts';
import type { FormatOf, Row } from '../format.ts';
import type { Field, ListItem } from '../schema/schema.ts';

function jsonCodec(fields: Field[], format: Partial<FormatOf<'json'>> = {}) {
  return codecFor({ format: { type: 'json', ...format }, fields });
}

function decodeOne(type: ListItem, json: string, format: Partial<FormatOf<'json'>> = {}) {
  return jsonCodec([{ ...type, name: 'a' }], format).decode(Buffer.from(`{"a":${json}}`)).a;
}

function encodeOne(type: ListItem, value: Row[string], format: Partial<FormatOf<'json'>> = {}) {
  return jsonCodec([{ ...type, name: 'a' }], format)
    .encode({ a: value })
    .toString();
}

function failure(work: () => unknown): PenstockError {
  try {
    work();
  } catch (error) {
    if (error instanceof PenstockError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('any row of any schema', () => {
  test('is the same after writing and reading it', () => {
    const cases = arbitraryFields.chain((fields) => fc.tuple(fc.constant(fields), arbitraryRow(fields)));
    fc.assert(
      fc.property(cases, ([fields, row]) => {
        const codec = jsonCodec(fields);
        const payload = codec.encode(row);
        expect(codec.decode(payload)).toEqual(row);
        expect(codec.encode(codec.decode(payload))).toEqual(payload);
        JSON.parse(payload.toString());
      }),
      { numRuns: 500 },
    );
  });

  test('is refused only with bad_data for arbitrary payloads', () => {
    const payload = fc.oneof(
      fc.json().map((text) => Buffer.from(text)),
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(arbitraryFields, payload, (fields, bytes) => {
        try {
          jsonCodec(fields).decode(bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'bad_data' });
        }
      }),
    );
  });
});

describe('reading a value', () => {
  const accepted: [type: ListItem, json: string, value: unknown][] = [
    [{ type: 'int32' }, '-2147483648', -2147483648],
    [{ type: 'int32' }, '1e3', 1000],
    [{ type: 'int32' }, '-0', 0],
    [{ type: 'int64' }, '9223372036854775807', 9223372036854775807n],
    [{ type: 'int64' }, '"-9223372036854775808"', -9223372036854775808n],
    [{ type: 'int64' }, '1.0', 1n],
    [{ type: 'int64' }, '12e2', 1200n],
    [{ type: 'uint64' }, '18446744073709551615', 18446744073709551615n],
    [{ type: 'uint64' }, '123456789012345e5', 12345678901234500000n],
    [{ type: 'float32' }, '0.1', Math.fround(0.1)],
    [{ type: 'float32' }, '-3.4028235e+38', -3.4028234663852886e38],
    [{ type: 'float64' }, '1e-400', 0],
    [{ type: 'decimal128', precision: 38, scale: 20 }, '0.12345678901234567890', '0.12345678901234567890'],
    [{ type: 'decimal128', precision: 5, scale: 2 }, '"-12.5"', '-12.50'],
    [{ type: 'decimal128', precision: 5, scale: 2 }, '1.005', '1.01'],
    [{ type: 'decimal128', precision: 5, scale: 2 }, '-0.004', '0.00'],
    [{ type: 'decimal128', precision: 5, scale: 0 }, '1.5e3', '1500'],
    [{ type: 'bytes' }, '"AAH/"', Buffer.from([0, 1, 255])],
    [{ type: 'timestamp', unit: 'second' }, '"1969-12-31T23:59:59.9Z"', -1n],
    [{ type: 'timestamp', unit: 'millisecond' }, '"2026-01-31 08:15:00.25+01:00"', 1769843700250n],
    [{ type: 'timestamp', unit: 'microsecond' }, '"2026-01-31T08:15:00"', 1769847300000000n],
    [{ type: 'timestamp', unit: 'nanosecond' }, '"1970-01-01T00:00:00.123456789123Z"', 123456789n],
    [{ type: 'json' }, '{"b":[12345678901234567890, 0.1]}', '{"b":[12345678901234567890,0.1]}'],
    [{ type: 'json' }, 'null', null],
    [
      { type: 'list', items: { type: 'int64' } },
      '[1,null,12345678901234567]',
      [1n, null, 12345678901234567n],
    ],
  ];
  test.each(accepted)('of %o takes %s', (type, json, value) => {
    expect(decodeOne(type, json)).toEqual(value);
  });

  const refused: [type: ListItem, json: string, path: string, problem: string][] = [
    [{ type: 'int32' }, '2147483648', '/a', 'is out of the range of int32'],
    [{ type: 'int32' }, '1.5', '/a', 'is not a whole number'],
    [{ type: 'int32' }, '"1"', '/a', 'is not a whole number'],
    [{ type: 'uint32' }, '-1', '/a', 'is out of the range of uint32'],
    [{ type: 'int64' }, '9223372036854775808', '/a', 'is out of the range of int64'],
    [{ type: 'int64' }, '9007199254740993.5', '/a', 'is not a whole number'],
    [{ type: 'float32' }, '1e39', '/a', 'is out of the range of float32'],
    [{ type: 'float64' }, '1e400', '/a', 'is out of the range of float64'],
    [{ type: 'decimal128', precision: 3, scale: 1 }, '100', '/a', 'is not a number that fits DECIMAL(3, 1)'],
    [
      { type: 'decimal128', precision: 3, scale: 1 },
      '1e999999999',
      '/a',
      'is not a number that fits DECIMAL(3, 1)',
    ],
    [{ type: 'bool' }, '1', '/a', 'is not true or false'],
    [{ type: 'string' }, '1', '/a', 'is not a string'],
    [{ type: 'bytes' }, '"AAHAA"', '/a', 'is not a base64 string'],
    [{ type: 'timestamp' }, '"2026-02-30T00:00:00Z"', '/a', 'is not an RFC 3339 time'],
    [{ type: 'timestamp', unit: 'nanosecond' }, '"3026-01-01T00:00:00Z"', '/a', 'is not an RFC 3339 time'],
    [
      { type: 'timestamp' },
      '1769847300000',
      '/a',
      'is not an RFC 3339 time: it is a number, which timestamp_format can read',
    ],
    [
      { type: 'struct', fields: [{ name: 'b', type: 'bool', required: true }] },
      '{}',
      '/a/b',
      'is required but missing',
    ],
    [
      { type: 'struct', fields: [{ name: 'b', type: 'bool', required: true }] },
      '[]',
      '/a',
      'is not an object',
    ],
    [{ type: 'list', items: { type: 'bool', required: true } }, '[null]', '/a/*', 'is required but null'],
    [{ type: 'list', items: { type: 'bool' } }, '{}', '/a', 'is not a list'],
    [{ type: 'json' }, `${'['.repeat(129)}${']'.repeat(129)}`, '/a', 'is nested more than 128 deep'],
  ];
  test.each(refused)('of %o refuses %s', (type, json, path, problem) => {
    const error = failure(() => decodeOne(type, json));
    expect(error.code).toBe('bad_data');
    expect(error.errors).toEqual([{ path, message: problem }]);
  });

  test('takes milliseconds and RFC 3339 alike when timestamps are unix_millis', () => {
    const format = { timestamp_format: 'unix_millis' } as const;
    expect(decodeOne({ type: 'timestamp', unit: 'second' }, '-1', format)).toBe(-1n);
    expect(decodeOne({ type: 'timestamp', unit: 'nanosecond' }, '5', format)).toBe(5_000_000n);
    expect(decodeOne({ type: 'timestamp' }, '"1970-01-01T00:00:01Z"', format)).toBe(1000n);
    expect(decodeOne({ type: 'timestamp' }, '1.5', format)).toBe(1n);
    expect(decodeOne({ type: 'timestamp' }, '"1769847300000"', format)).toBe(1_769_847_300_000n);
    expect(failure(() => decodeOne({ type: 'timestamp' }, 'true', format)).code).toBe('bad_data');
  });
});

describe('reading a payload', () => {
  const fields: Field[] = [{ name: 'a', type: 'int32' }];
  test.each([
    ['nothing', '', 'is empty'],
    ['a list', '[1]', 'is not an object'],
    ['null', 'null', 'is not an object'],
    ['a large number', '12345678901234567890', 'is not an object'],
    ['a byte order mark', '\ufeff{}', 'is not a JSON document'],
    ['half an object', '{"a":', 'is not a JSON document'],
  ])('refuses %s', (_name, text, problem) => {
    for (const extra of [[], [{ name: 'b', type: 'int64' } as Field]]) {
      const error = failure(() => jsonCodec([...fields, ...extra]).decode(Buffer.from(text)));
      expect(error.errors).toEqual([{ path: '', message: expect.stringContaining(problem) }]);
    }
  });

  test('refuses invalid UTF-8', () => {
    const error = failure(() => jsonCodec(fields).decode(Buffer.from([0x7b, 0xff, 0x7d])));
    expect(error.errors).toEqual([{ path: '', message: expect.stringContaining('is not UTF-8 text') }]);
  });

  test('quotes nothing of the payload in an error', () => {
    for (const text of ['{"a": s3cret}', '{"a": "s3cret"}']) {
      const error = failure(() => jsonCodec(fields).decode(Buffer.from(text)));
      expect(`${error.message} ${JSON.stringify(error.errors)} ${error.cause}`).not.toContain('s3cret');
    }
  });

  test('ignores properties that no field names, and sets absent fields to null', () => {
    expect(jsonCodec(fields).decode(Buffer.from('{"b":{"c":[1]}}'))).toEqual({ a: null });
  });

  test('ignores inherited properties', () => {
    const odd = ['__proto__', 'constructor', 'toString'].map((name): Field => ({ name, type: 'json' }));
    const codec = jsonCodec(odd);
    const empty = codec.decode(Buffer.from('{}'));
    expect(Object.entries(empty)).toEqual(odd.map(({ name }) => [name, null]));
    const payload = '{"__proto__":{"x":1},"constructor":2,"toString":3}';
    const row = codec.decode(Buffer.from(payload));
    expect(Object.getPrototypeOf(row)).toBe(Object.prototype);
    expect(codec.encode(row).toString()).toBe(payload);
    expect(({} as { x?: number }).x).toBeUndefined();
  });

  test('leaves metadata columns null when reading, and out when writing', () => {
    const codec = jsonCodec([
      ...fields,
      { name: 'topic', type: 'string', metadata_key: 'topic', required: true },
    ]);
    expect(codec.decode(Buffer.from('{"a":1,"topic":"mine"}'))).toEqual({ a: 1, topic: null });
    expect(codec.encode({ a: 1, topic: 'x' }).toString()).toBe('{"a":1}');
  });
});

describe('writing a value', () => {
  const written: [type: ListItem, value: Row[string], json: string][] = [
    [{ type: 'int64' }, 9223372036854775807n, '9223372036854775807'],
    [{ type: 'float32' }, Math.fround(0.1), '0.1'],
    [{ type: 'float32' }, Math.fround(16777217), '16777216'],
    [{ type: 'float64' }, Number.POSITIVE_INFINITY, 'null'],
    [{ type: 'decimal128', precision: 5, scale: 2 }, '-12.50', '-12.50'],
    [{ type: 'bytes' }, Buffer.from([0, 1, 255]), '"AAH/"'],
    [{ type: 'timestamp', unit: 'second' }, -1n, '"1969-12-31T23:59:59Z"'],
    [{ type: 'timestamp', unit: 'nanosecond' }, -1n, '"1969-12-31T23:59:59.999999999Z"'],
    [{ type: 'json' }, '{"x": 1}', '{"x": 1}'],
    [{ type: 'string' }, 'a"\ud800', '"a\\"\\ud800"'],
    [{ type: 'string' }, null, 'null'],
  ];
  test.each(written)('of %o writes %o as %s', (type, value, json) => {
    expect(encodeOne(type, value)).toBe(`{"a":${json}}`);
  });

  test('writes timestamps as milliseconds when asked', () => {
    const format = { timestamp_format: 'unix_millis' } as const;
    expect(encodeOne({ type: 'timestamp', unit: 'microsecond' }, -1n, format)).toBe('{"a":-1}');
  });

  const refused: [type: ListItem, value: Row[string]][] = [
    [{ type: 'int32' }, 2 ** 31],
    [{ type: 'int32' }, 1n],
    [{ type: 'uint64' }, -1n],
    [{ type: 'int64' }, 1],
    [{ type: 'float64', required: true }, Number.NaN],
    [{ type: 'decimal128', precision: 5, scale: 2 }, '1e5'],
    [{ type: 'string', required: true }, null],
    [{ type: 'json' }, '{"x": '],
    [{ type: 'timestamp', unit: 'second' }, 2n ** 62n],
    [{ type: 'list', items: { type: 'bool' } }, [1]],
    [{ type: 'struct', fields: [{ name: 'b', type: 'bool' }] }, 'x'],
  ];
  test.each(refused)('of %o refuses %o', (type, value) => {
    expect(failure(() => encodeOne(type, value)).code).toBe('bad_row');
  });
});

describe('unstructured json', () => {
  const codec = jsonCodec([{ name: 'value', type: 'json' }], { unstructured: true });

  test('keeps the document as written', () => {
    const text = ' {"a": 1.0, "b": 12345678901234567890} ';
    expect(codec.decode(Buffer.from(text))).toEqual({ value: text });
    expect(codec.encode({ value: text }).toString()).toBe(text);
  });

  test('refuses text that is not a document, and a null', () => {
    expect(failure(() => codec.decode(Buffer.from('{'))).code).toBe('bad_data');
    expect(failure(() => codec.encode({ value: null })).code).toBe('bad_row');
  });
});

describe('raw_string', () => {
  const codec = codecFor({ format: { type: 'raw_string' }, fields: [{ name: 'value', type: 'string' }] });

  test('takes any text, also an empty one', () => {
    for (const text of ['', 'grüß']) {
      expect(codec.decode(Buffer.from(text))).toEqual({ value: text });
      expect(codec.encode({ value: text }).toString()).toBe(text);
    }
  });

  test('refuses other bytes and a null', () => {
    expect(failure(() => codec.decode(Buffer.from([0xff]))).code).toBe('bad_data');
    expect(failure(() => codec.encode({ value: null })).code).toBe('bad_row');
  });
});
