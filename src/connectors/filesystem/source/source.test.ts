import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import {
  type Context,
  failureOf,
  runContext,
} from '../../../../test/support/connector-conformance/subject.ts';
import { fileFolder } from '../../../../test/support/files.ts';
import { until } from '../../../../test/support/until.ts';
import type { ConnectionSchema } from '../../../formats/schema/schema.ts';
import type { CheckStep, Delivery, Source } from '../../connector.ts';
import { filesystem } from '../index.ts';

const root = fileFolder();
let made = 0;

function context(
  files: Record<string, string | Buffer>,
  schema: ConnectionSchema,
  more: object = {},
): Context {
  const path = `s${made++}`;
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(root, path, name, '..'), { recursive: true });
    writeFileSync(join(root, path, name), content);
  }
  const own = runContext({ table_type: { type: 'source', path, ...more } });
  return { ...own, schema, targets: { ...own.targets, fileDir: root } };
}

const json: ConnectionSchema = { format: { type: 'json' }, fields: [{ name: 'n', type: 'int64' }] };
const headed: ConnectionSchema = { ...json, format: { type: 'csv', header: true } };

async function read(own: Context, stored?: unknown, acks = Number.POSITIVE_INFINITY) {
  const commits: unknown[] = [];
  const position = { stored, commit: (one: unknown) => void commits.push(one) };
  const source = (await filesystem.openSource?.({ ...own, position } as never)) as Source;
  const found: Delivery[] = [];
  for await (const batch of source) {
    found.push(...batch);
    for (const delivery of batch) if (found.indexOf(delivery) < acks) delivery.ack();
  }
  await source.close();
  const texts = found.map(({ payload }) => String(payload));
  return { texts, metadata: found.map(({ metadata }) => metadata), last: commits.at(-1) };
}

test('reads files in the order of their bytes, with path, line and offset, and ends', async () => {
  const ordered = context({ 'b-1': 'b\n', 'b/1': 'c\r\n\r\nd', a: '\ufeffa\n', '.hidden': 'x' }, json);
  const { texts, metadata, last } = await read(ordered);
  expect(texts).toEqual(['a', 'b', 'c', 'd']);
  expect(metadata.at(-1)).toEqual({ path: 'b/1', line: 3n, offset: 5n });
  expect(last).toEqual({ file: 'b/1', offset: 6, line: 3 });
});

test('continues behind the acknowledged prefix', async () => {
  const own = context({ a: '1\n2\n3\n', b: '4\n' }, json);
  const { last } = await read(own, undefined, 2);
  expect(last).toEqual({ file: 'a', offset: 4, line: 2 });
  expect((await read(own, last)).texts).toEqual(['3', '4']);
  expect((await read(own, { file: 'b', offset: 2, line: 1 })).texts).toEqual([]);
  expect((await read(own, { file: 'aa', offset: 2, line: 1 })).texts).toEqual(['4']);
});

test.each([
  ['gzip', gzipSync],
  ['zstd', zstdCompressSync],
] as const)('unpacks %s, also from a position', async (compression_format, pack) => {
  const own = context({ a: pack(Buffer.from('1\n22\n3')) }, json, { compression_format });
  expect((await read(own)).texts).toEqual(['1', '22', '3']);
  expect((await read(own, { file: 'a', offset: 5, line: 2 })).texts).toEqual(['3']);
  const damaged = context({ a: 'no archive' }, json, { compression_format });
  expect(await failureOf(read(damaged))).toMatchObject({ code: 'file_damaged', passing: false });
});

test('puts the header of csv before each record, whose quoted values may have line ends', async () => {
  const own = context({ a: 'n,m\n1,"x\ny"\n2,5"\n', b: 'sep=;\nn;m\n3;z\n' }, headed);
  expect((await read(own)).texts).toEqual(['n,m\n1,"x\ny"', 'n,m\n2,5"', 'sep=;\nn;m\n3;z']);
  expect((await read(own, { file: 'a', offset: 12, line: 3 })).texts[0]).toBe('n,m\n2,5"');
});

test('reads the files that match, and follows no link', async () => {
  const own = context({ 'a.json': '1', 'b.txt': '2', 'c/d.json': '3' }, json, { regex_pattern: '\\.json$' });
  const { path } = (own.table as { table_type: { path: string } }).table_type;
  symlinkSync('/etc/hostname', join(root, path, 'link.json'));
  expect((await read(own)).texts).toEqual(['1', '3']);
});

test('refuses a line that is too long, with its place', async () => {
  const framing = { method: 'newline' as const, max_line_length: 3 };
  const own = context({ a: '123\n1234\n' }, { ...json, framing });
  expect(await failureOf(read(own))).toMatchObject({
    code: 'file_line_too_long',
    facts: { file: 'a', line: 2 },
  });
});

test('refuses a folder that is missing or outside', async () => {
  for (const [path, code] of [
    ['missing', 'file_not_found'],
    ['../..', 'file_path_refused'],
  ])
    expect(await failureOf(read(context({}, json, { path })))).toMatchObject({ code });
});

test('hands out no more than the window', async () => {
  const own = { ...context({ a: '1\n'.repeat(20) }, json), window: 5 };
  const source = (await filesystem.openSource?.(own as never)) as Source;
  const held: Delivery[] = [];
  const reading = (async () => {
    for await (const batch of source) held.push(...batch);
  })();
  await until('a full window', () => held.length >= 5);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(held.length).toBe(5);
  for (let at = 0; at < 20; at += 1) {
    while (held.length <= at) await new Promise((resolve) => setImmediate(resolve));
    held[at]?.ack();
  }
  await reading;
  expect(held.length).toBe(20);
  await source.close();
});

test('tests whether the first records can be decoded', async () => {
  const tested = async (content: string): Promise<CheckStep[]> => {
    const steps: CheckStep[] = [];
    const own = context({ a: content }, json);
    const more = {
      probe: 'publish',
      stepTimeoutMs: 30_000,
      report: (step: CheckStep) => void steps.push(step),
    };
    await filesystem.check?.({ ...own, ...more } as never);
    return steps;
  };
  expect((await tested('{"n":1}\n')).map(({ name, outcome }) => [name, outcome])).toEqual([
    ['folder', 'ok'],
    ['decode', 'ok'],
  ]);
  expect((await tested('{"n":1}\n{"n":"x"}\n')).at(-1)).toMatchObject({
    outcome: 'failed',
    code: 'bad_data',
    message: expect.stringContaining('Line 2 of a'),
  });
  expect((await tested('')).at(-1)).toMatchObject({ outcome: 'warning', code: 'file_not_found' });
});
