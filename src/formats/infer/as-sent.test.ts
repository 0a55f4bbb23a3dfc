import { deflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { codecFor, expandSchema, rowsOf } from '../codec.ts';
import type { Row } from '../format.ts';
import type { ConnectionSchema, Field, Format } from '../schema/schema.ts';
import { type InferredSchema, SchemaInference } from './infer-schema.ts';

/** Proposals for messages as devices send them: each reads what it was proposed from, and says what is not obvious. */

function infer(payloads: readonly (string | Buffer)[], format?: Format, topic?: string): InferredSchema {
  const inference = new SchemaInference();
  for (const payload of payloads) inference.observe(Buffer.from(payload), topic);
  return inference.propose(format);
}

function rowOf(payload: string | Buffer, inferred: InferredSchema): Row | undefined {
  return rowsOf(codecFor(expandSchema(inferred.schema as ConnectionSchema)), Buffer.from(payload))[0];
}

const member = (name: string, values: readonly string[], format?: Format) =>
  infer(
    values.map((value) => `{${JSON.stringify(name)}:${value}}`),
    format,
  );

const typeOf = ({ schema }: InferredSchema): Partial<Field> => {
  const { name: _, required: __, ...type } = schema?.fields?.[0] ?? ({} as Field);
  return type;
};

describe('numbers that count the time', () => {
  test.each<[name: string, values: string[], format: string, unit: string, day: string]>([
    ['tst', ['1585032598'], 'unix_seconds', 'second', '2020-03-24'],
    ['time', ['1700000000.123', '1700000001.5'], 'unix_seconds', 'millisecond', '2023-11-14'],
    ['ts', ['1700000000.123456789'], 'unix_seconds', 'nanosecond', '2023-11-14'],
    ['updated_at', ['1.585032598e9'], 'unix_seconds', 'nanosecond', '2020-03-24'],
    ['last_seen', ['1585032598123'], 'unix_millis', 'millisecond', '2020-03-24'],
    ['time', ['1585032598123456'], 'unix_micros', 'microsecond', '2020-03-24'],
    ['ts', ['1585032598123456789'], 'unix_nanos', 'nanosecond', '2020-03-24'],
    ['ts', ['"1585032598"', '"1585032599"'], 'unix_seconds', 'second', '2020-03-24'],
  ])('%s of %j are timestamps', (name, values, timestamp_format, unit, day) => {
    const inferred = member(name, values);
    expect(inferred.schema?.format).toEqual({ type: 'json', timestamp_format });
    expect(typeOf(inferred)).toEqual({ type: 'timestamp', unit });
    expect(inferred.fields[0]?.note).toContain(`a time of ${day}`);
    for (const value of values) rowOf(`{"${name}":${value}}`, inferred);
  });

  test('in two units: the format has the one of most fields, the others name the function', () => {
    const inferred = infer(['{"ts":1585032598,"created_at":1585032598,"time":1585032598123}']);
    expect(inferred.schema?.format).toEqual({ type: 'json', timestamp_format: 'unix_seconds' });
    expect(inferred.fields.map(({ type }) => type)).toEqual(['timestamp', 'timestamp', 'int64']);
    expect(inferred.fields[2]?.note).toContain('in a query epoch_ms(time) reads it');
  });

  test('mixed in one field stay numbers, with the query that reads both', () => {
    const inferred = member('ts', ['1585032598', '1585032598123']);
    expect(typeOf(inferred)).toEqual({ type: 'int64' });
    expect(inferred.fields[0]?.note).toContain(
      'CASE WHEN ts > 100000000000 THEN epoch_ms(ts) ELSE epoch_ms(ts * 1000)',
    );
  });

  test.each([
    ['seq', ['1585032598']],
    ['counter', ['1585032598']],
    ['ts', ['1585032598', '12']],
    ['ts', ['0']],
    ['ts', ['-5']],
  ])('%s of %j are no times', (name, values) => {
    const inferred = member(name, values);
    expect([typeOf(inferred), inferred.schema?.format]).toEqual([{ type: 'int64' }, { type: 'json' }]);
  });

  test('beside RFC 3339 texts are both timestamps', () => {
    const payload = '{"ts":1585032598,"at":"2026-01-31T08:15:00Z"}';
    const inferred = infer([payload]);
    expect(inferred.fields.map(({ type }) => type)).toEqual(['timestamp', 'timestamp']);
    expect(rowOf(payload, inferred)).toEqual({ ts: 1_585_032_598n, at: 1_769_847_300_000n });
  });

  test('are left alone when the caller asks for RFC 3339, with the function', () => {
    const inferred = member('ts', ['1585032598'], { type: 'json', timestamp_format: 'rfc3339' });
    expect(typeOf(inferred)).toEqual({ type: 'int64' });
    expect(inferred.fields[0]?.note).toContain('to_timestamp(ts)');
  });
});

describe('texts of times', () => {
  test('without a zone are strings, with the query that reads them in one', () => {
    const inferred = infer(['{"sensor":{"Time":"2024-07-01T12:00:00"}}']);
    expect(inferred.schema?.fields?.[0]?.fields?.[0]?.type).toBe('string');
    expect(inferred.fields[1]?.note).toContain(
      "CAST(sensor.Time AS TIMESTAMP) AT TIME ZONE 'Europe/Berlin' reads them in a zone",
    );
    expect(typeOf(member('a', ['"2024-07-01 12:00:00.5"', '"2024-07-01T12:00:00Z"']))).toEqual({
      type: 'string',
    });
  });

  test('have the names of columns as a query must write them', () => {
    const noteOf = (name: string) => member(name, ['"2024-07-01"']).fields[0]?.note;
    expect(noteOf('end')).toContain('CAST("end" AS DATE)');
    expect(noteOf('a-b')).toContain('CAST("a-b" AS DATE)');
    expect(noteOf('say "x"')).toContain('CAST("say ""x""" AS DATE)');
    expect(noteOf('date')).toContain('CAST(date AS DATE)');
  });

  test('without a zone are timestamps when the caller gives the zone', () => {
    const inferred = member('at', ['"2024-07-01T12:00:00"'], { type: 'json', timezone: 'Europe/Berlin' });
    expect(typeOf(inferred)).toEqual({ type: 'timestamp', unit: 'millisecond' });
    expect(rowOf('{"at":"2024-07-01T12:00:00"}', inferred)).toEqual({ at: BigInt(Date.UTC(2024, 6, 1, 10)) });
  });

  test.each([
    ['"01.07.2024 12:00:00"', "strptime(a, '%d.%m.%Y %H:%M:%S')"],
    ['"2024-07-01"', 'CAST(a AS DATE)'],
    ['"2024-07-01T12:00"', "strptime(a, '%Y-%m-%dT%H:%M')"],
    ['"Mon, 01 Jul 2024 12:00:00 GMT"', "strptime(a, '%a, %d %b %Y %H:%M:%S GMT')"],
    ['"20240701T120000Z"', "strptime(a, '%Y%m%dT%H%M%SZ')"],
    ['"2024-W27-1"', "strptime(a, '%G-W%V-%u')"],
    ['"21.5"', 'CAST(a AS DOUBLE)'],
    ['"2024-07-01T12:00:00+0200"', 'CAST(a AS TIMESTAMPTZ)'],
    ['"/Date(1719828000123+0200)/"', "epoch_ms(CAST(regexp_extract(a, '-?[0-9]+') AS BIGINT))"],
    ['"20240701120000"', "strptime(a, '%Y%m%d%H%M%S')"],
    ['"21,5"', "CAST(replace(a, ',', '.') AS DOUBLE)"],
    ['"1,234.5"', "CAST(replace(a, ',', '') AS DOUBLE)"],
    ['"ON"', "(upper(a) = 'ON')"],
  ])('of another form name the expression: %s', (text, query) => {
    const inferred = member('a', [text]);
    expect(typeOf(inferred)).toEqual({ type: 'string' });
    expect(inferred.fields[0]?.note).toContain(`in a query ${query} reads them`);
  });
});

test.each(['"007"', '"051124"', '"+0045"', '"3D"', '"1,234"', '"21,500 W"', '"5 pieces"', '"2024-13"', '""'])(
  'the text %s is proposed as it is, without an expression that would change it',
  (text) => {
    const inferred = member('a', [text]);
    expect([typeOf(inferred), inferred.fields[0]?.note]).toEqual([{ type: 'string' }, null]);
  },
);

describe('envelopes', () => {
  const after = { id: 5, at: 1_730_812_927_123 };
  const change = { before: null, after, source: { name: 'x' }, op: 'c' };
  test.each<[name: string, message: object, format: Format, path: string]>([
    [
      'Kafka Connect',
      { schema: { type: 'struct' }, payload: after },
      { type: 'json', include_schema: true },
      '/payload/id',
    ],
    ['Debezium', change, { type: 'json', debezium: true }, '/after/id'],
    [
      'Debezium',
      { schema: null, payload: change },
      { type: 'json', include_schema: true, debezium: true },
      '/payload/after/id',
    ],
  ])('of %s are noted, and give the columns inside when asked: %j', (name, message, format, path) => {
    const payload = JSON.stringify(message);
    expect(infer([payload]).notes.join()).toContain(`like those of ${name}; send the format`);
    const inferred = infer([payload], format);
    expect(inferred.fields.map((field) => field.path)).toContain(path);
    expect(rowOf(payload, inferred)).toEqual({ id: 5n, at: 1_730_812_927_123n });
  });

  test('are none when a property is missing', () => {
    for (const payload of [
      '{"schema":1}',
      '{"payload":1,"schema":2,"x":3}',
      '{"before":1,"after":2,"op":"c"}',
    ])
      expect(infer([payload]).notes).toEqual([]);
  });
});

describe('csv', () => {
  const typesOf = (text: string, format: Partial<Extract<Format, { type: 'csv' }>> = {}) => {
    const inferred = infer([text], { type: 'csv', header: true, ...format });
    rowOf(text, inferred);
    return inferred.schema?.fields?.map(({ name, type, scale }) =>
      [name, type, scale].filter((x) => x !== undefined),
    );
  };

  test('of digits that a number would lose are decimals and strings', () => {
    const text = 'iccid,plz,amount,many,t\n89490200001234567890,01234,12345678901234567.89,1e40,0.1\n';
    expect(typesOf(text)).toEqual([
      ['iccid', 'decimal128', 0],
      ['plz', 'string'],
      ['amount', 'decimal128', 2],
      ['many', 'float64'],
      ['t', 'float64'],
    ]);
  });

  test('of decimal commas are numbers if the format has them', () => {
    const text = 't;n;p\n21,5;4;1.5\n';
    expect(typesOf(text, { delimiter: ';' })?.map(([, type]) => type)).toEqual([
      'string',
      'int64',
      'float64',
    ]);
    expect(typesOf(text, { delimiter: ';', decimal_separator: ',' })?.map(([, type]) => type)).toEqual([
      'float64',
      'int64',
      'string',
    ]);
  });

  test('of names that differ in case only is one column, as in SQL', () => {
    expect(typesOf('Id,id,n\n1,1,2\n')).toEqual([
      ['Id', 'int64'],
      ['n', 'int64'],
    ]);
  });
});

describe('numbers that float64 does not hold', () => {
  test.each<[values: string[], type: Partial<Field>]>([
    [['12345678901234567.89'], { type: 'decimal128', precision: 38, scale: 2 }],
    [['0.1234567890123456789'], { type: 'decimal128', precision: 38, scale: 19 }],
    [['1700000000.123456789', '5'], { type: 'decimal128', precision: 38, scale: 9 }],
    [['9007199254740993', '0.5'], { type: 'decimal128', precision: 38, scale: 1 }],
    [['1.2345678901234567891e30', '1e-20'], { type: 'json' }],
    [['0.30000000000000004', '21.100000381469727', '1e-7', '1.50', '-0.0'], { type: 'float64' }],
    [['0.1', '100000000000000000000.0'], { type: 'float64' }],
  ])('%j', (values, type) => {
    const inferred = member('a', values);
    expect(typeOf(inferred)).toEqual(type);
    if (type.type !== 'float64') expect(inferred.fields[0]?.note).toContain('more digits than float64 holds');
    for (const value of values) rowOf(`{"a":${value}}`, inferred);
  });

  test('take no time, however many digits they have', () => {
    expect(
      typeOf(member('a', [`0.${'0'.repeat(500_000)}1${'0'.repeat(400_000)}x`.replace('x', '')])),
    ).toEqual({ type: 'json' });
  });
});

describe('names that SQL takes for one', () => {
  test('make the whole message one json column, with the expressions', () => {
    const inferred = infer(['{"id":1,"Id":2}']);
    expect(inferred.schema).toEqual({
      format: { type: 'json', unstructured: true },
      fields: [{ name: 'value', type: 'json', required: true }],
    });
    expect(inferred.notes.join()).toContain("(value ->> 'id') and (value ->> 'Id') read them");
    expect(infer(['{"id":1}', '{"ID":2}']).schema?.format).toEqual({ type: 'json', unstructured: true });
    expect(infer(['{"é":1,"É":2}']).schema?.format).toEqual({ type: 'json', unstructured: true });
  });

  test('in an object make it a json column', () => {
    const inferred = infer(['{"a":{"x":1,"X":2},"b":{"__proto__":1},"c":[{"k":1,"K":2}]}']);
    expect(inferred.schema?.fields).toMatchObject([
      { name: 'a', type: 'json' },
      { name: 'b', type: 'json' },
      { name: 'c', type: 'list', items: { type: 'json' } },
    ]);
    expect(inferred.fields[0]?.note).toContain('x and X differ in case only');
  });

  test('lose the rarer one when the caller asks for columns', () => {
    const inferred = infer(['{"id":1,"Id":2}', '{"Id":3}'], { type: 'json' });
    expect(inferred.schema?.fields?.map(({ name }) => name)).toEqual(['Id']);
    expect(inferred.notes.join()).toContain('/id is left out: SQL takes its name for the same as /Id');
  });
});

describe('messages that are not JSON', () => {
  test.each<[name: string, payload: string | Buffer, note: string]>([
    ['a byte order mark', '\ufeff{"a":1}', 'byte 0 is a byte order mark'],
    ['a zero byte', '{"a":1}\0', "CAST(replace(value, chr(0), '') AS JSON)"],
    ['NaN', '{"a":NaN}', 'byte 5 is the word NaN, which JSON does not have'],
    ['single quotes', "{'a':1}", 'byte 1 is a single quote'],
    ['a trailing comma', '{"a":1,}', 'a trailing comma'],
    ['a cut', '{"a":"b', 'the document is cut off'],
    ['names without quotes', '{a:1}', 'byte 1 is a letter'],
    ['base64', Buffer.from('{"a":1}').toString('base64'), 'CAST(decode(from_base64(value)) AS JSON)'],
    ['hex', Buffer.from('{"a":1}').toString('hex'), 'CAST(decode(unhex(value)) AS JSON)'],
    ['zlib', deflateSync('{"a":1}'), 'begin as zlib does'],
    ['UTF-16', Buffer.from('\ufeff{"a":1}', 'utf16le'), 'begin as UTF-16 does'],
    ['UTF-16 without a mark', Buffer.from('{"a":1}', 'utf16le'), 'byte 1 is a zero byte'],
  ])('are counted with the reason: %s', (_name, payload, note) => {
    const inferred = infer([payload, payload, '{"a":1}']);
    expect(inferred.notes.join('\n')).toContain(note);
    expect(inferred.notes.join('\n')).toMatch(/^2 of 3 messages (?:are|begin)/m);
  });

  test('are not quoted, and their reasons are few', () => {
    const inferred = infer(Array.from({ length: 50 }, (_, index) => `{"s3cret${'x'.repeat(index)}":s3cret}`));
    expect(JSON.stringify(inferred)).not.toContain('s3cret');
    expect(inferred.notes.length).toBeLessThan(10);
  });

  test('but have an object in each line are framed', () => {
    const payload = '{"a":1}\n{"a":2.5,"b":"x"}\n';
    const inferred = infer([payload, '{"a":3}']);
    expect(inferred.schema).toMatchObject({ format: { type: 'json' }, framing: { method: 'newline' } });
    expect(inferred.notes.join()).toContain('In 1 of 2 messages each line is a JSON object');
    expect(rowOf(payload, inferred)).toEqual({ a: 1, b: null });
    expect(infer(['{"a":1}\nnonsense\n']).schema?.format).toEqual({ type: 'raw_string' });
  });
});

describe('CSV', () => {
  const noteOf = (payloads: string[]) => infer(payloads).notes.join('\n');
  test.each([
    [['a,1,2.5', 'b,2,3'], 'CSV of 3 values with a comma', '{"type": "csv"}'],
    [['a;1', 'b;2'], 'with a semicolon', '"delimiter": ";"'],
    [['a\t1\nb\t2\n'], 'with a tab', '"delimiter": "\\t"'],
    [['device,celsius\nd1,21.5\n'], 'CSV of 2 values', '"header": true'],
    [['"a, b",1', 'c,2'], 'CSV of 2 values', '{"type": "csv"}'],
  ])('is noted for %j', (payloads, looks, format) => {
    expect(noteOf(payloads)).toContain(looks);
    expect(noteOf(payloads)).toContain(`send the format`);
    expect(noteOf(payloads)).toContain(format);
  });

  test.each([[['on', 'off']], [['Hello, world', 'Goodbye, all']], [['1,2']], [['1,2', '1,2,3']]])(
    'is not seen in %j',
    (payloads) => {
      expect(noteOf(payloads)).not.toContain('CSV');
    },
  );

  test('gets columns when it is asked for, which read the messages', () => {
    const inferred = infer(['d1,21.5,true,7\n', 'd2,,false,8\nd3,x,true,9\n'], { type: 'csv' });
    expect(inferred.schema?.framing).toEqual({ method: 'newline' });
    expect(inferred.schema?.fields?.map(({ name, type }) => `${name} ${type}`)).toEqual([
      'c1 string',
      'c2 string',
      'c3 bool',
      'c4 int64',
    ]);
    const headed = infer(['device,celsius\nd1,21.5\n'], { type: 'csv', header: true });
    expect(headed.schema?.fields).toMatchObject([
      { name: 'device', type: 'string' },
      { name: 'celsius', type: 'float64' },
    ]);
  });
});

describe('bytes', () => {
  const fields: Field[] = [
    { name: 'device', type: 'string' },
    { name: 'celsius', type: 'float64' },
    { name: 'seq', type: 'uint64' },
    { name: 'raw', type: 'bytes' },
    { name: 'at', type: 'timestamp', unit: 'second' },
  ];
  const row: Row = { device: 'd', celsius: 21.5, seq: 2n ** 60n, raw: Buffer.of(1, 2), at: 1_700_000_000n };

  test.each(['cbor', 'msgpack'] as const)('that are maps of %s get columns that read them', (type) => {
    const payload = codecFor({ format: { type }, fields }).encode(row);
    const inferred = infer([payload, payload]);
    expect(inferred.schema?.format).toEqual({ type });
    expect(inferred.notes.join()).toContain(`maps of ${type}`);
    expect(inferred.schema?.fields?.map(({ name }) => name)).toEqual(fields.map(({ name }) => name));
    expect(rowOf(payload, inferred)).toMatchObject({
      device: 'd',
      celsius: 21.5,
      seq: 2n ** 60n,
      raw: '"AQI="',
    });
  });

  test('of Sparkplug are known by their topic', () => {
    const format = { type: 'sparkplug_b' } as const;
    const payload = codecFor({
      format,
      fields: [
        { name: 'name', type: 'string' },
        { name: 'double_value', type: 'float64' },
      ],
    }).encode({ name: 'temperature', double_value: 21.5 });
    const inferred = infer([payload, payload], undefined, 'spBv1.0/plant/DDATA/node/oven');
    expect(inferred.schema?.format).toEqual(format);
    expect(inferred.notes.join()).toContain('Sparkplug B');
    expect(rowOf(payload, inferred)).toMatchObject({ name: 'temperature', value: '21.5' });
    expect(infer([payload], undefined, 'plant/oven').schema?.format?.type).not.toBe('sparkplug_b');
    const state = infer(['{"online":true,"timestamp":1700000000000}'], undefined, 'spBv1.0/STATE/host');
    expect(state.schema?.format?.type).toBe('json');
  });

  test('that are nothing known stay bytes', () => {
    expect(infer([Buffer.of(0xa1, 0xff, 0xff), Buffer.of(0x81, 0xff)]).schema?.format).toEqual({
      type: 'raw_bytes',
    });
  });
});
