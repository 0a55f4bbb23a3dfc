import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { testSink } from '../../../test/support/connector-conformance/sink.ts';
import { testSource } from '../../../test/support/connector-conformance/source.ts';
import { type Context, failureOf, runContext } from '../../../test/support/connector-conformance/subject.ts';
import { fileFolder, filesBelow } from '../../../test/support/files.ts';
import type { ConnectionSchema } from '../../formats/schema/schema.ts';
import type { RunContext, Sink } from '../connector.ts';
import { singleFile } from './index.ts';

const root = fileFolder();
let made = 0;

function context(table_type: 'source' | 'sink', path = `f${made++}`): Context {
  const own = runContext({ path, table_type });
  return { ...own, schema: { format: { type: 'raw_string' } }, targets: { ...own.targets, fileDir: root } };
}

const pathOf = (own: Context): string =>
  join(root, (own as RunContext<unknown, { path: string }>).table.path);

testSink({
  connector: singleFile as never,
  context: () => context('sink'),
  dials: false,
  written: (own) => readFileSync(pathOf(own), 'utf8').split('\n').slice(0, -1),
  refused: { message: { payload: Buffer.from('a\nb'), row: {} }, code: 'bad_row' },
});

testSource({
  connector: singleFile as never,
  context() {
    const own = context('source');
    writeFileSync(pathOf(own), Array.from({ length: 20 }, (_, n) => `m${n}\n`).join(''));
    return own;
  },
  dials: false,
  keeps: false,
  send: async () => {},
});

test('begins a new line in a file whose last line has no end, and keeps the rest', async () => {
  const own = context('sink');
  writeFileSync(pathOf(own), 'kept\nhalf');
  const sink = (await singleFile.openSink?.(own as never)) as Sink;
  await sink.write([{ payload: Buffer.from('a'), row: {} }]);
  await sink.close();
  expect(readFileSync(pathOf(own), 'utf8')).toBe('kept\nhalf\na\n');
});

test('refuses what is no file, or outside of the folder', async () => {
  mkdirSync(join(root, 'folder'));
  for (const type of ['source', 'sink'] as const) {
    const open = (path: string) => {
      const own = context(type, path) as never;
      return failureOf(
        (type === 'source' ? singleFile.openSource?.(own) : singleFile.openSink?.(own)) as never,
      );
    };
    expect(await open('folder')).toMatchObject({ code: 'file_not_found' });
    expect(await open('../x')).toMatchObject({ code: 'file_path_refused' });
  }
  expect(await failureOf(singleFile.openSource?.(context('source') as never) as never)).toMatchObject({
    code: 'file_not_found',
  });
});

/** The steps of a test with their codes. */
async function steps(own: Context, schema: ConnectionSchema = own.schema): Promise<string[]> {
  const found: string[] = [];
  await singleFile.check?.({
    ...(own as never as RunContext<object, never>),
    schema,
    probe: 'none',
    stepTimeoutMs: 30_000,
    report: ({ name, outcome, code }) =>
      void found.push(`${name} ${outcome}${code === null ? '' : ` ${code}`}`),
  });
  return found;
}

test('tests whether a source can be read and decoded', async () => {
  const own = context('source');
  expect(await steps(own)).toEqual(['file failed file_not_found', 'decode skipped']);
  writeFileSync(pathOf(own), '');
  expect(await steps(own)).toEqual(['file ok', 'decode warning file_not_found']);
  writeFileSync(pathOf(own), '{"n":1}\n');
  const schema = (type: 'int64' | 'timestamp') => ({
    format: { type: 'json' as const },
    fields: [{ name: 'n', type, required: true }],
  });
  expect(await steps(own, schema('int64'))).toEqual(['file ok', 'decode ok']);
  writeFileSync(pathOf(own), '{"n":1}\n{"n":"x"}\n');
  expect(await steps(own, schema('int64'))).toEqual(['file ok', 'decode failed bad_data']);
  expect(await steps(context('source', 'folder'))).toEqual(['file failed file_not_found', 'decode skipped']);
  expect(await steps(context('source', '../x'))).toEqual(['file failed file_path_refused', 'decode skipped']);
});

test('tests whether a sink can be written, without a trace', async () => {
  const own = context('sink');
  const before = filesBelow(root);
  expect(await steps(own)).toEqual(['file ok']);
  expect(await steps(context('sink', 'new/deep/file'))).toEqual(['file ok']);
  expect(await steps(context('sink', 'folder'))).toEqual(['file failed file_not_found']);
  expect(await steps(context('sink', '../x'))).toEqual(['file failed file_path_refused']);
  expect(filesBelow(root)).toEqual(before);
  writeFileSync(pathOf(own), 'kept');
  expect(await steps(own)).toEqual(['file ok']);
  expect(readFileSync(pathOf(own), 'utf8')).toBe('kept');
  expect(
    await steps(context('sink', `${(own as RunContext<unknown, { path: string }>).table.path}/x`)),
  ).toEqual(['file failed file_not_found']);
});

test.skipIf(process.getuid?.() === 0)('tells in a test what may not be used', async () => {
  const [source, sink] = [context('source'), context('sink', 'locked/file')];
  writeFileSync(pathOf(source), 'x');
  chmodSync(pathOf(source), 0);
  mkdirSync(join(root, 'locked'), { mode: 0o500 });
  onTestFinished(() => chmodSync(join(root, 'locked'), 0o700));
  expect((await steps(source))[0]).toBe('file failed file_permission_denied');
  expect(await steps(sink)).toEqual(['file failed file_permission_denied']);
});
