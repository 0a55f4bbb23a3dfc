import { expect, test } from 'vitest';
import type { PreviewBatch, PreviewState } from '../../src/api/pipelines/preview-rows.ts';
import { PreviewWindows } from '../../src/api/pipelines/preview-windows.ts';
import { compilePreview } from '../../src/sql/compile.ts';
import type { TableDefinition } from '../../src/sql/plan.ts';
import { exampleCatalog, storedTable } from '../support/example-catalog.ts';
import { until } from '../support/until.ts';

const source: TableDefinition = {
  ...storedTable('r', 'source', [
    { name: 'id', type: 'int64', required: true },
    { name: 'at', type: 'timestamp', unit: 'millisecond' },
    { name: 'text', type: 'string' },
  ]),
  eventTime: 'at',
  watermark: '"at"',
};

async function opened(query: string, table = source) {
  const [plan] = await compilePreview(query, exampleCatalog(table));
  if (plan?.select.kind !== 'stateful') throw new Error('no plan with state');
  const batches: PreviewBatch[] = [];
  const states: PreviewState[] = [];
  const failures: unknown[] = [];
  const windows = await PreviewWindows.open(plan, plan.select, {
    onBatch: (batch) => batches.push(batch),
    onLeftOut: () => {},
    onState: (state) => states.push(state),
    onError: (error) => failures.push(error),
  });
  return {
    windows,
    states,
    failures,
    send: (row: object) => {
      const payload = Buffer.from(JSON.stringify(row));
      windows.deliver({ payload, metadata: {}, receivedAt: Date.now() }, 0);
    },
    rows: () => batches.flatMap(({ rows }) => rows.map((row) => JSON.parse(row))),
    bad: () => batches.flatMap(({ bad }) => bad),
    batches,
  };
}

const start = Date.parse('2026-01-01T00:00:00Z');
const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();

test('windows close by event time, and at the end of the source', async () => {
  const query = "SELECT count(*) AS n, sum(id) AS sum FROM r GROUP BY tumble(interval '10 seconds')";
  const { windows, send, rows, bad, batches, states } = await opened(query);
  for (const seconds of [1, 2, 12, 3]) send({ id: seconds, at: at(seconds) });
  await until('the first window has closed', () => rows().length === 1);
  send({ id: 4, at: at(4) });
  send({ id: 5, at: null });
  await until('the late row is counted', () => states.at(-1)?.late_rows === 1 && bad().length === 1);
  expect(states.at(-1)).toMatchObject({ watermark: (start + 12_000) * 1000, open_windows: 1 });
  windows.ended(0);
  await until('the second window has closed', () => rows().length === 2);
  expect(rows()).toEqual([
    { n: 3, sum: 6 },
    { n: 1, sum: 12 },
  ]);
  const shown = batches.filter((batch) => batch.rows.length > 0);
  expect(shown.map(({ timestamps, partial }) => [timestamps, partial])).toEqual([
    [[(start + 10_000) * 1000], undefined],
    [[(start + 20_000) * 1000], undefined],
  ]);
  await windows.close();
  await windows.closeWindows();
});

test('a message that was counted within the horizon does not count again', async () => {
  const table = { ...source, time: { dedupe: { columns: ['id'], horizonMs: 60_000 } } };
  const { windows, send, rows } = await opened('SELECT count(*) AS n FROM r', table);
  for (const id of [1, 2, 1]) send({ id, at: at(id) });
  windows.ended(0);
  send({ id: 3, at: at(3) });
  await until('the result', () => rows().at(-1)?.after.n === 3);
  await windows.close();
});

test('deletions in a table of changes count', async () => {
  const table = storedTable('r', 'source', [
    { name: 'id', type: 'int64', required: true },
    { name: 'kind', type: 'string' },
  ]);
  const schema = { ...table.schema, format: { type: 'json', debezium: true } as const, primary_keys: ['id'] };
  const changes = { ...table, schema };
  const { windows, send, rows, failures } = await opened('SELECT count(*) AS n FROM r', changes);
  const [one, two] = [1, 2].map((id) => ({ id, kind: 'a' }));
  send({ before: null, after: one, op: 'c' });
  send({ before: null, after: two, op: 'c' });
  send({ before: one, after: null, op: 'd' });
  windows.ended(0);
  await until('the result', () => rows().length > 0 || failures.length > 0);
  expect(rows().at(-1)).toMatchObject({ after: { n: 1 } });
  await windows.close();
});

test('ends when the rows take too much memory', async () => {
  const query = `SET max_state_bytes = '1 MiB'; SELECT count(DISTINCT text) AS n FROM r GROUP BY tumble(interval '10 seconds')`;
  const { windows, send, failures } = await opened(query);
  for (let id = 0; id < 12; id++) send({ id, at: at(1), text: `${id}`.padEnd(900_000, 'x') });
  await until('it fails', () => failures.length > 0);
  expect(failures).toEqual([expect.objectContaining({ code: 'state_full' })]);
  await windows.closeWindows();
  await windows.close();
});
