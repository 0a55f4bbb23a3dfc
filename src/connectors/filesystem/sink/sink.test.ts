import { chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { testSink } from '../../../../test/support/connector-conformance/sink.ts';
import {
  type Context,
  failureOf,
  runContext,
} from '../../../../test/support/connector-conformance/subject.ts';
import { fileFolder, filesBelow, linesBelow } from '../../../../test/support/files.ts';
import { until } from '../../../../test/support/until.ts';
import { codecFor, expandSchema } from '../../../formats/codec.ts';
import type { Row } from '../../../formats/format.ts';
import type { ConnectionSchema } from '../../../formats/schema/schema.ts';
import type { RunContext, Sink } from '../../connector.ts';
import { filesystem } from '../index.ts';

const root = fileFolder();
let made = 0;

const json = expandSchema({
  format: { type: 'json' },
  fields: [
    { name: 'n', type: 'int64' },
    { name: 'site', type: 'string' },
    { name: 'at', type: 'timestamp' },
  ],
});

type FileContext = RunContext<object, { table_type: { type: 'sink'; path: string } }>;

function context(more: object = {}, schema: ConnectionSchema = json): Context {
  const path = `t${made++}`;
  const own = runContext({
    table_type: { type: 'sink', path, rolling_policy: { inactivity_seconds: 1 }, ...more },
  });
  return { ...own, schema, targets: { ...own.targets, fileDir: root } };
}

const open = (own: Context): Promise<Sink> => filesystem.openSink?.(own as never) as Promise<Sink>;
const folder = (own: Context): string => join(root, (own as FileContext).table.table_type.path);

const rows = (count: number, more: Row = {}): Row[] =>
  Array.from({ length: count }, (_, n) => ({ n: BigInt(n), site: null, at: null, ...more }));

function messages(some: readonly Row[], schema: ConnectionSchema = json) {
  const { encode } = codecFor(schema);
  return some.map((row) => ({ payload: encode(row), row }));
}

/** Writes rows and confirms them. */
async function write(own: Context, some: readonly Row[]): Promise<void> {
  const sink = await open(own);
  const written = sink.write(messages(some, own.schema));
  sink.flush?.();
  expect(await written).toEqual([]);
  await sink.close();
}

testSink({
  connector: filesystem as never,
  context: () => context({}, { format: { type: 'raw_string' } }),
  dials: false,
  written: (own) => linesBelow(folder(own)),
  refused: { message: { payload: Buffer.from('a\nb'), row: {} }, code: 'bad_row' },
  async breakable() {
    const own = context();
    return {
      context: own,
      cut() {
        rmSync(folder(own), { recursive: true });
        writeFileSync(folder(own), '');
      },
    };
  },
});

test('confirms nothing before the file is visible, and shows only whole files', async () => {
  const own = context({ rolling_policy: { inactivity_seconds: 60 } });
  const sink = await open(own);
  let confirmed = false;
  const written = sink.write(messages(rows(3))).then(() => {
    confirmed = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect([confirmed, filesBelow(folder(own))]).toEqual([false, []]);
  sink.flush?.();
  await written;
  expect(filesBelow(folder(own))).toEqual([expect.stringMatching(/^[0-9a-f-]{36}\.json$/)]);
  expect(linesBelow(folder(own))[0]).toBe('{"n":0,"site":null,"at":null}');
  await sink.close();
});

test('rolls by size, by the number of held messages and by age', async () => {
  const bySize = context({ rolling_policy: { file_size_bytes: 100, inactivity_seconds: 60 } });
  const sized = await open(bySize);
  const some = sized.write(messages(rows(10)));
  await until('files', () => filesBelow(folder(bySize)).length >= 2);
  sized.flush?.();
  await some;
  expect(linesBelow(folder(bySize)).length).toBe(10);
  const byCount = { ...context({ rolling_policy: { inactivity_seconds: 60 } }), window: 5 };
  const counted = await open(byCount);
  await counted.write(messages(rows(5)));
  expect(filesBelow(folder(byCount)).length).toBe(1);
  const byAge = context({ rolling_policy: { interval_seconds: 1, inactivity_seconds: 60 } });
  const aged = await open(byAge);
  await aged.write(messages(rows(1)));
  expect(filesBelow(folder(byAge)).length).toBe(1);
  await Promise.all([sized, counted, aged].map((sink) => sink.close()));
});

test('divides rows into folders by time and columns, and escapes what a path may not have', async () => {
  const own = context({ partitioning: { time_pattern: '%Y/%m', time_column: 'at', fields: ['site'] } });
  const at = BigInt(Date.UTC(2026, 1, 3));
  await write(own, [
    ...rows(2, { site: 'north', at }),
    ...rows(1, { site: '../..', at }),
    ...rows(1, { site: null, at }),
  ]);
  const folders = filesBelow(folder(own)).map((name) => name.slice(0, name.lastIndexOf('/')));
  expect(folders).toEqual(
    ['..%2F..', '__HIVE_DEFAULT_PARTITION__', 'north'].map((site) => `2026/02/site=${site}`),
  );
  const sink = await open(own);
  const refusals = sink.write(messages(rows(1, { site: 'x' })));
  expect((await refusals)[0]).toMatchObject({ index: 0, error: { code: 'bad_row' } });
  await sink.close();
});

test.each([
  ['serial', /^a-00001-000\.json$/, /^a-00002-000\.json$/],
  ['uuid', /^a-[0-9a-f]{8}-[0-9a-f]{4}-4/, /^a-/],
  ['ulid', /^a-[0-9A-Z]{26}\.json$/, /^a-/],
])('names files by %s', async (strategy, first, second) => {
  const own = context({ file_naming: { strategy, prefix: 'a' } });
  await write(own, rows(1));
  expect(filesBelow(folder(own))).toEqual([expect.stringMatching(first)]);
  await write(own, rows(1));
  expect(filesBelow(folder(own)).filter((name) => second.test(name)).length).toBeGreaterThan(0);
  expect(filesBelow(folder(own)).length).toBe(2);
});

test('never replaces a file of another job that counts in the same folder', async () => {
  const own = context({ file_naming: { strategy: 'serial' } });
  const other = { ...own, identity: { ...own.identity, jobId: 'job_2' } };
  const sinks = await Promise.all([open(own), open(other)]);
  for (let round = 0; round < 3; round += 1) {
    const written = sinks.map((sink) => sink.write(messages(rows(2))));
    for (const sink of sinks) sink.flush?.();
    await Promise.all(written);
  }
  expect(linesBelow(folder(own)).length).toBe(12);
  await Promise.all(sinks.map((sink) => sink.close()));
});

test('writes the header of csv once in each file', async () => {
  const schema: ConnectionSchema = {
    ...json,
    format: { type: 'csv', header: true },
    fields: [{ name: 'a "b"', type: 'string' }],
  };
  const own = context({}, schema);
  await write(own, [{ 'a "b"': 'x' }, { 'a "b"': 'two\nlines' }]);
  const [name = ''] = filesBelow(folder(own));
  expect(readFileSync(join(folder(own), name), 'utf8')).toBe('"a ""b"""\nx\n"two\nlines"\n');
});

test.each([
  ['gzip', 'json.gz', gunzipSync],
  ['zstd', 'json.zst', zstdDecompressSync],
])('compresses files with %s', async (compression_format, ending, unpack) => {
  const own = context({ compression_format });
  await write(own, rows(2));
  const [name = ''] = filesBelow(folder(own));
  expect(name.endsWith(`.${ending}`)).toBe(true);
  const text = String(unpack(readFileSync(join(folder(own), name))));
  expect(text.split('\n').length).toBe(3);
});

test('removes its own leftovers at the start, and nothing of other tasks, jobs and people', async () => {
  const own = context();
  await write(own, rows(1));
  const { tagOf } = await import('./file-names.ts');
  const tag = tagOf(own.identity);
  const kept = [`.penstock-${tag}-1-aa.tmp`, '.penstock-ffffffffffff-0-aa.tmp', 'mine.tmp', '.penstock-x'];
  for (const name of [...kept, `.penstock-${tag}-0-aa.tmp`]) writeFileSync(join(folder(own), name), '{"n"');
  await write(own, rows(1));
  const left = filesBelow(folder(own)).filter((name) => !name.endsWith('.json'));
  expect(left).toEqual([...kept].sort());
});

test('tells why a folder cannot be written', async () => {
  const { table } = context() as FileContext;
  const own = (path: string, fileDir?: string): Context => ({
    ...context({ path }),
    targets: { ...runContext({}).targets, fileDir },
  });
  expect(await failureOf(open(own(table.table_type.path)))).toMatchObject({ code: 'file_path_refused' });
  for (const path of ['../x', '/etc', 'file:///etc', `${root}x`])
    expect(await failureOf(open(own(path, root)))).toMatchObject({
      code: 'file_path_refused',
      passing: false,
    });
  const outside = fileFolder();
  symlinkSync(outside, join(root, 'way-out'));
  for (const path of ['way-out', 'way-out/deeper'])
    expect(await failureOf(open(own(path, root)))).toMatchObject({ code: 'file_path_refused' });
  writeFileSync(join(root, 'a-file'), '');
  expect(await failureOf(open(own('a-file', root)))).toMatchObject({ code: 'file_not_found' });
  expect(filesBelow(outside)).toEqual([]);
});

test.skipIf(process.getuid?.() === 0)('tells that the folder may not be written', async () => {
  const own = context();
  mkdirSync(folder(own));
  chmodSync(folder(own), 0o500);
  onTestFinished(() => chmodSync(folder(own), 0o700));
  const sink = await open(own);
  expect(await failureOf(sink.write(messages(rows(1))))).toMatchObject({ code: 'file_permission_denied' });
  await sink.close();
});

test.each([
  ['ENOSPC', 'file_no_space', true],
  ['EDQUOT', 'file_no_space', true],
  ['EROFS', 'file_system_read_only', true],
  ['EIO', 'file_failed', true],
  ['EACCES', 'file_permission_denied', false],
])('translates %s', async (code, own, passing) => {
  const { systemError } = await import('../../files/errors.ts');
  expect(systemError(Object.assign(new Error(code), { code }), 'x')).toMatchObject({ code: own, passing });
});
