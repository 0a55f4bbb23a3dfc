import { expect, test } from 'vitest';
import { planned } from '../../../test/support/compile-fixtures.ts';
import { exampleCatalog, storedTable } from '../../../test/support/example-catalog.ts';
import { World } from '../../../test/support/pump-world.ts';
import type { TableDefinition } from '../../sql/plan.ts';

/** Late and bad rows, the bound of the state, and the ends of a pump. */

const base = Date.UTC(2026, 0, 1);
const row = (id: number, seconds: number) =>
  JSON.stringify({ id, ts: new Date(base + seconds * 1000).toISOString() });

async function worldOf(batches: string[][], more: Partial<TableDefinition> = {}, limits: object = {}) {
  const table: TableDefinition = {
    ...storedTable('a', 'source', [
      { name: 'id', type: 'int64', required: true },
      { name: 'ts', type: 'timestamp' },
    ]),
    ...{ eventTime: 'ts', watermark: 'ts', ...more },
  };
  const { insert } = await planned(
    `CREATE TABLE out WITH (connector = 'mqtt', type = 'sink', topic = 'out', format = 'json');
     INSERT INTO out SELECT list(id ORDER BY id) AS ids, closed_early() AS early FROM a GROUP BY tumble(INTERVAL '10 seconds')`,
    exampleCatalog(table),
  );
  if (insert.select.kind === 'stateful') Object.assign(insert.select.limits, limits);
  return new World({ insert, inputs: [batches], exact: true });
}

const results = ({ written }: World) => written.map(({ text }) => JSON.parse(text).ids);

test('late rows are counted, and stored as dead letters if the table says so', async () => {
  for (const lateData of ['drop', 'dead_letter'] as const) {
    const world = await worldOf([[row(1, 1), row(2, 25)]], { time: { lateData } });
    // The window closes before the late row comes.
    world.gate = async (batch) => {
      if (batch === 1) await world.until(() => world.written.length > 0);
    };
    world.append(0, [row(3, 2), row(4, 26)]);
    await world.run();
    expect(results(world)).toEqual([[1], [2, 4]]);
    expect(world.control.late).toBe(1);
    expect(world.deadLetters.map(({ code }) => code)).toEqual(lateData === 'drop' ? [] : ['late_row']);
    expect(world.unacknowledged).toBe(0);
  }
});

test('a row too far ahead of the clock closes no window', async () => {
  const ahead = JSON.stringify({ id: 9, ts: new Date(Date.now() + 3_600_000).toISOString() });
  const world = await worldOf([[row(1, 1), ahead], [row(2, 2)]]);
  await world.run();
  expect(results(world)).toEqual([[1, 2]]);
  expect(world.control.late).toBe(1);
});

test('a message that cannot be read is a dead letter, and the others count', async () => {
  const table = storedTable('a', 'source', []);
  const world = await worldOf([['{', row(1, 1), '{"id":null}', '{"id":5}']], {
    schema: {
      ...table.schema,
      fields: [
        { name: 'id', type: 'int64', required: true, sql_name: 'BIGINT' },
        { name: 'ts', type: 'timestamp', unit: 'microsecond', required: false, sql_name: 'TIMESTAMP' },
      ] as never,
      bad_data: { behavior: 'dead_letter' },
    },
  });
  await world.run();
  expect(results(world)).toEqual([[1]]);
  expect(world.deadLetters).toHaveLength(3);
  expect(world.unacknowledged).toBe(0);
});

test('a state above its limit fails the job if it says so', async () => {
  const world = await worldOf([[row(1, 1)]], {}, { maxStateBytes: -1, whenFull: 'fail' });
  await expect(world.run()).rejects.toMatchObject({ code: 'state_full' });
  expect(world.unacknowledged).toBe(1);
});

test('a drained pump keeps its windows, also above the limit of the state', async () => {
  const world = await worldOf([[row(1, 1)]], {}, { maxStateBytes: -1, whenFull: 'wait' });
  const running = world.run();
  await world.until(() => world.warnings.length > 0);
  world.isDrained = true;
  await running;
  expect([results(world), world.unacknowledged]).toEqual([[], 0]);
});

test('windows that close early say so', async () => {
  const world = await worldOf([[row(1, 1), row(2, 15)]]);
  world.opened = (pump) => {
    pump.closeEarly();
    world.isDrained = true;
  };
  await world.run();
  expect(world.written.map(({ text }) => JSON.parse(text))).toEqual([
    { ids: [1], early: false },
    { ids: [2], early: true },
  ]);
});
