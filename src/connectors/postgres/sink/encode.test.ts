import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { arbitraryFields, arbitraryRow } from '../../../../test/support/arbitrary-rows.ts';
import { emptyDatabase, WrittenTable } from '../../../../test/support/postgres-sink.ts';
import type { Row, Value } from '../../../formats/format.ts';
import { valueWriter } from '../../../formats/json/encode.ts';
import type { Field, ListItem } from '../../../formats/schema/schema.ts';
import type { PostgresTable } from '../config/table.ts';
import { columnType } from '../connection/column-types.ts';

const { url } = await emptyDatabase();

let made = 0;
function created(fields: Field[], mode: PostgresTable['mode'], config: Partial<PostgresTable> = {}) {
  made += 1;
  return new WrittenTable(url, { table: `t${made}`, mode, create_table: 'if_missing', ...config }, fields);
}

/** SQL that shows a value as text, and what that text must be. */
function shown(type: ListItem, sql: string): string {
  if (type.type === 'bytes') return `encode(${sql}, 'hex')`;
  if (type.type === 'timestamp') return `(extract(epoch FROM ${sql}) * 1000000)::bigint::text`;
  return `${sql}::text`;
}

const perMicrosecond = { second: 1_000_000n, millisecond: 1_000n, microsecond: 1n, nanosecond: 1n };

function text(type: ListItem, value: Value): string | null {
  if (value === null) return null;
  if (type.type === 'bytes') return (value as Buffer).toString('hex');
  if (type.type === 'timestamp') {
    const count = (value as bigint) * perMicrosecond[type.unit ?? 'millisecond'];
    if (type.unit !== 'nanosecond') return String(count);
    return String((count - (((count % 1000n) + 1000n) % 1000n)) / 1000n);
  }
  // The shortest text of a float differs in its form only.
  if (type.type === 'float32') return String(Math.fround(value as number));
  return String(value);
}

const readBack = (type: ListItem, found: string | null): string | null => {
  if (found === null) return null;
  if (type.type === 'float32') return String(Math.fround(Number(found)));
  return type.type === 'float64' ? String(Number(found)) : found;
};

/** Compares one column of the only row of a table with what was written. */
async function compare(written: WrittenTable, field: Field, value: Value): Promise<void> {
  const column = `"${field.name.replaceAll('"', '""')}"`;
  const from = `FROM ${written.context.table.table}`;
  const type = columnType(field);
  if (value === null) {
    expect(await written.rows(`SELECT ${column} IS NULL AS same ${from}`)).toEqual([{ same: true }]);
  } else if (type === 'jsonb' || type === 'jsonb[]') {
    const json = valueWriter(field, '', { type: 'json' })(value).replaceAll("'", "''");
    expect(
      await written.rows(
        `SELECT to_jsonb(${column}) = E'${json.replaceAll('\\', '\\\\')}'::jsonb AS same ${from}`,
      ),
    ).toEqual([{ same: true }]);
  } else if (field.type === 'list') {
    const item = field.items as ListItem;
    const [row] = await written.rows(
      `SELECT ARRAY(SELECT ${shown(item, 'e')} FROM ${written.context.table.table}, unnest(${column}) AS e) AS found`,
    );
    expect(((row?.found ?? []) as string[]).map((one) => readBack(item, one))).toEqual(
      (value as Value[]).map((one) => text(item, one)),
    );
  } else {
    const [row] = await written.rows(`SELECT ${shown(field, column)} AS found ${from}`);
    expect(readBack(field, row?.found as string)).toBe(text(field, value));
  }
}

test('every type comes back from its natural column as it was, by COPY and by INSERT', async () => {
  const cases = arbitraryFields.chain((fields) => fc.tuple(fc.constant(fields), arbitraryRow(fields)));
  await fc.assert(
    fc.asyncProperty(cases, fc.constantFrom('append', 'insert_ignore'), async ([fields, row], mode) => {
      const written = created(fields, mode as PostgresTable['mode']);
      expect(await written.write([row])).toEqual([]);
      for (const field of fields) await compare(written, field, row[field.name] as Value);
      await (await written.sink()).close();
    }),
    { numRuns: 40 },
  );
}, 60_000);

describe.each(['append', 'insert_ignore'] as const)('values at their limits, with %s', (mode) => {
  const one = async (field: Omit<Field, 'name'>, values: Value[]): Promise<unknown[]> => {
    const written = created([{ name: 'n', type: 'int32' }, { ...field, name: 'v' } as Field], mode);
    expect(await written.write(values.map((v, n) => ({ n, v }) as Row))).toEqual([]);
    return (await written.rows(`SELECT v::text FROM ${written.context.table.table} ORDER BY n`)).map(
      ({ v }) => v,
    );
  };

  test('are kept', async () => {
    const special = [
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      -0,
      5e-324,
      1.7976931348623157e308,
    ];
    expect(await one({ type: 'float64' }, special)).toEqual([
      'NaN',
      'Infinity',
      '-Infinity',
      '-0',
      '5e-324',
      '1.7976931348623157e+308',
    ]);
    expect(await one({ type: 'list', items: { type: 'float32' } }, [special.slice(0, 4)])).toEqual([
      '{NaN,Infinity,-Infinity,-0}',
    ]);
    expect(await one({ type: 'uint64' }, [0n, 2n ** 64n - 1n])).toEqual(['0', '18446744073709551615']);
    expect(await one({ type: 'int64' }, [-(2n ** 63n), 2n ** 63n - 1n])).toEqual([
      '-9223372036854775808',
      '9223372036854775807',
    ]);
    const digits = `-${'9'.repeat(20)}.${'9'.repeat(18)}`;
    expect(await one({ type: 'decimal128', precision: 38, scale: 18 }, [digits])).toEqual([digits]);
    const texts = ['', 'NULL', '\\N', '\\.', '{"a"}', `'"\\`, 'a\tb\r\nc', '\u{1F600}\u{10FFFF}'];
    expect(await one({ type: 'string' }, texts)).toEqual(texts);
    expect(await one({ type: 'list', items: { type: 'string' } }, [['NULL', null, '', '\\', '"']])).toEqual([
      '{"NULL",NULL,"","\\\\","\\""}',
    ]);
    const micros = [-62_167_219_200_000_000n, -1n, 0n, 253_402_300_800_000_000n, 8_640_000_000_000_000_000n];
    expect(
      await one(
        { type: 'timestamp', unit: 'microsecond' },
        micros.map((value) => value),
      ),
    ).toEqual([
      '0001-01-01 00:00:00+00 BC',
      '1969-12-31 23:59:59.999999+00',
      '1970-01-01 00:00:00+00',
      '10000-01-01 00:00:00+00',
      '275760-09-13 00:00:00+00',
    ]);
  });

  test('are refused, if PostgreSQL has no place for them', async () => {
    const fields: Field[] = [
      { name: 'at', type: 'timestamp', unit: 'second' },
      { name: 'json', type: 'json' },
      { name: 'list', type: 'list', items: { type: 'string' } },
      { name: 'struct', type: 'struct', fields: [{ name: 'a', type: 'string' }] },
    ];
    const good = { at: 0n, json: '"\\\\u0000"', list: ['a'], struct: { a: 'b' } };
    const written = created(fields, mode);
    const rows: Row[] = [
      { ...good, at: 2n ** 62n },
      { ...good, at: -300_000_000_000n },
      { ...good, json: '{"a": "\\u0000"}' },
      { ...good, json: '"\\ud800"' },
      { ...good, list: ['a', '\0'] },
      { ...good, struct: { a: '\0' } },
      good,
    ];
    expect(await written.refused(rows)).toEqual([
      [0, 'bad_row'],
      [1, '22008'],
      [2, 'bad_row'],
      [3, '22P02'],
      [4, 'bad_row'],
      [5, 'bad_row'],
    ]);
    expect((await written.rows()).length).toBe(1);
  });

  test('times in nanoseconds are cut, with a warning', async () => {
    const written = created([{ name: 'at', type: 'timestamp', unit: 'nanosecond' }], mode);
    expect(await written.write([{ at: 1_999n }, { at: -1n }])).toEqual([]);
    const rows = await written.rows(`SELECT at::text FROM ${written.context.table.table} ORDER BY at`);
    expect(rows.map(({ at }) => at)).toEqual([
      '1969-12-31 23:59:59.999999+00',
      '1970-01-01 00:00:00.000001+00',
    ]);
    expect(written.context.warnings.map(({ code }) => code)).toEqual(['postgres_precision_cut']);
  });
});

test('strings fit the types that are written as text', async () => {
  const fields = ['u', 'i', 'e', 'd', 'j', 'x', 'm'].map((name): Field => ({ name, type: 'string' }));
  const written = created(fields, 'append');
  const { rows, context } = written;
  await rows.call(
    written,
    `CREATE TYPE mood AS ENUM ('ok'); CREATE DOMAIN short AS varchar(3);
     CREATE TABLE ${context.table.table} (u uuid, i inet, e mood, d date, j json, x short, m interval)`,
  );
  const row = {
    u: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
    i: '10.0.0.1',
    e: 'ok',
    d: '2024-01-02',
    j: '{}',
    x: 'abc',
    m: '1 day',
  };
  expect(
    await written.refused([row, { ...row, e: 'no' }, { ...row, x: 'abcd' }, { ...row, x: 'ab   ' }, row]),
  ).toEqual([
    [1, '22P02'],
    [2, '22001'],
  ]);
});
