import fc from 'fast-check';
import { formatDecimal } from '../../formats/decimal.ts';
import type { Row, Value } from '../../formats/format.ts';
import type { Field, ListItem } from '../../formats/schema.ts';

/** For property tests: any expression over a table of all types, and rows full of edges. Not for production code. */

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

function whole(least: bigint, greatest: bigint): fc.Arbitrary<bigint> {
  const edges = around(least, greatest, 0n, 2n ** 31n, 2n ** 32n, 2n ** 53n, -(2n ** 31n), 1000n);
  const near = edges.filter((value) => value >= least && value <= greatest);
  const small = least < 0n ? -20n : 0n;
  return fc.oneof(
    fc.constantFrom(...near),
    fc.bigInt({ min: small, max: 20n }),
    fc.bigInt({ min: least, max: greatest }),
  );
}

const number = (least: number, greatest: number): fc.Arbitrary<number> =>
  whole(BigInt(least), BigInt(greatest)).map(Number);

const doubles = fc.oneof(
  fc.double(),
  fc.constantFrom(0, -0, 0.5, 1.5, 2.5, -0.5, 1e15, 1e16, 1e-4, 1e-5, 0.1, 123456.789, 2 ** 31, 2 ** 53),
  fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 5e-324, 1.7e308),
  fc.integer({ min: -100_000, max: 100_000 }).map((value) => value / 100),
);

const words = fc.constantFrom(
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
      const most = 10n ** BigInt(type.precision ?? 38) - 1n;
      return whole(-most, most).map((unscaled) => formatDecimal(unscaled, type.scale ?? 0));
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

/** Rows of nothing but edges: what a run must not miss by chance. */
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

/** A text in SQL. */
const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;

type Kind =
  | 'int'
  | 'big'
  | 'unsigned'
  | 'double'
  | 'float'
  | 'decimal'
  | 'bool'
  | 'text'
  | 'json'
  | 'time'
  | 'date'
  | 'any';

const intTypes = [
  'TINYINT',
  'SMALLINT',
  'INTEGER',
  'BIGINT',
  'HUGEINT',
  'UTINYINT',
  'USMALLINT',
  'UINTEGER',
  'UBIGINT',
];
const otherTypes = [
  ...[
    'DOUBLE',
    'FLOAT',
    'VARCHAR',
    'BOOLEAN',
    'DECIMAL(9, 2)',
    'DECIMAL(18, 4)',
    'DECIMAL(38, 0)',
    'DECIMAL(4, 4)',
  ],
  ...['TIMESTAMP', 'TIMESTAMP_S', 'TIMESTAMP_MS', 'TIMESTAMP_NS', 'DATE'],
];

/** Builds SQL from parts: `$0`, `$1`, … stand for expressions of these kinds. */
interface Form {
  sql: string;
  parts: Kind[];
}

const form = (sql: string, ...parts: Kind[]): Form => ({ sql, parts });

const forms: Readonly<Record<Kind, readonly Form[]>> = {
  int: [
    ...['+', '-', '*', '//', '%', '&', '|'].map((operator) => form(`($0 ${operator} $1)`, 'int', 'int')),
    ...['"add"', '"subtract"', '"multiply"', '"divide"', '"mod"'].map((name) =>
      form(`${name}($0, $1)`, 'int', 'int'),
    ),
    ...['-', '+', '@'].map((sign) => form(`(${sign} $0)`, 'int')),
    ...['abs', '"-"', '"+"', '"@"'].map((name) => form(`${name}($0)`, 'int')),
    form('greatest($0, $1)', 'int', 'int'),
    form('least($0, $1)', 'int', 'int'),
    form('CASE WHEN $0 THEN $1 ELSE $2 END', 'bool', 'int', 'int'),
    form('CASE $0 WHEN $1 THEN $2 WHEN 3 THEN 4 END', 'int', 'int', 'int'),
    form('COALESCE($0, $1)', 'int', 'int'),
    form('NULLIF($0, $1)', 'int', 'int'),
    form('IF($0, $1, $2)', 'bool', 'int', 'int'),
    form('li[$0]', 'int'),
    ...['list_extract', 'list_element', 'array_extract'].map((name) => form(`${name}(li, $0)`, 'int')),
    form("struct_pack(k := $0)['k']", 'int'),
    form("{'k': $0, 'l': $1}.l", 'text', 'int'),
    form("struct_extract(st, 'a')"),
    form('struct_extract_at(st, 1)'),
    form("CAST((j->'$.a') AS INTEGER)"),
    form('j::INTEGER'),
    form("TRY_CAST((j->>'a') AS INTEGER)"),
  ],
  big: [
    ...['+', '-', '*', '//', '%', '&', '|'].map((operator) => form(`($0 ${operator} $1)`, 'big', 'int')),
    ...['length', 'len', 'strlen', 'char_length', 'character_length'].map((name) =>
      form(`${name}($0)`, 'text'),
    ),
    ...['strpos', 'instr', 'position'].map((name) => form(`"${name}"($0, $1)`, 'text', 'text')),
    ...['len', 'length', 'array_length'].map((name) => form(`${name}(li)`)),
    ...['epoch_ms', 'epoch_us'].map((name) => form(`${name}($0)`, 'time')),
    ...[
      'year',
      'month',
      'day',
      'hour',
      'minute',
      'second',
      'microsecond',
      'millisecond',
      'quarter',
      'dow',
      'isodow',
      'doy',
    ].map((part) => form(`extract(${part} FROM $0)`, 'time')),
    ...['date_part', 'datepart'].map((name) => form(`${name}('hour', $0)`, 'time')),
    ...[
      'year',
      'month',
      'day',
      'dayofmonth',
      'hour',
      'minute',
      'second',
      'millisecond',
      'microsecond',
      'quarter',
    ].map((name) => form(`${name}($0)`, 'time')),
    ...['dayofweek', 'weekday', 'isodow', 'dayofyear', 'year'].map((name) => form(`${name}($0)`, 'date')),
    form('- $0', 'big'),
    form('abs($0)', 'big'),
  ],
  unsigned: [
    ...['+', '-', '*', '//', '%', '&'].map((operator) => form(`($0 ${operator} $1)`, 'unsigned', 'unsigned')),
  ],
  double: [
    ...['+', '-', '*', '/', '%'].map((operator) => form(`($0 ${operator} $1)`, 'double', 'double')),
    form('($0 / $1)', 'int', 'int'),
    form('($0 * $1)', 'double', 'int'),
    ...['abs', 'floor', 'ceil', 'ceiling', 'trunc', 'round', 'sqrt', '-'].map((name) =>
      form(`${name === '-' ? '"-"' : name}($0)`, 'double'),
    ),
    ...[0, 1, 2, 5].map((digits) => form(`round($0, ${digits})`, 'double')),
    form('epoch($0)', 'time'),
    form('greatest($0, $1)', 'double', 'double'),
    form('COALESCE($0, $1)', 'double', 'int'),
  ],
  float: [
    ...['+', '-', '*', '/', '%'].map((operator) => form(`($0 ${operator} $1)`, 'float', 'float')),
    form('abs($0)', 'float'),
  ],
  decimal: [
    ...['+', '-', '*'].map((operator) => form(`($0 ${operator} $1)`, 'decimal', 'decimal')),
    form('($0 * $1)', 'decimal', 'int'),
    form('($0 + $1)', 'decimal', 'big'),
    ...['abs', '"-"'].map((name) => form(`${name}($0)`, 'decimal')),
    ...[0, 1, 2].map((digits) => form(`round($0, ${digits})`, 'decimal')),
    form('round($0)', 'decimal'),
    form('lx[$0]', 'int'),
    form("struct_pack(k := $0)['k']", 'decimal'),
    form('[$0, $1][1]', 'decimal', 'decimal'),
    form('greatest($0, $1)', 'decimal', 'decimal'),
  ],
  bool: [
    ...['=', '<>', '<', '>', '<=', '>=', 'IS DISTINCT FROM', 'IS NOT DISTINCT FROM'].flatMap((operator) =>
      (
        ['int', 'big', 'unsigned', 'double', 'float', 'decimal', 'bool', 'text', 'time', 'date'] as const
      ).flatMap((kind) => [form(`($0 ${operator} $1)`, kind, kind)]),
    ),
    form('($0 = $1)', 'int', 'decimal'),
    form('($0 < $1)', 'big', 'double'),
    form('($0 = $1)', 'text', 'int'),
    form('(y = $0)', 'text'),
    form('(y < y)'),
    ...['AND', 'OR'].map((operator) => form(`($0 ${operator} $1)`, 'bool', 'bool')),
    form('($0 AND $1 AND ($2 OR o))', 'bool', 'bool', 'bool'),
    form('(NOT $0)', 'bool'),
    form('($0 IS NULL)', 'any'),
    form('($0 IS NOT NULL)', 'any'),
    form('($0 IS TRUE)', 'bool'),
    form('($0 IS NOT FALSE)', 'bool'),
    form('($0 BETWEEN $1 AND $2)', 'int', 'int', 'int'),
    form('($0 NOT BETWEEN $1 AND $2)', 'double', 'double', 'double'),
    form('($0 BETWEEN $1 AND $2)', 'text', 'text', 'text'),
    form('($0 IN (1, 2, 3))', 'int'),
    form('($0 NOT IN (1, NULL, 3))', 'int'),
    form("($0 IN ('a', 'ab', NULL))", 'text'),
    form('($0 IN ($1, $2))', 'int', 'int', 'big'),
    form('($0 NOT IN ($1, $2))', 'double', 'double', 'double'),
    ...['LIKE', 'NOT LIKE', 'ILIKE', 'NOT ILIKE'].flatMap((operator) =>
      ['a%', '%b', '%a%b%', 'a_c', '_', '%', '', 'ab', '_%_', '%😀%', 'A_', '%_b', 'aa%aa', '\\%'].map(
        (pattern) => form(`($0 ${operator} ${quote(pattern)})`, 'text'),
      ),
    ),
    ...['starts_with', 'prefix', 'ends_with', 'suffix', 'contains'].map((name) =>
      form(`"${name}"($0, $1)`, 'text', 'text'),
    ),
    form('($0 ^@ $1)', 'text', 'text'),
    ...['list_contains', 'list_has', 'array_contains', 'array_has'].map((name) =>
      form(`${name}(li, $0)`, 'int'),
    ),
    form('contains(li, $0)', 'int'),
    form('list_contains(ls, $0)', 'text'),
    form('list_contains(lx, $0)', 'decimal'),
    ...['isnan', 'isinf', 'isfinite'].map((name) => form(`${name}($0)`, 'double')),
    ...['isnan', 'isinf', 'isfinite'].map((name) => form(`${name}($0)`, 'float')),
  ],
  text: [
    form('($0 || $1)', 'text', 'text'),
    form('($0 || $1)', 'text', 'int'),
    form('concat($0, $1, $2)', 'text', 'any', 'text'),
    ...['lower', 'lcase', 'upper', 'ucase', 'trim', 'ltrim', 'rtrim'].map((name) =>
      form(`${name}($0)`, 'text'),
    ),
    ...['trim', 'ltrim', 'rtrim'].map((name) => form(`${name}($0, $1)`, 'text', 'text')),
    ...['substr', 'substring'].map((name) => form(`${name}($0, $1)`, 'text', 'int')),
    ...['substr', 'substring'].map((name) => form(`${name}($0, $1, $2)`, 'text', 'int', 'int')),
    ...['left', 'right'].map((name) => form(`"${name}"($0, $1)`, 'text', 'int')),
    form('replace($0, $1, $2)', 'text', 'text', 'text'),
    form('split_part($0, $1, $2)', 'text', 'text', 'int'),
    ...['string_split', 'str_split', 'split', 'string_to_array'].map((name) =>
      form(`${name}($0, $1)[$2]`, 'text', 'text', 'int'),
    ),
    ...['$.a', '$', '$.b.a', '$."a b"', '$[0]', '$.a[1].b', 'a', 'A', '$.c[0]'].flatMap((path) => [
      form(`(j->>${quote(path)})`),
      form(`json_extract_string(j, ${quote(path)})`),
    ]),
    form("json_extract_path_text(j, '$.a')"),
    form('(j->>0)'),
    form('(j->>-1)'),
    form("($0->>'$.a')", 'text'),
    form("($0->>'a')", 'json'),
    form('ls[$0]', 'int'),
    form('st.b'),
    form('COALESCE($0, $1)', 'text', 'text'),
    form('CASE WHEN $0 THEN $1 END', 'bool', 'text'),
    form('NULLIF($0, $1)', 'text', 'text'),
    form('greatest($0, $1)', 'text', 'text'),
    form('CAST($0 AS VARCHAR)', 'any'),
  ],
  json: [
    ...['$.a', '$', '$.b.a', '$."a b"', '$[0]', '$.a[1].b', 'a', '$.c[0]'].flatMap((path) => [
      form(`(j->${quote(path)})`),
      form(`json_extract(j, ${quote(path)})`),
    ]),
    form("json_extract_path(j, '$.b')"),
    form('(j->1)'),
    form('j.a.b'),
    form("($0->'b')", 'json'),
  ],
  time: [
    ...['microsecond', 'millisecond', 'second', 'minute', 'hour', 'day'].map((part) =>
      form(`date_trunc('${part}', $0)`, 'time'),
    ),
    form("datetrunc('hour', $0)", 'time'),
    form("date_trunc('day', $0)", 'date'),
    form("($0 + INTERVAL '90 minutes')", 'time'),
    form("($0 - INTERVAL '1 day')", 'time'),
    ...['MICROSECOND', 'MILLISECOND', 'SECOND', 'MINUTE', 'HOUR', 'DAY', 'WEEK'].map((part) =>
      form(`($0 + INTERVAL 3 ${part})`, 'time'),
    ),
    ...[
      'to_microseconds',
      'to_milliseconds',
      'to_seconds',
      'to_minutes',
      'to_hours',
      'to_days',
      'to_weeks',
    ].map((name) => form(`($0 - ${name}(2))`, 'time')),
    form('epoch_ms($0)', 'big'),
    form("TIMESTAMP '2026-01-31 08:15:00'"),
    form('COALESCE($0, ts)', 'time'),
  ],
  date: [
    form('CAST($0 AS DATE)', 'time'),
    form("DATE '2026-01-31'"),
    form('TRY_CAST(n AS DATE)'),
    form('n::DATE'),
  ],
  any: [
    ...[...intTypes, ...otherTypes].flatMap((type) =>
      (['int', 'big', 'unsigned', 'double', 'float', 'decimal', 'bool', 'time', 'date'] as const).flatMap(
        (kind) => [form(`CAST($0 AS ${type})`, kind)],
      ),
    ),
    ...[...intTypes, ...otherTypes].flatMap((type) => [
      form(`n::${type}`),
      form(`TRY_CAST(n AS ${type})`),
      form(`TRY_CAST($0 AS ${type})`, 'text'),
    ]),
    ...['BIGINT', 'DOUBLE', 'BOOLEAN', 'VARCHAR', 'UTINYINT', 'FLOAT'].flatMap((type) => [
      form(`CAST(j AS ${type})`),
      form(`TRY_CAST((j->'$.a') AS ${type})`),
      form(`(j->'b')::${type}`),
    ]),
    form('li::BIGINT[]'),
    form('lx::VARCHAR[]'),
    form('ls::INTEGER[]'),
    form('li::DECIMAL(9, 2)[]'),
    form('CAST(NULL AS INTEGER)'),
    form('tm'),
    form('tn'),
    form('tt'),
    form('y'),
    form('[$0, $1]', 'int', 'int'),
    form('[$0, $1]', 'decimal', 'decimal'),
    form("{'a': $0, 'b': $1}", 'text', 'decimal'),
    form('li'),
    form('st'),
    form('j'),
  ],
};

const leaves: Readonly<Record<Kind, fc.Arbitrary<string>>> = {
  int: fc.oneof(fc.constant('i'), fc.constantFrom('0', '1', '-1', '2', '3', '-2', '7', '2147483647', 'NULL')),
  big: fc.oneof(
    fc.constant('b'),
    fc.constantFrom(
      '9223372036854775807',
      '-9223372036854775808',
      '3000000000',
      '0::BIGINT',
      'i::HUGEINT',
      'b',
    ),
  ),
  unsigned: fc.constantFrom('u', 'ub', '1::UBIGINT', '255::UTINYINT', '18446744073709551615', '3::UINTEGER'),
  double: fc.oneof(fc.constant('d'), fc.constantFrom('0e0', '1e0', '-1.5e0', '2.5e0', '1e308', 'd', '1e-5')),
  float: fc.constantFrom('f', '1.5::FLOAT', '0.1::FLOAT'),
  decimal: fc.constantFrom('x', 'xx', '1.5', '-0.05', '100', '12345678901234567890.123', '0.0', '9.99'),
  bool: fc.constantFrom('o', 'true', 'false', 'NULL::BOOLEAN'),
  text: fc.oneof(
    fc.constantFrom('s', 't', 'n', 'st.B', 'ls[1]'),
    words.filter((word) => !/[\0\n]/.test(word)).map(quote),
  ),
  json: fc.constant('j'),
  time: fc.constantFrom('ts', 'ts', 'tm', 'tn', 'tt'),
  date: fc.constantFrom('ts::DATE', "DATE '2000-02-29'"),
  any: fc.constantFrom(...fields.map(({ name }) => name)),
};

const kinds = Object.keys(forms) as Kind[];

const expressions = fc.letrec<Record<Kind, string>>((tie) => {
  const made = kinds.map((kind) => {
    const composed = forms[kind].map(({ sql, parts }) =>
      fc
        .tuple(...parts.map((part) => tie(part)))
        .map((inner) => sql.replaceAll(/\$(\d)/g, (_, index: string) => String(inner[Number(index)]))),
    );
    const several = fc.nat(composed.length - 1).chain((index) => composed[index] ?? leaves[kind]);
    return [
      kind,
      fc.oneof({ maxDepth: 3, depthSize: 'medium' }, leaves[kind], { weight: 3, arbitrary: several }),
    ];
  });
  return Object.fromEntries(made) as { [K in Kind]: fc.Arbitrary<string> };
});

/** What comes first in a form that is tried by itself. */
const columns: Readonly<Record<Kind, string>> = {
  ...{
    int: 'i',
    big: 'b',
    unsigned: 'u',
    double: 'd',
    float: 'f',
    decimal: 'x',
    bool: 'o',
    text: 's',
    json: 'j',
  },
  ...{ time: 'ts', date: 'ts::DATE', any: 'x' },
};

/** Every form once, a column and the simplest other parts: what a run has to meet to have met everything. */
export function everyForm(seed: number): string[] {
  return kinds.flatMap((kind) =>
    forms[kind].map(({ sql, parts }, index) => {
      const simple = parts.map((part, at) => (at === 0 ? fc.constant(columns[part]) : leaves[part]));
      const [inner = []] = fc.sample(fc.tuple(...simple), { numRuns: 1, seed: seed + index });
      return sql.replaceAll(/\$(\d)/g, (_, index: string) => String(inner[Number(index)]));
    }),
  );
}

/** An expression of any type. Some are not valid: a text may not be compared with a number it cannot be. */
export const expression: fc.Arbitrary<string> = fc
  .constantFrom(...kinds, 'any' as const)
  .chain((kind) => expressions[kind]);

/** A condition. */
export const condition: fc.Arbitrary<string> = expressions.bool;
