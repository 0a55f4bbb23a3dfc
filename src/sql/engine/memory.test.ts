import type { DuckDBConnection, DuckDBValue } from '@duckdb/node-api';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Row } from '../../formats/format.ts';
import { bindSelect } from './bound-plan.ts';
import { connectEngine, engineError } from './connection.ts';
import { rowMemory } from './memory.ts';

/** Each bound is held to what DuckDB really returns, for values that are chosen to grow. */

const soak = process.env.PENSTOCK_SOAK === '1';
const columns = `a VARCHAR, b VARCHAR, j JSON, l VARCHAR[], n INTEGER, i INTEGER[], ll VARCHAR[][],
  s STRUCT(x VARCHAR, y INTEGER), x BLOB, m MAP(VARCHAR, VARCHAR), d DOUBLE, ts TIMESTAMP, bt BIT`;

const nested = '['.repeat(40) + ']'.repeat(40);
const odd = 'ŉ"\\'.repeat(100);
const inputs: Row[] = [
  {
    ...{
      a: 'a'.repeat(300),
      b: 'a'.repeat(300),
      j: nested,
      l: Array(300).fill('a'),
      n: 300,
      i: Array(300).fill(1),
    },
    ...{ ll: Array(20).fill(Array(20).fill('a')), s: { x: 'a'.repeat(300), y: 1 } },
  },
  {
    ...{ a: odd, b: '', j: JSON.stringify(Object.fromEntries([...odd].map((_, at) => [`k${at}`, at]))) },
    ...{ l: ['\u0001"'.repeat(300)], n: 3, i: [1], ll: [], s: { x: '', y: 1 } },
  },
];

let connection: DuckDBConnection;
beforeAll(async () => {
  connection = await connectEngine();
  await connection.run(`CREATE TEMP TABLE t (${columns})`);
});
afterAll(() => connection.closeSync());

const text = (value: unknown): string => `'${String(value).replaceAll("'", "''")}'`;

/** Puts a row into the table. Returns it with the columns that are made of the others. */
async function store(row: Row): Promise<Row> {
  const [list, items] = [row.l as string[], row.ll as string[][]];
  const array = (values: readonly string[]) => `[${values.map(text)}]::VARCHAR[]`;
  await connection.run('DELETE FROM t');
  await connection.run(`INSERT INTO t SELECT ${text(row.a)}, ${text(row.b)}, ${text(row.j)}, ${array(list)}, ${row.n},
    [${row.i}], [${items.map(array)}]::VARCHAR[][], {x: ${text((row.s as Row).x)}, y: 1}, encode(${text(row.a)}),
    map(list_transform(range(${list.length}), lambda v: v::VARCHAR), ${array(list)}), 5.5,
    TIMESTAMP '2024-01-01 00:00:00', '${'10'.repeat(100)}'::BIT`);
  return {
    ...row,
    x: Buffer.from(String(row.a)),
    m: list.flatMap((value) => [value, value]),
    bt: '1'.repeat(25),
  };
}

/** Bytes of a value as JavaScript gets it, with 32 for each that is inside another. */
function bytesOf(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (typeof value !== 'object' || value === null) return 0;
  const { items, bytes, entries, data } = value as Record<string, unknown>;
  if (bytes instanceof Uint8Array || data instanceof Uint8Array)
    return ((bytes ?? data) as Uint8Array).length;
  const inside = Array.isArray(value) ? value : Object.values((items ?? entries ?? value) as object);
  return inside.reduce((sum: number, item) => sum + 32 + bytesOf(item), 0);
}

/** Returns DuckDB's result of an expression beside its bound; undefined if it refuses it. */
async function compare(expression: string, row: Row): Promise<{ bytes: number; bound: number } | undefined> {
  const sql = `SELECT ${expression}, n FROM t`;
  let plan: Awaited<ReturnType<typeof bindSelect>>;
  let values: DuckDBValue[];
  try {
    plan = await bindSelect(connection, sql);
    values = plan ? ((await connection.runAndReadAll(sql)).getColumns()[0] ?? []) : [];
  } catch {
    return undefined;
  }
  if (!plan) return undefined;
  const bound = rowMemory(plan)?.(row) ?? Number.POSITIVE_INFINITY;
  return { bytes: values.reduce((sum: number, value) => sum + bytesOf(value), 0), bound };
}

const samples: Readonly<Record<string, readonly string[]>> = {
  VARCHAR: ['a', "'a'", 'b', "''"],
  JSON: ['j'],
  'VARCHAR[]': ['l'],
  'ANY[]': ['l', 'll', 'i'],
  'T[]': ['ll', 'l', 'i'],
  'T[][]': ['ll'],
  'BIGINT[]': ['i'],
  'BOOLEAN[]': ['list_transform(i, lambda v: true)'],
  INTEGER: ['n', '3'],
  BIGINT: ['n', '3'],
  DOUBLE: ['d'],
  ANY: ['l', 'a', 's', 'm', 'j', 'n'],
  T: ['a'],
  BLOB: ['x'],
  BIT: ['bt'],
  STRUCT: ['s'],
  'MAP(K, V)': ['m'],
  'STRUCT(K, V)[]': ['map_entries(m)'],
  K: ["'a'"],
  V: ["'a'"],
  'K[]': ['l'],
  'V[]': ['l'],
  TIMESTAMP: ['ts'],
  LAMBDA: ['lambda v: v'],
};

/** All combinations of sample arguments of the given types. */
function combinations([type, ...rest]: readonly string[]): string[][] {
  if (type === undefined) return [[]];
  const later = combinations(rest);
  return (samples[type] ?? ['a', 'l']).flatMap((value) => later.map((values) => [value, ...values]));
}

test('no function of DuckDB returns more than its bound', async () => {
  const left =
    'icu_collate|pg_|has_|__|json_(de)?serialize|sleep|error|current|getvariable|write_log|nextval|currval|set_?seed';
  const found = await connection.runAndReadAll(`SELECT DISTINCT function_name, parameter_types, varargs
    FROM duckdb_functions() WHERE function_type IN ('scalar', 'macro') AND regexp_matches(function_name, '^[a-z|-]')
    AND NOT regexp_matches(function_name, '^(${left})') ORDER BY ALL`);
  let tried = 0;
  const over: string[] = [];
  for (const input of inputs) {
    const row = await store(input);
    for (const [name, types, varargs] of found.getRows()) {
      const parameters = ((types as { items: unknown[] } | null)?.items ?? []).map(String);
      if (varargs !== null || parameters.length === 0) parameters.push('ANY', 'ANY');
      for (const args of combinations(parameters).slice(0, soak ? 60 : 2)) {
        const call = /^\W/.test(String(name)) ? args.join(` ${name} `) : `${name}(${args.join(', ')})`;
        const sizes = await compare(call, row);
        if (!sizes) continue;
        tried += 1;
        if (sizes.bytes > sizes.bound) over.push(`${call}: ${sizes.bytes} > ${sizes.bound}`);
      }
    }
  }
  expect(over).toEqual([]);
  expect(tried).toBeGreaterThan(800);
});

const leaf = fc.constantFrom('a', 'b', "'aa'", "'b'", "''", 's.x', 'l[1]', 'n::VARCHAR');
const shapes: readonly ((first: string, second: string, third: string) => string)[] = [
  (a, b, c) => `replace(${a}, 'a', ${c} || ${b})`,
  (a, b, c) => `replace(${a}, ${b}, ${c})`,
  (a, b) => `regexp_replace(${a}, '(a)', '\\1b\\1' || 'cc', 'g') || ${b}`,
  (a, b, c) => `array_to_string(string_split(${a}, ''), '-') || concat_ws(${b}, ${c}, 'x')`,
  (a, b) => `list_transform(string_split(${a}, ''), lambda v: v || ${b})::VARCHAR`,
  (a, b) => `list_reduce(string_split(${a}, ''), lambda v, w: v || w, ${b})`,
  (a, b, c) => `CASE WHEN ${a} > ${b} THEN hex(${c}) ELSE to_json([${a}, ${b}])::VARCHAR END`,
  (a, b) => `format('{}{}', ${a}, ${b})`,
  (a, b) => `rpad(${a}, 20, '#') || repeat(${b}, 3)`,
  (a, b) => `list_select([${a}, ${b}], [1, 1, 2])::VARCHAR`,
  (a, b) => `json_object(${a}, ${b}, 'k', [${a}])::VARCHAR`,
  (a) => `translate(upper(reverse(${a})), 'A', 'ß')`,
];
const { expression } = fc.letrec<{ expression: string }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 3, depthSize: 'large' },
    leaf,
    fc
      .tuple(fc.constantFrom(...shapes), tie('expression'), tie('expression'), tie('expression'))
      .map(([shape, a, b, c]) => shape(a, b, c)),
  ),
}));

test('no nested expression returns more than its bound', async () => {
  const row = await store({ ...inputs[0], a: 'aba"\\'.repeat(3), b: 'a', s: { x: 'aaa', y: 1 } });
  let compared = 0;
  const property = fc.asyncProperty(expression, async (made) => {
    const bound = await boundOf(made, row);
    // The bound is there to keep what exceeds it from running.
    if (bound > 16 * 1024 * 1024) return;
    const sizes = await compare(made, row);
    if (!sizes) return;
    compared += 1;
    expect(sizes.bytes).toBeLessThanOrEqual(sizes.bound);
  });
  await fc.assert(property, { numRuns: soak ? 3000 : 50 });
  expect(compared).toBeGreaterThan(30);
});

async function boundOf(expression: string, row: Row): Promise<number> {
  const plan = await bindSelect(connection, `SELECT ${expression}, n FROM t`).catch((error: unknown) => {
    throw new Error(`${expression}: ${engineError(error).message}`);
  });
  return (plan && rowMemory(plan)?.(row)) ?? Number.POSITIVE_INFINITY;
}

describe('an expression that is too small to refuse', () => {
  const ordinary = [
    "replace(replace(replace(a, '&', '&amp;'), '<', '&lt;'), '\"', '&quot;')",
    "list_transform(string_split(a, ','), lambda v: trim(v)::VARCHAR)",
    "regexp_replace(lower(trim(a)), '[^a-z0-9]+', '-', 'g')",
    "json_extract_string(j, '$.a.b') || ' ' || upper(a)",
    'array_to_string(list_sort(l), a)',
  ];
  test.each(ordinary)('%s', async (made) => {
    const plan = await bindSelect(connection, `SELECT ${made}, n FROM t`);
    const kilobytes = { ...inputs[0], a: 'x'.repeat(8000), j: nested.repeat(100) };
    expect((plan && rowMemory(plan)?.(kilobytes)) ?? 0).toBeLessThan(128 * 1024 * 1024);
  });
});
