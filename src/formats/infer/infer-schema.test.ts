import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { codecFor, expandSchema } from '../codec.ts';
import { parseAsWritten } from '../json/text.ts';
import type { ConnectionSchema, Field, Format } from '../schema/schema.ts';
import { type InferredSchema, SchemaInference } from './infer-schema.ts';

function infer(payloads: readonly (string | Buffer)[], format?: Format): InferredSchema {
  const inference = new SchemaInference();
  for (const payload of payloads) inference.observe(Buffer.from(payload));
  return inference.propose(format);
}

/** The one field of messages that have these values, as JSON texts. */
function fieldOf(values: string[], name = 'a', format?: Format): Field {
  const { schema } = infer(
    values.map((value) => `{${JSON.stringify(name)}:${value}}`),
    format,
  );
  const [field] = (schema as ConnectionSchema).fields ?? [];
  const { name: _, required: __, ...type } = field as Field;
  return type as Field;
}

const fits = (schema: ConnectionSchema, payload: string): void => {
  codecFor(expandSchema(schema)).decode(Buffer.from(payload));
};

describe('the type of a field', () => {
  test.each([
    [['true', 'false'], { type: 'bool' }],
    [['1', '-5'], { type: 'int64' }],
    [['9223372036854775807', '-9223372036854775808'], { type: 'int64' }],
    [['18446744073709551615', '1'], { type: 'uint64' }],
    [['18446744073709551615', '-1'], { type: 'json' }],
    [['18446744073709551616'], { type: 'json' }],
    [['20.0', '21.0'], { type: 'float64' }],
    [['1', '2.5', '1e3'], { type: 'float64' }],
    [['9007199254740993', '2.5'], { type: 'decimal128', precision: 38, scale: 1 }],
    [['1e400'], { type: 'json' }],
    [['"a"', '""'], { type: 'string' }],
    [['"1"', '2'], { type: 'json' }],
    [['"2026-01-31T08:15:00Z"'], { type: 'timestamp', unit: 'millisecond' }],
    [
      ['"2026-01-31T08:15:00.123456+02:00"', '"2026-01-31 08:15:00Z"'],
      { type: 'timestamp', unit: 'microsecond' },
    ],
    [['"2026-01-31T08:15:00.123456789Z"'], { type: 'timestamp', unit: 'nanosecond' }],
    [
      ['"2026-01-31T08:15:00.123456789Z"', '"0001-01-01T00:00:00Z"'],
      { type: 'timestamp', unit: 'microsecond' },
    ],
    [['"2026-01-31T08:15:00Z"', '"never"'], { type: 'string' }],
    [['"2026-01-31"'], { type: 'string' }],
    [['1790000000000'], { type: 'int64' }],
    [['null'], { type: 'json' }],
    [['[]'], { type: 'json' }],
    [['{}'], { type: 'json' }],
    [['[1]', '[]', '[2.5, null]'], { type: 'list', items: { type: 'float64', required: false } }],
    [['[1, "a"]'], { type: 'list', items: { type: 'json', required: false } }],
    [
      ['{"b": 1}', '{"c": [{"d": true}]}'],
      {
        type: 'struct',
        fields: [
          { name: 'b', type: 'int64', required: false },
          {
            name: 'c',
            type: 'list',
            required: false,
            items: {
              type: 'struct',
              required: false,
              fields: [{ name: 'd', type: 'bool', required: false }],
            },
          },
        ],
      },
    ],
    [['{"b": 1}', '7'], { type: 'json' }],
  ])('with values %j', (values, type) => {
    expect(fieldOf(values)).toEqual(type);
  });

  test.each(['ts', 'createdAt', 'event_time', 'time', 'at'])(
    'is a time for whole numbers like those of a clock under the name %s',
    (name) => {
      expect(fieldOf(['1790000000000', '1790000000001'], name).type).toBe('timestamp');
      expect(fieldOf(['1790000000000', '17'], name).type).toBe('int64');
      expect(fieldOf(['1790000000000'], name, { type: 'json', timestamp_format: 'rfc3339' }).type).toBe(
        'int64',
      );
    },
  );

  test.each(['seq', 'uptime', 'format', 'tsunami'])('is a whole number under the name %s', (name) => {
    expect(fieldOf(['1790000000000'], name).type).toBe('int64');
  });

  test('that is a time in milliseconds goes with the format that reads it', () => {
    const { schema, fields } = infer(['{"ts":1790000000000,"at":"2026-01-31T08:15:00Z"}']);
    expect(schema?.format).toEqual({ type: 'json', timestamp_format: 'unix_millis' });
    expect(fields[0]?.note).toContain('milliseconds');
    fits(schema as ConnectionSchema, '{"ts":1790000000001,"at":"2026-01-31T08:15:01Z"}');
  });
});

describe('what supports a field', () => {
  test('is required only when it was always there, in enough messages', () => {
    const some = (count: number, more: string) =>
      infer([...Array.from({ length: count }, () => '{"a":1,"b":{"c":1}}'), more].filter(Boolean)).fields;
    const required = (fields: InferredSchema['fields']) =>
      fields.filter((field) => field.required).map(({ path }) => path);
    expect(required(some(9, ''))).toEqual([]);
    expect(required(some(10, ''))).toEqual(['/a', '/b', '/b/c']);
    expect(required(some(10, '{"b":null}'))).toEqual(['/b/c']);
    expect(required(some(10, '{"a":1,"b":{}}'))).toEqual(['/a', '/b']);
  });

  test('is counted, without a value', () => {
    const inferred = infer(['{"a~/b":"secret","c":[1,2.5]}', '{"c":[]}', '{"c":null}']);
    expect(inferred.fields).toEqual([
      {
        path: '/a~0~1b',
        type: 'string',
        required: false,
        present: 1,
        of: 3,
        types: { string: 1 },
        note: null,
      },
      {
        path: '/c',
        type: 'list',
        required: false,
        present: 3,
        of: 3,
        types: { list: 2, null: 1 },
        note: null,
      },
      {
        path: '/c/*',
        type: 'float64',
        required: false,
        present: 2,
        of: 2,
        types: { int64: 1, float64: 1 },
        note: null,
      },
    ]);
    expect(JSON.stringify(inferred)).not.toContain('secret');
  });
});

describe('the format', () => {
  test.each<[string, (string | Buffer)[], ConnectionSchema['format'] | undefined]>([
    ['objects', ['{"a":1}', ' {"a":2}', 'x'], { type: 'json' }],
    ['other documents', ['1', '"a"', '[]'], { type: 'json', unstructured: true }],
    ['text', ['on', 'off', '{'], { type: 'raw_string' }],
    ['empty objects', ['{}'], undefined],
    ['nothing at all', ['', ''], undefined],
  ])('of %s', (_, payloads, format) => {
    expect(infer(payloads).schema?.format).toEqual(format);
  });

  test('of maps whose properties are data is unstructured', () => {
    const map = Object.fromEntries(Array.from({ length: 201 }, (_, index) => [`device-${index}`, index]));
    const { schema, notes } = infer([JSON.stringify(map)]);
    expect(schema?.format).toEqual({ type: 'json', unstructured: true });
    expect(notes.join()).toContain('maps');
    expect(fieldOf([JSON.stringify(map)])).toEqual({ type: 'json' });
  });

  test('is the one of the caller, with counts of messages that do not fit', () => {
    const { schema, notes } = infer(['{"a":1}', 'x'], { type: 'raw_string' });
    expect(schema).toEqual({
      format: { type: 'raw_string' },
      fields: [{ name: 'value', type: 'string', required: true }],
    });
    expect(notes).toEqual([]);
    expect(infer(['1'], { type: 'json' })).toMatchObject({ schema: null });
  });

  test('is looked for inside of gzip, up to a bound', () => {
    const bomb = gzipSync(Buffer.alloc(20 * 1024 * 1024));
    const broken = Buffer.of(0x1f, 0x8b, 1, 2, 3);
    const { gzip, kinds, fields } = infer([gzipSync('{"a":1}'), bomb, broken]);
    expect([gzip, kinds.json_object, kinds.too_large, kinds.bytes]).toEqual([2, 1, 1, 1]);
    expect(fields).toHaveLength(1);
  });
});

describe('hostile messages', () => {
  test('with deep nesting or impossible column names do no harm', () => {
    const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
    expect(infer(['['.repeat(400_000)]).kinds.text).toBe(1);
    expect(infer([deep(100_000)]).kinds.text).toBe(1);
    const { schema } = infer([deep(100)]);
    expect(JSON.stringify(schema)).toContain('"json"');
    fits(schema as ConnectionSchema, deep(100));
    const odd = infer([`{"":1,"__proto__":{"constructor":2},"${'x'.repeat(257)}":1}`]);
    expect(odd.fields.map(({ path }) => path)).toEqual(['/__proto__', '/__proto__/constructor']);
    expect(odd.notes).toHaveLength(2);
  });

  test('with very many names yield a bounded number of fields', () => {
    const wide = Array.from({ length: 150 }, (_, outer) => [
      `o${outer}`,
      Object.fromEntries(Array.from({ length: 150 }, (_, inner) => [`i${inner}`, 1])),
    ]);
    const { schema, fields } = infer([JSON.stringify(Object.fromEntries(wide))]);
    expect(fields.length).toBeLessThanOrEqual(1000);
    expect(schema).not.toBeNull();
    fits(schema as ConnectionSchema, JSON.stringify(Object.fromEntries(wide)));
  });
});

describe('a proposed schema', () => {
  const leaf = fc.oneof(
    fc.boolean(),
    fc.constant(null),
    fc.integer(),
    fc.integer({ min: 1_600_000_000_000, max: 1_800_000_000_000 }),
    fc.double(),
    fc.string(),
    fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
    fc.bigInt({ min: -(2n ** 66n), max: 2n ** 66n }).map((number) => parseAsWritten(String(number))),
  );
  const name = fc.constantFrom('a', 'b', 'ts', '__proto__', '', 'x/y');
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(name, tie('value'), { maxKeys: 4, noNullPrototype: true }),
    ),
  }));
  const message = fc.dictionary(name, value, { maxKeys: 5, noNullPrototype: true });

  test('reads every message that it was proposed from', () => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 14 }), (messages) => {
        const payloads = messages.map((one) => JSON.stringify(one));
        const { schema } = infer(payloads);
        if (schema) for (const payload of payloads) fits(schema, payload);
      }),
      { numRuns: 1000 },
    );
  });
});

test.each([
  ['<?xml version="1.0"?><t>21.5</t>', 'XML'],
  ['weather,location=us temperature=82,humidity=71i 1465839830100400200', 'the line protocol of InfluxDB'],
  ['PASSKEY=ABC&stationtype=GW1000B&tempinf=70.7', 'the fields of an HTML form'],
  ['$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n', 'sentences of NMEA 0183'],
  [Buffer.from('{"unit":"\xb0C"}', 'latin1'), 'text that is not UTF-8'],
])('what looks like another format is named: %s', (payload, name) => {
  expect(infer([payload]).notes.join()).toContain(`1 of 1 messages look like ${name}`);
});

test.each(['a=1', 'ok', 'a b c', '<5', '$5', 'temperature 21.5'])('%s is a plain text', (payload) => {
  expect(infer([payload]).notes).toEqual([]);
});

test.each([
  ['21,5', '22,0'],
  ['21,5 °C', '22,0 °C'],
  ['-3,25%', '4,5%'],
])('csv is not what %s is', (...texts) => {
  expect(infer(texts).notes.join()).not.toContain('CSV');
});
