import { describe, expect, test } from 'vitest';
import { codecFor } from '../codec.ts';
import type { Row } from '../format.ts';
import type { Field } from '../schema/schema.ts';
import { columns, datatypes, messageTypes } from './payload.ts';

const payloadType = messageTypes().payload.type;

const fields: Field[] = [...columns].map(([name, type]) => ({ name, ...type }));
const codec = codecFor({ format: { type: 'sparkplug_b' }, fields });

function readAll(payload: Buffer): { rows: Row[]; errors: string[] } {
  const errors: string[] = [];
  const rows = codec.decodeAll?.(payload, ({ message }) => errors.push(message)) ?? [];
  return { rows, errors };
}
const datatypeOf = (name: string) => datatypes.findIndex((known) => known?.name === name);
const payloadOf = (...metrics: object[]) =>
  Buffer.from(payloadType.encode(payloadType.fromObject({ metrics })).finish());
const metric = (datatype: string | undefined, value: object, name = 'm') =>
  payloadOf({ name, ...(datatype && { datatype: datatypeOf(datatype) }), ...value });

describe('a birth of sparkplug-payload 1.0.3 for Node', () => {
  const birth = Buffer.from(
    '089ac1fa98c133120c0a026938200150fbffffff0f120d0a03693136200250d4fdffff0f120d0a0369333220035090ddfbff0f' +
      '12120a03693634200458fbffffffffffffffff0112090a027538200550c801120b0a03753136200650e0d403120d0a037533322007' +
      '5880d0acf30e12090a0375363420085805120a0a01662009650000003f120e0a0164200a699a9999999999b93f12070a0162200b70' +
      '0112080a0173200c7a0178120c0a0174200d589ac1fa98c133124a0a017020034a410a07656e67556e69740a075175616c6974790a' +
      '036c6f770a057363616c651207080c4203c2b0431205080318c0011208080318fbffffff0f120708092d0000003f50011801',
    'hex',
  );

  test('has every integer, in whichever member, and properties by name', () => {
    const { rows, errors } = readAll(birth);
    expect(errors).toEqual([]);
    expect(rows.map(({ name, value }) => [name, value])).toEqual([
      ...[
        ['i8', '-5'],
        ['i16', '-300'],
        ['i32', '-70000'],
        ['i64', '-5'],
      ],
      ...[
        ['u8', '200'],
        ['u16', '60000'],
        ['u32', '4000000000'],
        ['u64', '5'],
      ],
      ...[
        ['f', '0.5'],
        ['d', '0.1'],
        ['b', 'true'],
        ['s', '"x"'],
      ],
      ...[
        ['t', '"2026-01-31T08:15:00.250Z"'],
        ['p', '1'],
      ],
    ]);
    expect(rows[6]).toMatchObject({ int_value: 4_000_000_000n, uint64_value: null });
    expect(rows[7]).toMatchObject({ uint64_value: 5n });
    expect(JSON.parse(rows[13]?.properties as string)).toEqual({
      engUnit: '°C',
      Quality: 192,
      low: -5,
      scale: 0.5,
    });
  });

  test('has a UInt32 where the library also reads it, when we write it', () => {
    const row = { ...Object.fromEntries(fields.map(({ name }) => [name, null])), name: 'a', int_value: 5n };
    expect(codec.encode({ ...row, datatype: 'UInt32' }).toString('hex')).toBe('12070a016120075805');
    expect(readAll(Buffer.from('12070a016120075005', 'hex')).rows).toMatchObject([{ int_value: 5n }]);
  });
});

describe('an integer', () => {
  test.each([
    ['Int8', { int_value: 0xfb }, -5n],
    ['Int8', { int_value: 0xffff_fffb }, -5n],
    ['Int8', { long_value: '18446744073709551611' }, -5n],
    ['Int8', { long_value: 0xffff_fffb }, -5n],
    ['Int8', { int_value: 127 }, 127n],
    ['Int16', { int_value: 0x8000 }, -32768n],
    ['Int16', { long_value: 5 }, 5n],
    ['Int32', { long_value: '18446744073709551611' }, -5n],
    ['Int32', { double_value: -5 }, -5n],
    ['Int64', { int_value: 7 }, 7n],
    ['UInt8', { long_value: 255 }, 255n],
    ['UInt16', { long_value: 65535 }, 65535n],
    ['UInt32', { int_value: 0xffff_ffff }, 4294967295n],
  ] as const)('%s is read from %o', (datatype, value, expected) => {
    expect(readAll(metric(datatype, value))).toMatchObject({ rows: [{ int_value: expected }], errors: [] });
  });

  test.each([
    ['UInt8', { int_value: 300 }, 'is out of the range of UInt8'],
    ['UInt8', { int_value: 0xffff_ffff }, 'is out of the range of UInt8'],
    ['UInt16', { int_value: 65536 }, 'is out of the range of UInt16'],
    ['UInt32', { long_value: 2 ** 32 }, 'is out of the range of UInt32'],
    ['UInt64', { double_value: -1 }, 'is out of the range of UInt64'],
    ['Int8', { int_value: 300 }, 'is out of the range of Int8'],
    ['Int8', { int_value: 0xffff_ff00 }, 'is out of the range of Int8'],
    ['Int16', { long_value: 70000 }, 'is out of the range of Int16'],
    ['Int32', { long_value: 2 ** 33 }, 'is out of the range of Int32'],
    ['Int32', { double_value: 1.5 }, 'is not a whole number, as a Int32 has to be'],
    ['Int32', { string_value: '5' }, 'is not a whole number, as a Int32 has to be'],
    ['Boolean', { int_value: 1 }, 'is in int_value, where no Boolean can be'],
    ['String', { bytes_value: Buffer.from('x') }, 'is in bytes_value, where no String can be'],
    ['Float', { int_value: 1 }, 'is in int_value, where no Float can be'],
  ] as const)('%s cannot be %o', (datatype, value, problem) => {
    expect(readAll(metric(datatype, value))).toEqual({
      rows: [],
      errors: [`Metric 1 ("m"): The field /value ${problem}`],
    });
  });

  test('without a datatype is only in raw_value', () => {
    for (const value of [{ int_value: 4294967291 }, { long_value: 4294967291 }]) {
      const [row] = readAll(metric(undefined, value)).rows;
      expect(row).toMatchObject({ raw_value: 4294967291n, datatype: null, is_null: false });
      expect(row).toMatchObject({ int_value: null, uint64_value: null, time_value: null, value: null });
    }
    expect(readAll(payloadOf({ name: 'm', datatype: 99, int_value: 3 })).rows).toMatchObject([
      { raw_value: 3n, int_value: null, datatype: '99' },
    ]);
    expect(readAll(metric(undefined, { double_value: 0.5 })).rows).toMatchObject([
      { raw_value: null, double_value: 0.5, value: '0.5' },
    ]);
  });
});

test('a Float may be in the member of a Double, and the other way round', () => {
  expect(readAll(metric('Float', { double_value: 0.1 })).rows).toMatchObject([{ double_value: 0.1 }]);
  expect(readAll(metric('Double', { float_value: 0.5 })).rows).toMatchObject([{ double_value: 0.5 }]);
});

describe('a wrong metric', () => {
  const good = { name: 'good', datatype: 3, int_value: 1 };

  test('costs its own row and is named by name, alias or number', () => {
    const bad = { datatype: 5, int_value: 300 };
    const { rows, errors } = readAll(
      payloadOf(good, { ...bad, name: 'Line 1/Speed' }, good, { ...bad, alias: 7 }, bad, good),
    );
    expect(rows.map(({ name }) => name)).toEqual(['good', 'good', 'good']);
    expect(errors).toEqual([
      'Metric 2 ("Line 1/Speed"): The field /value is out of the range of UInt8',
      'Metric 4 (alias 7): The field /value is out of the range of UInt8',
      'Metric 5: The field /value is out of the range of UInt8',
    ]);
  });

  test('may be no message at all', () => {
    const damaged = (hex: string) => Buffer.from(hex, 'hex');
    const whole = payloadOf(good);
    for (const hex of ['12040a05ffff', '12040a02c328', '1203205d0a', '1202ffff']) {
      const { rows, errors } = readAll(Buffer.concat([whole, damaged(hex), whole]));
      expect(rows.map(({ name }) => name)).toEqual(['good', 'good']);
      expect(errors).toEqual([expect.stringMatching(/^Metric 2: The payload /)]);
    }
    expect(() => readAll(damaged('12ff'))).toThrow(expect.objectContaining({ code: 'bad_data' }));
  });

  test('ends a message where nobody takes the errors', () => {
    const payload = payloadOf(good, { name: 'x', datatype: 5, int_value: 300 });
    expect(() => codec.decodeAll?.(payload)).toThrow('Metric 2 ("x")');
    expect(() => codec.decode(payload)).toThrow('Metric 2 ("x")');
  });
});

describe('properties', () => {
  const withProperties = (properties: object) =>
    readAll(payloadOf({ name: 'm', datatype: 3, int_value: 1, properties }));

  test('may be null, negative, times, sets and lists of sets', () => {
    const inner = { keys: ['a'], values: [{ type: 4, long_value: '18446744073709551611' }] };
    const { rows } = withProperties({
      keys: ['none', '__proto__', 'at', 'set', 'sets', 'plain'],
      values: [
        { type: 12, is_null: true },
        { type: 1, int_value: 0xfb },
        { type: 13, long_value: 0 },
        { type: 20, propertyset_value: inner },
        { type: 21, propertysets_value: { propertyset: [inner, {}] } },
        { boolean_value: true },
      ],
    });
    expect(rows[0]?.properties).toBe(
      '{"none":null,"__proto__":-5,"at":"1970-01-01T00:00:00.000Z","set":{"a":-5},"sets":[{"a":-5},{}],"plain":true}',
    );
  });

  test.each([
    [{ keys: ['a', 'b'], values: [{ type: 3, int_value: 1 }] }, 'has 2 keys and 1 values'],
    [{ keys: ['a'], values: [{ type: 5, int_value: 300 }] }, 'is out of the range of UInt8'],
  ])('%o are bad data', (properties, problem) => {
    expect(withProperties(properties).errors).toEqual([`Metric 1 ("m"): The field /properties ${problem}`]);
  });
});
