import { describe, expect, test } from 'vitest';
import { planned, refusal } from '../../test/support/compile-fixtures.ts';
import { exampleCatalog, storedTable } from '../../test/support/example-catalog.ts';

const catalog = exampleCatalog(
  storedTable('r', 'source', [
    { name: 'v', type: 'json' },
    { name: 'n', type: 'int32' },
    { name: 'b', type: 'int64' },
    { name: 'u', type: 'uint32' },
    { name: 'f', type: 'float64' },
    { name: 'd', type: 'decimal128', precision: 10, scale: 2 },
    { name: 's', type: 'string' },
    { name: 'ok', type: 'bool' },
    { name: 'ts', type: 'timestamp' },
    { name: 'raw', type: 'bytes' },
    { name: 'l', type: 'list', items: { type: 'int32' } },
  ]),
);
const sink = "CREATE TABLE o WITH (connector = 'mqtt', type = 'sink', topic = 'o', format = 'json');\n";
const query = (rest: string) => `${sink}INSERT INTO o ${rest}`;
const where = (condition: string) => query(`SELECT n FROM r WHERE ${condition}`);
const select = (expression: string) => query(`SELECT ${expression} AS x FROM r`);

describe('what fails for every row is refused, with what to write', () => {
  test.each<[condition: string, at: string, message: string]>([
    ["v = 'LOCK'", "'LOCK'", "'LOCK' can never become JSON, so this fails for every row; write (v ->> '$')"],
    ["v <> 'LOCK'", "'LOCK'", "write (v ->> '$')"],
    ["'LOCK' = v", "'LOCK'", "write (v ->> '$')"],
    ["v IN ('ON', 'OFF')", "'ON'", "write (v ->> '$')"],
    ["(v -> 'state') = 'ON'", "'ON'", 'write ->> instead of ->'],
    ["json_extract(v, '$.a') = 'ON'", "'ON'", 'for the text of a JSON string'],
    ["v BETWEEN 'a' AND 'b'", "'a'", "write (v ->> '$')"],
    ["v IS DISTINCT FROM 'LOCK'", "'LOCK'", "write (v ->> '$')"],
    ["CASE v WHEN 'a' THEN true END", "'a'", "write (v ->> '$')"],
    ["n = 'abc'", "'abc'", "'abc' can never become INTEGER, so this fails for every row; write a number"],
    ["n = ''", "''", 'can never become INTEGER'],
    ["ok = 'ON'", "'ON'", "'ON' can never become BOOLEAN, so this fails for every row; write true or false"],
    ["ts > 'yesterday'", "'yesterday'", 'can never become TIMESTAMP'],
    ["ts > '01.07.2024'", "'01.07.2024'", "write a time as '2026-01-31 08:15:00'"],
    ["d > 'much'", "'much'", 'can never become DECIMAL(10, 2)'],
    ["n = COALESCE(n, 'none')", "'none'", 'can never become INTEGER'],
  ])('WHERE %s', async (condition, at, message) => {
    const [first] = await refusal(where(condition), catalog);
    expect(first?.message).toContain(message);
    const column = 'INSERT INTO o SELECT n FROM r WHERE '.length + condition.indexOf(at) + 1;
    expect(first?.span?.start).toEqual({ line: 2, column });
  });

  test.each<[expression: string, message: string]>([
    [
      'CAST(b AS TIMESTAMP)',
      'BIGINT can never become TIMESTAMP, so this fails for every row; write to_timestamp(b) for seconds',
    ],
    ['b::TIMESTAMP', 'epoch_ms(b) for milliseconds'],
    ['CAST(f AS TIMESTAMP)', 'DOUBLE can never become TIMESTAMP'],
    ['CAST(d AS DATE)', 'DECIMAL(10, 2) can never become DATE'],
    ['CAST(u AS TIMESTAMPTZ)', 'UINTEGER can never become TIMESTAMP WITH TIME ZONE'],
    ['TRY_CAST(b AS TIMESTAMP)', 'BIGINT can never become TIMESTAMP, so this is NULL for every row'],
    ['CAST(ts AS BIGINT)', 'write epoch_ms(ts)'],
    ['CAST(ok AS TIMESTAMP)', 'BOOLEAN can never become TIMESTAMP'],
    ['CAST(raw AS INTEGER)', 'BLOB can never become INTEGER'],
    ['CAST(n AS BLOB)', 'INTEGER can never become BLOB'],
    ['CAST(l AS INTEGER)', 'INTEGER[] can never become INTEGER, so this fails for every row; write l[1]'],
    ['CAST(n AS INTEGER[])', 'write [n]'],
    ['list_transform(l, x -> CAST(x AS TIMESTAMP))', 'INTEGER can never become TIMESTAMP'],
    ["CAST('x' AS INTEGER)", "'x' can never become INTEGER"],
    ['CAST(300 AS TINYINT)', '300 can never become TINYINT'],
    ["CAST('2024-13-01' AS DATE)", "'2024-13-01' can never become DATE"],
    ["CAST('LOCK' AS JSON)", `a JSON string has double quotes, as in '"LOCK"'`],
    ["v->>'a' = 'x' AND v->>'b' = 'y'", 'put each in brackets'],
    ["v -> 'a' = 'x'", 'put each in brackets'],
    ["NOT v->>'a' = 'x'", 'put each in brackets'],
    ["s || v->>'a'", 'put each in brackets'],
  ])('SELECT %s', async (expression, message) => {
    const [first] = await refusal(select(expression), catalog);
    expect(first?.message).toContain(message);
  });
});

describe('what has the same result for every row is refused, with the reason', () => {
  test.each<[condition: string, message: string]>([
    ["v::TEXT = 'LOCK'", "because a JSON string keeps its quotes as TEXT; write (v ->> '$')"],
    ["CAST(v AS VARCHAR) <> 'LOCK'", "write (v ->> '$')"],
    ["v::TEXT IN ('ON', 'OFF')", "write (v ->> '$')"],
    ["(v -> 'a')::TEXT = 'ON'", 'write ->> instead of ->'],
    ["upper(v) = 'LOCK'", "write (v ->> '$')"],
    ["trim(v::TEXT) = 'LOCK'", "write (v ->> '$')"],
    ["v LIKE 'LO%'", 'matches no row, because a JSON string keeps its quotes'],
    ["starts_with(v, 'LO')", 'matches no row'],
    ["upper(s) LIKE 'abc%'", 'the result of upper has no such letters'],
    ["contains(lower(s), 'ERR')", "write 'err'"],
    ['n = 5000000000', 'it is out of the range of INTEGER'],
    ['5000000000 < n', 'it is out of the range of INTEGER'],
    ['u < 0', 'it is out of the range of UINTEGER'],
    ['u = -1', 'it is out of the range of UINTEGER'],
    ['n IN (5000000000, 6000000000)', 'it is out of the range of INTEGER'],
    ['n NOT IN (5000000000)', 'it is out of the range of INTEGER'],
    ['n BETWEEN 5000000000 AND 6000000000', 'it is out of the range of INTEGER'],
    ['n = 1.5', 'INTEGER has no digits after the point'],
    ['d = 1.005', 'DECIMAL(10, 2) has only 2 digits after the point'],
    ['d > 99999999999', 'it is out of the range of DECIMAL(10, 2)'],
    ['n = NULL', 'A comparison with NULL is never true; write IS NULL'],
    ['s <> NULL', 'write IS NULL or IS NOT NULL'],
    ['n NOT IN (1, NULL)', 'A comparison with NULL is never true'],
    ["upper(s) = 'abc'", "because the result of upper has no such letters; write 'ABC'"],
    ["lower(s) IN ('ON')", "write 'on'"],
  ])('WHERE %s', async (condition, message) => {
    const [first] = await refusal(where(condition), catalog);
    expect(first?.message).toContain(message);
  });

  test('in a view, at its place there', async () => {
    const [first, ...rest] = await refusal(
      `${sink}CREATE VIEW w AS SELECT n FROM r WHERE v = 'LOCK';\nINSERT INTO o SELECT n FROM w;`,
      catalog,
    );
    expect(first?.span?.start).toEqual({ line: 2, column: 44 });
    expect(rest).toEqual([]);
  });
});

test.each([
  `v = '"LOCK"'`,
  "v ->> '$' = 'LOCK'",
  "(v->>'a') = 'x' AND (v->>'b') = 'y'",
  "v::TEXT = '5'",
  `v::TEXT LIKE '"LO%'`,
  "v LIKE '%LO%'",
  "upper(v) = 'TRUE'",
  'v = 5',
  "n = '5'",
  'n = 2147483647',
  'n < 5000000000',
  'u >= 0',
  'd = 1.50',
  'n = 1.0',
  'n IS NULL',
  'n IS NOT DISTINCT FROM NULL',
  'n IN (1, NULL)',
  'n IN (1, 5000000000)',
  `v::TEXT IN ('"ON"', 'ON')`,
  "v::TEXT <> ''",
  "upper(s) = 'STRAßE'",
  "ts > '2024-07-01'",
  "ts > '2024-07-01T12:00:00Z'",
  "ok = 'true'",
  'CAST(to_timestamp(b) AS TIMESTAMP) > ts',
  'epoch_ms(b) > ts',
  'TRY_CAST(s AS TIMESTAMP) IS NULL',
  "TRY(CAST('x' AS INTEGER)) IS NULL",
  "CAST(b AS VARCHAR) > '99999999999999999999'",
  "upper(s) = 'ABC1'",
  "upper(s) ILIKE 'abc%'",
  "contains(v, 'LO')",
  "lower(s) LIKE '%err%'",
  'f = 1.005',
  "s = ''",
  "NULLIF(s, 'x') = 'y'",
])('what may be right is accepted: WHERE %s', async (condition) => {
  await expect(planned(where(condition), catalog)).resolves.toBeDefined();
});

describe('what may surprise is a warning', () => {
  const warned = async (text: string): Promise<string[]> =>
    (await planned(text, catalog)).plan.warnings.map(({ message }) => message);

  test.each<[expression: string, message: string]>([
    ["v -> 'a'", 'loses digits after the 15th'],
    ["v ->> 'a'", 'loses digits after the 15th'],
    ["CAST(v ->> 'a' AS DECIMAL(20, 2))", 'loses digits'],
    ['CAST(v AS DECIMAL(20, 2))', 'loses digits'],
    ["json_extract_string(v, '$.a')", 'loses digits'],
    ['CAST(s AS TIMESTAMP)', 'A cast of a text to TIMESTAMP drops the offset in it'],
    ["CAST(v ->> 'at' AS TIMESTAMP_S)", 'A cast of a text to TIMESTAMP_S drops the offset'],
    ['TRY_CAST(s AS TIMESTAMP_MS)', 'Write CAST(… AS TIMESTAMPTZ)'],
    ['CAST(s AS DATE)', 'Write CAST(CAST(… AS TIMESTAMPTZ) AS DATE)'],
    ["CAST('2024-07-01T12:00:00+02:00' AS TIMESTAMP)", 'drops the offset'],
    ["(v ->> 'n') > '9'", "compares texts, in which '10' is less than '9'"],
  ])('SELECT %s', async (expression, message) => {
    expect((await warned(select(expression))).join('\n')).toContain(message);
  });

  test.each([
    'n',
    "CAST(v ->> 'a' AS INTEGER)",
    "CAST(v -> 'a' AS BOOLEAN)",
    "(v ->> 'a') = 'x'",
    "(v ->> 'a') IS NULL",
    'CAST(s AS TIMESTAMPTZ)',
    'CAST(s AS TIMESTAMP_NS)',
    "CAST(s AS TIMESTAMP) AT TIME ZONE 'Europe/Berlin'",
    "ts > '2024-07-01 12:00:00'",
    "TIMESTAMP '2024-07-01 12:00:00'",
    'CAST(ts AS TIMESTAMP)',
    "s > 'm'",
  ])('and not: SELECT %s', async (expression) => {
    expect(await warned(select(expression))).toEqual([]);
  });

  test('with its place, once for each SELECT', async () => {
    const { plan } = await planned(query("SELECT v->>'a' AS a, v->>'b' AS b FROM r"), catalog);
    expect(plan.warnings).toEqual([
      expect.objectContaining({ span: expect.objectContaining({ start: { line: 2, column: 23 } }) }),
    ]);
  });
});
