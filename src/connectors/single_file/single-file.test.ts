import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { testSink } from '../../../test/support/connector-conformance/sink.ts';
import { testSource } from '../../../test/support/connector-conformance/source.ts';
import { type Context, failureOf, runContext } from '../../../test/support/connector-conformance/subject.ts';
import { fileFolder } from '../../../test/support/files.ts';
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
