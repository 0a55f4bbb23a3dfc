import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { testSink } from '../../../test/support/connector-conformance/sink.ts';
import { runContext } from '../../../test/support/connector-conformance/subject.ts';
import { Penstock } from '../../../test/support/penstock.ts';
import { created } from '../../../test/support/resources.ts';
import { until } from '../../../test/support/until.ts';
import type { RunContext } from '../connector.ts';
import { StdoutSink, stdout } from './index.ts';

const folder = mkdtempSync(join(tmpdir(), 'penstock-stdout-'));
afterAll(() => rmSync(folder, { recursive: true }));
let made = 0;
const path = (): string => join(folder, String(made++));

/** A pipe. Its write end blocks unless `flags` say otherwise. */
function pipe(flags = 0): { fd: number; reader: number; closeReader(): void } {
  const name = path();
  execFileSync('mkfifo', [name]);
  const reader = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK);
  const fd = openSync(name, constants.O_WRONLY | flags);
  let closed = false;
  const closeReader = (): void => {
    if (!closed) closeSync(reader);
    closed = true;
  };
  onTestFinished(() => {
    closeReader();
    closeSync(fd);
  });
  return { fd, reader, closeReader };
}

/** The pipes of the suite's contexts, by identity. */
type Place = RunContext<unknown, { fd: number; name?: string }>;
const context = (): Place => {
  const name = path();
  return runContext({ fd: openSync(name, 'a'), name }) as Place;
};
const connector = {
  ...stdout,
  openSink: async (own: RunContext<unknown, unknown>) => new StdoutSink(own, (own as Place).table.fd),
};

testSink({
  connector,
  context,
  dials: false,
  written: (own) =>
    readFileSync((own as Place).table.name ?? '', 'utf8')
      .split('\n')
      .slice(0, -1),
  async breakable() {
    const { fd, closeReader } = pipe();
    return { context: runContext({ fd }), cut: closeReader };
  },
  async stalled() {
    const { fd, reader } = pipe(constants.O_NONBLOCK);
    const bytes = 64 * 1024;
    const buffer = Buffer.alloc(1);
    // One message fills it; reading the first byte shows that it has arrived.
    const sent = (): number => {
      try {
        return readSync(reader, buffer);
      } catch {
        return 0;
      }
    };
    return { context: runContext({ fd }), sent, bytes };
  },
});

test('continues when a full pipe is read', async () => {
  const { fd, reader } = pipe(constants.O_NONBLOCK);
  const sink = new StdoutSink(runContext({}), fd);
  const payload = Buffer.alloc(300_000, 'x');
  const written = sink.write([{ payload, row: {} }]);
  let size = 0;
  const buffer = Buffer.alloc(65_536);
  await until('everything', () => {
    try {
      size += readSync(reader, buffer);
    } catch {}
    return size > payload.length;
  });
  expect(await written).toEqual([]);
  expect(size).toBe(payload.length + 1);
  await sink.close();
});

test('writes lines to the standard output of the process, and logs nothing among them', async () => {
  const penstock = await Penstock.start();
  onTestFinished(() => penstock.stop());
  const query = `CREATE TABLE impulse WITH (connector = 'impulse', event_rate = 1000, message_count = 3000);
    CREATE TABLE out WITH (connector = 'stdout', format = 'json');
    INSERT INTO out SELECT counter FROM impulse`;
  await created(penstock.request, '/pipelines', { name: 'p', query, parallelism: 1 });
  const lines = (): string[] => penstock.stdout.split('\n').filter((line) => line.startsWith('{'));
  await until('all lines', () => lines().length >= 3000);
  expect(lines()).toEqual(Array.from({ length: 3000 }, (_, counter) => JSON.stringify({ counter })));
});
