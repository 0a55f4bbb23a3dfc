import fc from 'fast-check';
import type { Row, Value } from '../../src/formats/format.ts';
import type { Field, ListItem } from '../../src/formats/schema/schema.ts';
import { formatDecimal } from '../../src/formats/values/decimal.ts';

/** For property tests: a table with columns of all types, and rows of it full of edge cases. */

export const fields: Field[] = [
  { name: 'i', type: 'int32' },
  { name: 'u', type: 'uint32' },
  { name: 'b', type: 'int64' },
  { name: 'ub', type: 'uint64' },
  { name: 'f', type: 'float32' },
  { name: 'd', type: 'float64' },
  { name: 'x', type: 'decimal128', precision: 12, scale: 3 },
  { name: 'xx', type: 'decimal128', precision: 38, scale: 10 },
  { name: 'o', type: 'bool' },
  { name: 's', type: 'string' },
  { name: 't', type: 'string' },
  { name: 'n', type: 'string' },
  { name: 'y', type: 'bytes' },
  { name: 'j', type: 'json' },
  { name: 'ts', type: 'timestamp', unit: 'microsecond' },
  { name: 'tm', type: 'timestamp', unit: 'millisecond' },
  { name: 'tn', type: 'timestamp', unit: 'nanosecond' },
  { name: 'tt', type: 'timestamp', unit: 'second' },
  { name: 'li', type: 'list', items: { type: 'int32' } },
  { name: 'ls', type: 'list', items: { type: 'string' } },
  { name: 'lx', type: 'list', items: { type: 'decimal128', precision: 12, scale: 3 } },
  {
    name: 'st',
    type: 'struct',
    fields: [
      { name: 'a', type: 'int32' },
      { name: 'B', type: 'string' },
      { name: 'x', type: 'decimal128', precision: 12, scale: 3 },
    ],
  },
];

const around = (...values: bigint[]): bigint[] => values.flatMap((value) => [value - 1n, value, value + 1n]);

function whole(min: bigint, max: bigint): fc.Arbitrary<bigint> {
  const edges = around(min, max, 0n, 2n ** 31n, 2n ** 32n, 2n ** 53n, -(2n ** 31n), 1000n);
  const near = edges.filter((value) => value >= min && value <= max);
  const small = min < 0n ? -20n : 0n;
  return fc.oneof(fc.constantFrom(...near), fc.bigInt({ min: small, max: 20n }), fc.bigInt({ min, max }));
}

const number = (min: number, max: number): fc.Arbitrary<number> =>
  whole(BigInt(min), BigInt(max)).map(Number);

const doubles = fc.oneof(
  fc.double(),
  fc.constantFrom(0, -0, 0.5, 1.5, 2.5, -0.5, 1e15, 1e16, 1e-4, 1e-5, 0.1, 123456.789, 2 ** 31, 2 ** 53),
  fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 5e-324, 1.7e308),
  fc.integer({ min: -100_000, max: 100_000 }).map((value) => value / 100),
);

export const words = fc.constantFrom(
  ...[
    '',
    ' ',
    'a',
    'A',
    'ab',
    'abc',
    'aBc',
    '%',
    '_',
    'a%b',
    ' pad ',
    'ä',
    'ß',
    'İ',
    'ǆ',
    'é',
    'é',
    '😀',
    'a😀b',
  ],
  ...[
    '，',
    '\u{fffd}',
    '\u{10ffff}',
    'true',
    'false',
    't',
    'x,y,z',
    'a,b',
    ',',
    '$.a',
    '\t',
    'a\nb',
    '\u00a0x',
  ],
);
const numerals = fc.oneof(
  fc.constantFrom(
    ...[
      '1',
      '-1',
      '0',
      '-0',
      '007',
      '1.5',
      '2.5',
      '-0.5',
      '1e3',
      '1E2',
      '.5',
      '5.',
      '+1',
      ' 1 ',
      '1_000',
      '0x1F',
      'nan',
    ],
    ...[
      'inf',
      '-Infinity',
      '1e400',
      '1e-400',
      '2147483648',
      '9223372036854775807',
      '9223372036854775808',
      '',
      'n/a',
    ],
    ...[
      '99999999999999999999999999999999999999',
      '1.0005',
      '0.00049999',
      'true',
      'FALSE',
      't',
      '1 2',
      '--1',
      '-',
      '١',
    ],
    ...[
      '2026-01-31',
      '2026-01-31 08:15:00',
      '2026-01-31T08:15:00.25Z',
      '2026-02-30',
      '0001-01-01',
      '9999-12-31 23:59:59.999999',
    ],
    ...[
      '2026-01-31 08:15:00.1234567',
      '2026-01-31 24:00:00',
      '2026-01-31 08:15',
      'infinity',
      'epoch',
      '0000-01-01',
    ],
    ...[
      '290309-12-22',
      '2026-1-1',
      '2026-01-31 08:15:00+02',
      '1969-12-31 23:59:59.5',
      '1500-02-29',
      '2000-02-29',
    ],
  ),
  fc.double().map(String),
  fc.integer().map(String),
  fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }).map(String),
  fc.tuple(fc.integer({ min: -999, max: 999 }), fc.nat(99_999)).map(([one, other]) => `${one}.${other}`),
);
const texts = fc.oneof(
  { weight: 3, arbitrary: words },
  { weight: 1, arbitrary: numerals },
  { weight: 2, arbitrary: fc.string({ maxLength: 6 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'grapheme', maxLength: 6 }) },
);

const jsonNumber = fc.constantFrom(
  ...[
    '0',
    '-0',
    '1',
    '-12',
    '21.5',
    '21.50',
    '1.0',
    '1e5',
    '1E-3',
    '9007199254740993',
    '18446744073709551616',
    '0.1',
  ],
  ...['-0.0', '123456789.12345', '1e400', '0.000001', '100000000000000000000.5', '-1.25'],
);
const jsonText: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, depthSize: 'medium' },
    fc.oneof(
      jsonNumber,
      fc.constantFrom(
        'null',
        'true',
        'false',
        '"x"',
        '"\\u00e9"',
        '"a\\nb"',
        '"ä/\\/"',
        '""',
        '"\\ud83d\\ude00"',
        '" "',
      ),
      texts.map((text) => JSON.stringify(text)),
    ),
    fc
      .array(
        fc.tuple(
          fc.constantFrom('a', 'b', 'c', 'a b', '0', 'A', '\\u0061', ''),
          tie('value'),
          fc.constantFrom('', ' ', '\n '),
        ),
      )
      .map(
        (members) =>
          `{${members.map(([name, value, gap]) => `${gap}"${name}"${gap}:${gap}${value}`).join(`,`)}}`,
      ),
    fc
      .tuple(fc.array(tie('value'), { maxLength: 4 }), fc.constantFrom('', ' '))
      .map(([items, gap]) => `[${gap}${items.join(`${gap},${gap}`)}${gap}]`),
  ),
})).value;

const micros = fc.oneof(
  fc.constantFrom(
    0n,
    -1n,
    1n,
    1769847300250000n,
    -62135596800000000n,
    253402300799999999n,
    2n ** 63n - 2n,
    -(2n ** 63n) + 2n,
  ),
  fc.bigInt({ min: -62_200_000_000_000_000n, max: 253_402_300_799_999_999n }),
  fc.bigInt({ min: -(10n ** 12n), max: 10n ** 12n }),
  fc.integer({ min: -5000, max: 60_000 }).map((days) => BigInt(days) * 86_400_000_000n),
);

function fieldValue(type: ListItem & { name?: string }): fc.Arbitrary<Value> {
  switch (type.type) {
    case 'int32':
      return number(-(2 ** 31), 2 ** 31 - 1);
    case 'uint32':
      return number(0, 2 ** 32 - 1);
    case 'int64':
      return whole(-(2n ** 63n), 2n ** 63n - 1n);
    case 'uint64':
      return whole(0n, 2n ** 64n - 1n);
    case 'float32':
      return doubles.map(Math.fround);
    case 'float64':
      return doubles;
    case 'decimal128': {
      const max = 10n ** BigInt(type.precision ?? 38) - 1n;
      return whole(-max, max).map((unscaled) => formatDecimal(unscaled, type.scale ?? 0));
    }
    case 'bool':
      return fc.boolean();
    case 'bytes':
      return fc.uint8Array({ maxLength: 4 }).map((bytes) => Buffer.from(bytes));
    case 'json':
      return jsonText;
    case 'timestamp': {
      if (type.unit === 'microsecond') return micros;
      if (type.unit === 'nanosecond') {
        return fc.oneof(
          whole(-(2n ** 63n) + 2n, 2n ** 63n - 2n),
          fc.bigInt({ min: 0n, max: 10n ** 6n }).map((n) => n * 1000n),
        );
      }
      return micros.map((count) => count / (type.unit === 'second' ? 1_000_000n : 1000n));
    }
    case 'list':
      return fc.array(fc.option(fieldValue(type.items ?? { type: 'string' })), { maxLength: 4 });
    case 'struct':
      return rowOf(type.fields ?? []);
    default:
      return type.name === 'n' ? numerals : texts;
  }
}

function rowOf(members: readonly Field[]): fc.Arbitrary<Row> {
  const values = members.map((field) => fc.option(fieldValue(field), { freq: 6 }));
  return fc
    .tuple(...values)
    .map((tuple) => Object.fromEntries(members.map(({ name }, index) => [name, tuple[index] ?? null])));
}

/** Rows of edge cases only, so that no run misses them by chance. */
export const edgeRows: Row[] = [
  {
    i: -(2 ** 31),
    d: Number.NaN,
    f: Number.NaN,
    x: '-999999999.999',
    s: '\u{fffd}',
    ts: -1n,
    o: null,
    b: -(2n ** 63n),
  },
  {
    i: 2 ** 31 - 1,
    d: Number.POSITIVE_INFINITY,
    f: -0,
    x: '0.005',
    s: '😀b',
    ts: 253402300799999999n,
    o: true,
    b: 0n,
  },
  {
    i: 0,
    d: -0,
    f: Number.NEGATIVE_INFINITY,
    x: '-0.005',
    s: 'a_c',
    ts: -62135596800000000n,
    o: false,
    b: 2n ** 63n - 1n,
  },
  { i: -1, d: -2.5, f: 0.1, x: '-1.500', s: ' abc ', ts: 951782400000000n, o: true, b: -1n },
  {
    i: 3,
    d: 0.49999999999999994,
    f: 2.5,
    x: '1.500',
    s: 'aab',
    ts: 1769847300250001n,
    o: false,
    b: 2n ** 53n + 1n,
  },
].map((edge) => ({
  ...Object.fromEntries(fields.map(({ name }) => [name, null])),
  ...edge,
  f: Math.fround(edge.f),
  u: 2 ** 32 - 1,
  ub: 2n ** 64n - 1n,
  xx: '-0.0000000005',
  n: '-12.5',
  t: 'ab',
  j: '{"a":[1,{"b":"x"}],"b":{"a":"y"},"a b":-1.50,"c":[null,true]}',
  li: [3, null, -1],
  ls: ['a', null],
  lx: ['-1.500', null],
  st: { a: 3, B: 'abc', x: '0.005' },
  tm: -1n,
  tn: 1n,
  tt: 0n,
}));

export const rows: fc.Arbitrary<Row[]> = fc.array(rowOf(fields), { minLength: 3, maxLength: 12 });
