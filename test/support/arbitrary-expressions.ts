import fc from 'fast-check';
import { fields, words } from './arbitrary-sql-rows.ts';

/** For property tests: arbitrary expressions over the table of arbitrary-sql-rows.ts. */

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

/** The first part of a form that is tested alone. */
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

/** Every form once, with a column and the simplest other parts, so that a run covers all of them. */
export function everyForm(seed: number): string[] {
  return kinds.flatMap((kind) =>
    forms[kind].map(({ sql, parts }, index) => {
      const simple = parts.map((part, at) => (at === 0 ? fc.constant(columns[part]) : leaves[part]));
      const [inner = []] = fc.sample(fc.tuple(...simple), { numRuns: 1, seed: seed + index });
      return sql.replaceAll(/\$(\d)/g, (_, index: string) => String(inner[Number(index)]));
    }),
  );
}

/** An expression of any type. Some are not valid, such as a comparison of a number with a text that is not one. */
export const expression: fc.Arbitrary<string> = fc
  .constantFrom(...kinds, 'any' as const)
  .chain((kind) => expressions[kind]);

export const condition: fc.Arbitrary<string> = expressions.bool;
