import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { codecFor, validateSchema } from '../codec.ts';
import type { Row } from '../format.ts';
import type { Field } from '../schema/schema.ts';

const fields: Field[] = [
  { name: 'name', type: 'string', required: true },
  { name: 'unit', type: 'string' },
  { name: 'time', type: 'timestamp', unit: 'microsecond' },
  { name: 'is_relative', type: 'bool' },
  { name: 'value', type: 'float64' },
  { name: 'string_value', type: 'string' },
  { name: 'bool_value', type: 'bool' },
  { name: 'data_value', type: 'bytes' },
  { name: 'sum', type: 'float64' },
  { name: 'update_time', type: 'float64' },
];
const codecs = {
  json: codecFor({ format: { type: 'senml' }, fields }),
  cbor: codecFor({ format: { type: 'senml', encoding: 'cbor' }, fields }),
};
const nulls = Object.fromEntries(fields.map(({ name }) => [name, null]));
const now = 1_769_847_300_000;

function read(payload: object | Buffer, encoding: 'json' | 'cbor' = 'json') {
  const errors: string[] = [];
  const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(JSON.stringify(payload));
  const rows = codecs[encoding].decodeAll?.(bytes, ({ message }) => errors.push(message)) ?? [];
  return { rows, errors };
}

beforeEach(() => {
  vi.useFakeTimers({ now, toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const celsius: Row = { ...nulls, unit: 'Cel', is_relative: false, value: 23.5 };

describe('a pack', () => {
  test('of RFC 8428, section 5.1.3, has its base values in every row', () => {
    const pack = [
      {
        bn: 'urn:dev:ow:10e2073a0108006:',
        bt: 1.276020076001e9,
        bu: 'A',
        bver: 5,
        n: 'voltage',
        u: 'V',
        v: 120.1,
      },
      { n: 'current', t: -5, v: 1.2 },
      { n: 'current', t: -4, v: 1.3 },
    ];
    expect(read(pack).rows.map(({ name, unit, time, value }) => [name, unit, time, value])).toEqual([
      ['urn:dev:ow:10e2073a0108006:voltage', 'V', 1_276_020_076_001_000n, 120.1],
      ['urn:dev:ow:10e2073a0108006:current', 'A', 1_276_020_071_001_000n, 1.2],
      ['urn:dev:ow:10e2073a0108006:current', 'A', 1_276_020_072_001_000n, 1.3],
    ]);
  });

  test('of kpn-senml 1.0.3 for Python is the same in JSON and CBOR', () => {
    const json = [
      { n: 'temp', v: 23.5, t: -5.0, bn: 'urn:dev:ow:10e2073a01080063:', bu: 'Cel', bt: 1276020076.305 },
      { n: 'door', vb: true },
      { n: 'flow', s: 7.25, u: 'm3' },
    ];
    const cbor =
      '83a6006474656d7002fb403780000000000006fbc01400000000000021781c75726e3a6465763a6f773a313065323037' +
      '336130313038303036333a236343656c22fb41d303a15b13851fa20064646f6f7204f5a30064666c6f7705fb401d00000000000001626d33';
    const name = 'urn:dev:ow:10e2073a01080063:';
    const expected = [
      { ...celsius, name: `${name}temp`, time: 1_276_020_071_305_000n },
      { ...celsius, name: `${name}door`, time: 1_276_020_076_305_000n, value: null, bool_value: true },
      { ...celsius, name: `${name}flow`, time: 1_276_020_076_305_000n, unit: 'm3', value: null, sum: 7.25 },
    ];
    expect(read(json)).toEqual({ rows: expected, errors: [] });
    expect(read(Buffer.from(cbor, 'hex'), 'cbor')).toEqual({ rows: expected, errors: [] });
  });

  test('in CBOR may hold bytes, integers and decimals (cbor2 6.3.0)', () => {
    const hex =
      '85a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b13851f23614120050067766f6c746167' +
      '6501615602fb405e066666666666a3006763757272656e74062402fb3ff3333333333333a20061780842fbffa200616402c482211907d5' +
      'a20061770205';
    const { rows, errors } = read(Buffer.from(hex, 'hex'), 'cbor');
    expect(errors).toEqual([]);
    expect(rows.map(({ value, data_value }) => value ?? data_value)).toEqual([
      ...[120.1, 1.2, Buffer.from('fbff', 'hex'), 20.05, 5],
    ]);
  });

  test('adds base values without losing a digit', () => {
    const pack = [
      { bn: 'a', bv: 23.1, bs: 0.1, bt: 1700000000.1, n: 'x', v: 0.2, s: 0.2, t: 0.2 },
      { v: 0.05 },
    ];
    expect(read(pack).rows).toMatchObject([
      { value: 23.3, sum: 0.3, time: 1_700_000_000_300_000n },
      { name: 'a', value: 23.15, sum: 0.1, time: 1_700_000_000_100_000n },
    ]);
    const exact = codecFor({
      format: { type: 'senml' },
      fields: [{ name: 'value', type: 'decimal128', precision: 38, scale: 2 }],
    });
    const payload = Buffer.from('[{"bn":"a","bv":12345678901234567890,"v":0.12},{"v":1e-2}]');
    expect(exact.decodeAll?.(payload)).toEqual([
      { value: '12345678901234567890.12' },
      { value: '12345678901234567890.01' },
    ]);
    expect(read([{ n: 'a', bv: 1e-300, v: 1e300 }]).rows).toMatchObject([{ value: 1e300 }]);
  });

  test('has times relative to now below 2^28 seconds, and without any', () => {
    const at = BigInt(now) * 1000n;
    const pack = [
      { bn: 'a', v: 1 },
      { t: -5.5, v: 1 },
      { t: 268435455, v: 1 },
      { t: 268435456, v: 1 },
    ];
    expect(read(pack).rows).toMatchObject([
      { time: at, is_relative: true },
      { time: at - 5_500_000n, is_relative: true },
      { time: at + 268_435_455_000_000n, is_relative: true },
      { time: 268_435_456_000_000n, is_relative: false },
    ]);
  });

  test('may have records with base values alone, and base values that change', () => {
    const pack = [
      { bn: 'a/', bu: 'V' },
      { n: 'x', v: 1 },
      { bn: 'b/', bu: 'A' },
      { n: 'x', v: 2 },
      { vs: '' },
    ];
    expect(read(pack).rows).toMatchObject([
      { name: 'a/x', unit: 'V' },
      { name: 'b/x', unit: 'A' },
      { name: 'b/', string_value: '' },
    ]);
    expect(read([])).toEqual({ rows: [], errors: [] });
  });

  test('ignores labels it does not know, but those ending with _', () => {
    expect(read([{ n: 'a', v: 1, l: '[]', custom: 5 }]).rows).toHaveLength(1);
    expect(read([{ n: 'a', v: 1, custom_: 5 }]).errors).toEqual([
      'Record 1: The payload has a label that ends with _, which a reader has to understand',
    ]);
  });
});

describe('a wrong record', () => {
  test.each([
    [{ v: 1 }, 'The field /n is required, or bn: a record needs a name'],
    [{ n: 'a' }, 'The payload has no value: one of v, vs, vb, vd and s'],
    [{ n: 'a', v: 1, vs: 'x' }, 'The field /vs is a second value: a record has one'],
    [{ n: 'a', v: '1' }, 'The field /v is not a number'],
    [{ n: 'a', v: null }, 'The field /v is not a number'],
    [{ n: 1, v: 1 }, 'The field /n is not a string'],
    [{ n: 'a', vs: 1 }, 'The field /vs is not a string'],
    [{ n: 'a', vb: 1 }, 'The field /vb is not true or false'],
    [{ n: 'a', vd: 'a' }, 'The field /vd is neither bytes nor base64'],
    [{ n: 'a', v: 1, t: 1e40 }, 'The field /t is out of the range of a time'],
    [{ n: 'a', v: 1, t: 1e15 }, 'The field /time is out of the range of its timestamp'],
  ])('%j costs only its own row', (record, problem) => {
    const { rows, errors } = read([{ n: 'first', v: 1 }, record, { n: 'last', v: 2 }]);
    expect(rows.map(({ name }) => name)).toEqual(['first', 'last']);
    expect(errors).toEqual([`Record 2: ${problem}`]);
  });

  test.each([
    [[{ n: 'a', v: 1 }, { bn: 5 }], 'Record 2: The field /bn is not a string'],
    [[{ bt: 'now', n: 'a', v: 1 }], 'Record 1: The field /bt is not a number'],
    [[{ bver: 11, n: 'a', v: 1 }], 'Record 1: The field /bver is a newer version of SenML than 10'],
    [[{ n: 'a', v: 1 }, 5], 'Record 2: The payload is not a record'],
    [{ n: 'a', v: 1 }, 'is not a SenML pack, a list of records'],
    [Buffer.from('[{"n":"a","v":1e999}'), 'is not a JSON document'],
  ])('that others rely on costs the pack: %j', (pack, problem) => {
    expect(() => read(pack)).toThrow(problem);
  });

  test('in CBOR may hold a tag that has no meaning', () => {
    const pack = Buffer.from('82a2006161' + '02d84600' + 'a200616202' + '01', 'hex');
    expect(read(pack, 'cbor')).toMatchObject({
      rows: [{ name: 'b', value: 1 }],
      errors: ['Record 1: The field /v is not a number'],
    });
  });
});

describe('a written pack', () => {
  const rows: Row[] = [
    { ...celsius, name: 'a', time: 1_769_847_300_250_001n, sum: 0.1, update_time: 60 },
    {
      ...celsius,
      name: 'a',
      time: 1_769_847_300_000_000n,
      value: null,
      data_value: Buffer.from('fbff', 'hex'),
    },
    { ...celsius, name: 'a', time: 1_769_847_300_000_000n, value: null, bool_value: false },
  ];

  test.each(['json', 'cbor'] as const)('is read back from %s', (encoding) => {
    for (const row of rows) expect(codecs[encoding].decode(codecs[encoding].encode(row))).toEqual(row);
  });

  test('has one record, and base64url without padding', () => {
    const [first, second] = rows as [Row, Row];
    expect(codecs.json.encode(first).toString()).toBe(
      '[{"n":"a","u":"Cel","t":1769847300.250001,"v":23.5,"s":0.1,"ut":60}]',
    );
    expect(codecs.json.encode(second).toString()).toContain('"t":1769847300,"vd":"-_8"');
  });

  test.each([
    [{ name: '', value: 1 }, 'a record needs a name'],
    [{ name: 'a' }, 'has no value, and no sum'],
    [{ name: 'a', value: 1, bool_value: true }, 'is a second value'],
    [{ name: 'a', value: Number.NaN }, 'is not a finite number'],
    [{ name: 'a', value: 1, time: 1000n }, 'is before July 1978'],
    [{ name: 'a', value: 1, is_relative: true }, 'can only be read'],
  ])('cannot be made of %o', (row, problem) => {
    expect(() => codecs.json.encode({ ...nulls, ...row })).toThrow(problem);
  });
});

test('a table has the columns of SenML only', () => {
  const schema = (field: Field) => ({ format: { type: 'senml' } as const, fields: [field] });
  expect(validateSchema(schema({ name: 'v', type: 'float64' }))).toMatchObject([
    { path: '/fields/0/name', message: expect.stringContaining('a record has name, unit, time') },
  ]);
  expect(validateSchema(schema({ name: 'value', type: 'string' }))).toMatchObject([
    { path: '/fields/0/type', message: 'value is float64 or decimal128 in SenML' },
  ]);
  expect(validateSchema(schema({ name: 'time', type: 'timestamp', unit: 'second' }))).toEqual([]);
});
