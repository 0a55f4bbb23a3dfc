import fc from 'fast-check';
import type { Row, Value } from '../../src/formats/format.ts';
import type { Field, ListItem } from '../../src/formats/schema/schema.ts';
import { formatDecimal } from '../../src/formats/values/decimal.ts';
import { setterOf } from '../../src/formats/values/own-property.ts';

/** For property tests: any fields, and any rows that fit them. Not for production code. */

const names = fc.oneof(
  fc.string({ minLength: 1, maxLength: 8 }),
  fc.constantFrom('value', 'constructor', 'toString', '__proto__', 'a/b', 'ü', 'select'),
);

const leaf: fc.Arbitrary<ListItem> = fc.oneof(
  fc.constantFrom<ListItem>(
    { type: 'int32' },
    { type: 'int64' },
    { type: 'uint32' },
    { type: 'uint64' },
    { type: 'float32' },
    { type: 'float64' },
    { type: 'bool' },
    { type: 'string' },
    { type: 'bytes' },
    { type: 'json' },
  ),
  fc.tuple(fc.integer({ min: 1, max: 38 }), fc.integer({ min: 0, max: 38 })).map(
    ([precision, scale]): ListItem => ({
      type: 'decimal128',
      precision,
      scale: Math.min(precision, scale),
    }),
  ),
  fc
    .constantFrom('second', 'millisecond', 'microsecond', 'nanosecond')
    .map((unit): ListItem => ({ type: 'timestamp', unit })),
);

const types: fc.Arbitrary<ListItem> = fc.letrec<{ type: ListItem }>((tie) => ({
  type: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    { weight: 4, arbitrary: leaf },
    { weight: 1, arbitrary: tie('type').map((items): ListItem => ({ type: 'list', items })) },
    {
      weight: 1,
      arbitrary: fieldsOf(tie('type'), names).map((fields): ListItem => ({ type: 'struct', fields })),
    },
  ),
})).type;

function fieldsOf(type: fc.Arbitrary<ListItem>, name: fc.Arbitrary<string>): fc.Arbitrary<Field[]> {
  const field = fc
    .tuple(name, type, fc.boolean())
    .map(([text, item, required]) => ({ ...item, name: text, required }));
  const options = { minLength: 1, maxLength: 5, selector: (item: Field) => item.name.toLowerCase() };
  return fc.uniqueArray(field, options);
}

/** One to five fields of any type and name; no two names differ only in case. */
export const arbitraryFields: fc.Arbitrary<Field[]> = fieldsOf(types, names);

/** A row that fits the fields. */
export function arbitraryRow(fields: readonly Field[]): fc.Arbitrary<Row> {
  const values = fields.map((field) =>
    field.required ? arbitraryValue(field) : fc.option(arbitraryValue(field)),
  );
  return fc.tuple(...values).map((tuple) => {
    const row: Row = {};
    fields.forEach((field, index) => {
      setterOf(field.name)(row, tuple[index] ?? null);
    });
    return row;
  });
}

/** The years 0000 to 9999 in seconds, and the range of 64-bit nanoseconds. */
const seconds = { min: -62_167_219_200n, max: 253_402_300_799n };
const nanoseconds = { min: -(2n ** 63n) + 1n, max: 2n ** 63n - 2n };

function arbitraryValue(type: ListItem): fc.Arbitrary<Value> {
  switch (type.type) {
    case 'int32':
      return fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    case 'uint32':
      return fc.integer({ min: 0, max: 2 ** 32 - 1 });
    case 'int64':
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    case 'uint64':
      return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    case 'float32':
      return fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
    case 'float64':
      return fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
    case 'bool':
      return fc.boolean();
    case 'string':
      return fc.string({ unit: 'grapheme' });
    case 'bytes':
      return fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes));
    case 'json':
      return fc.json().filter((text) => text !== 'null');
    case 'decimal128':
      return decimal(type.precision ?? 38, type.scale ?? 0);
    case 'timestamp':
      return timestamp(type.unit ?? 'millisecond');
    case 'list':
      return fc.array(fc.option(arbitraryValue(type.items ?? { type: 'string' })), { maxLength: 4 });
    case 'struct':
      return arbitraryRow(type.fields ?? []);
  }
}

function decimal(precision: number, scale: number): fc.Arbitrary<string> {
  const most = 10n ** BigInt(precision) - 1n;
  return fc.bigInt({ min: -most, max: most }).map((unscaled) => formatDecimal(unscaled, scale));
}

function timestamp(unit: NonNullable<ListItem['unit']>): fc.Arbitrary<bigint> {
  if (unit === 'nanosecond') return fc.bigInt(nanoseconds);
  const factor = { second: 1n, millisecond: 1_000n, microsecond: 1_000_000n }[unit];
  return fc.bigInt({ min: seconds.min * factor, max: seconds.max * factor });
}
