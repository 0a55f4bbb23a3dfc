import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import { parquetReadObjects } from 'hyparquet';
import { expect, test } from 'vitest';
import { fileFolder } from '../../../../test/support/files.ts';
import type { Row } from '../../../formats/format.ts';
import type { ConnectionSchema, Field } from '../../../formats/schema/schema.ts';
import { parquetFile } from './parquet.ts';

const folder = fileFolder();
let made = 0;

async function written(
  schema: ConnectionSchema,
  rows: readonly Row[],
): Promise<{ path: string; bytes: Buffer }> {
  const content = parquetFile(schema)();
  for (const row of rows) content.add({ payload: Buffer.alloc(0), row });
  const bytes = Buffer.concat(await content.finish());
  const path = join(folder, `${made++}.parquet`);
  writeFileSync(path, bytes);
  return { path, bytes };
}

async function queried(sql: string): Promise<unknown[][]> {
  const instance = await DuckDBInstance.create();
  const connection = await instance.connect();
  try {
    return (await connection.runAndReadAll(sql)).getRowsJson() as unknown[][];
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

const field = (name: string, type: Field['type'], more: Partial<Field> = {}): Field => ({
  name,
  type,
  ...more,
});

const fields: Field[] = [
  field('i32', 'int32'),
  field('u32', 'uint32'),
  field('i64', 'int64'),
  field('u64', 'uint64'),
  field('f32', 'float32'),
  field('f64', 'float64'),
  field('dec', 'decimal128', { precision: 38, scale: 4 }),
  field('flag', 'bool'),
  field('text', 'string', { required: true }),
  field('raw', 'bytes'),
  field('sec', 'timestamp', { unit: 'second' }),
  field('milli', 'timestamp', { unit: 'millisecond' }),
  field('micro', 'timestamp', { unit: 'microsecond' }),
  field('nano', 'timestamp', { unit: 'nanosecond' }),
  field('doc', 'json'),
  field('place', 'struct', {
    fields: [field('lat', 'float64'), field('tags', 'list', { items: { type: 'string' } })],
  }),
  field('times', 'list', { items: { type: 'timestamp', unit: 'second' } }),
  field('nested', 'list', { items: { type: 'list', items: { type: 'int64' } } }),
];

const full: Row = {
  i32: -(2 ** 31),
  u32: 2 ** 32 - 1,
  i64: -(2n ** 63n),
  u64: 2n ** 64n - 1n,
  f32: 1.5,
  f64: 0.1,
  dec: '-1234567890123456789012345678901234.5678',
  flag: true,
  text: 'Grüße 🌍',
  raw: Buffer.from([0, 255]),
  sec: 1_700_000_000n,
  milli: 1_700_000_000_123n,
  micro: 1_700_000_000_123_456n,
  nano: 1_700_000_000_123_456_789n,
  doc: '{"n": 12345678901234567890}',
  place: { lat: 52.5, tags: ['a', null, ''] },
  times: [1n, null],
  nested: [[1n, 2n], [], null],
};

const empty: Row = Object.fromEntries(fields.map(({ name }) => [name, name === 'text' ? '' : null]));

const expected = [
  [-(2 ** 31), 'INTEGER'],
  [2 ** 32 - 1, 'UINTEGER'],
  ['-9223372036854775808', 'BIGINT'],
  ['18446744073709551615', 'UBIGINT'],
  [1.5, 'FLOAT'],
  [0.1, 'DOUBLE'],
  ['-1234567890123456789012345678901234.5678', 'DECIMAL(38,4)'],
  [true, 'BOOLEAN'],
  ['Grüße 🌍', 'VARCHAR'],
  ['\\x00\\xFF', 'BLOB'],
  ['2023-11-14 22:13:20', 'TIMESTAMP WITH TIME ZONE'],
  ['2023-11-14 22:13:20.123', 'TIMESTAMP WITH TIME ZONE'],
  ['2023-11-14 22:13:20.123456', 'TIMESTAMP WITH TIME ZONE'],
  ['2023-11-14 22:13:20.123456', 'TIMESTAMP WITH TIME ZONE'],
  ['{"n": 12345678901234567890}', 'VARCHAR'],
  ["{'lat': 52.5, 'tags': [a, NULL, '']}", 'STRUCT(lat DOUBLE, tags VARCHAR[])'],
  ["['1970-01-01 00:00:01', NULL]", 'TIMESTAMP WITH TIME ZONE[]'],
  ['[[1, 2], [], NULL]', 'BIGINT[][]'],
];

test.each(['uncompressed', 'snappy', 'gzip', 'zstd'] as const)(
  'writes every type so that DuckDB reads it back, %s',
  async (compression) => {
    const schema = { format: { type: 'parquet', compression } as const, fields };
    const { path } = await written(schema, [full, empty, full]);
    const columns = fields.map(({ name }) => `CAST(${name} AS VARCHAR), typeof(${name})`).join(', ');
    const read = await queried(`SET TimeZone = 'UTC'; SELECT ${columns} FROM '${path}'`);
    expect(read.length).toBe(3);
    for (const row of [read[0], read[2]] as unknown[][])
      expected.forEach(([value, type], index) => {
        expect(String(row[2 * index]).replaceAll(/\+00/g, '')).toBe(String(value));
        expect([fields[index]?.name, row[2 * index + 1]]).toEqual([fields[index]?.name, type]);
      });
    const nulls = (read[1] as unknown[]).filter((_, index) => index % 2 === 0);
    expect(nulls).toEqual(fields.map(({ name }) => (name === 'text' ? '' : null)));
  },
);

test('is read by hyparquet, and divided into row groups', async () => {
  const schema: ConnectionSchema = {
    format: { type: 'parquet', compression: 'zstd', row_group_bytes: 1024 },
    fields: [field('n', 'int64', { required: true })],
  };
  const rows = Array.from({ length: 1000 }, (_, n) => ({ n: BigInt(n) }));
  const { path, bytes } = await written(schema, rows);
  const file = new Uint8Array(bytes).buffer;
  const compressors = {
    ZSTD: (data: Uint8Array) => zstdDecompressSync(data),
    GZIP: (data: Uint8Array) => gunzipSync(data),
  };
  expect(await parquetReadObjects({ file, compressors })).toEqual(rows);
  const [groups] = await queried(`SELECT count(DISTINCT row_group_id) FROM parquet_metadata('${path}')`);
  expect(Number(groups?.[0])).toBe(8);
});

test.each([
  [field('v', 'decimal128', { precision: 4, scale: 2 }), '123.45'],
  [field('v', 'decimal128', { precision: 4, scale: 2 }), '1.234'],
  [field('v', 'string'), '\ud800'],
  [field('v', 'timestamp', { unit: 'second' }), 2n ** 62n],
  [field('v', 'int64'), 2n ** 63n],
  [field('v', 'struct', { fields: [field('m', 'bool', { required: true })] }), { m: null }],
])('refuses a value that the column cannot hold: %j', (column, v) => {
  const content = parquetFile({ format: { type: 'parquet' }, fields: [column] })();
  expect(() => content.add({ payload: Buffer.alloc(0), row: { v } })).toThrow(
    expect.objectContaining({ code: 'bad_row' }),
  );
});
