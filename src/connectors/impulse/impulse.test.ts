import { afterAll, describe, expect, test } from 'vitest';
import { testSource } from '../../../test/support/connector-conformance/source.ts';
import { runContext } from '../../../test/support/connector-conformance/subject.ts';
import { Reader } from '../../../test/support/mqtt.ts';
import { created, jobOf } from '../../../test/support/resources.ts';
import { startService } from '../../../test/support/service.ts';
import { until } from '../../../test/support/until.ts';
import type { ConnectorDefinition, Watched } from '../connector.ts';
import { impulse } from './index.ts';

testSource({
  connector: impulse,
  context: () => runContext({ event_rate: 1000 }),
  dials: false,
  keeps: false,
  send: async () => {},
});

const opened = async (table: object, taskIndex = 0, window = 1000) => {
  const context = runContext(table);
  const { openSource }: ConnectorDefinition = impulse;
  const source = await openSource?.({ ...context, window, identity: { ...context.identity, taskIndex } });
  if (!source) throw new Error('it is a source');
  return new Reader(source);
};

describe('an impulse', () => {
  test('counts its messages, names its task, and ends after message_count', async () => {
    const reader = await opened({ event_rate: 1_000_000, message_count: 2500 }, 3, 5000);
    const deliveries = await reader.take(3000);
    expect(deliveries.map(({ payload }) => JSON.parse(String(payload)))).toEqual(
      Array.from({ length: 2500 }, (_, counter) => ({ counter, subtask_index: 3 })),
    );
    expect(await (await opened({ event_rate: 1, message_count: 0 })).take(1)).toEqual([]);
  });

  test('keeps to its rate', async () => {
    const reader = await opened({ event_rate: 50 });
    const began = performance.now();
    await reader.take(21);
    const took = performance.now() - began;
    // The first arrives at once; a busy machine may be late but never early.
    expect(took).toBeGreaterThan(390);
    expect(took).toBeLessThan(30_000);
  });

  test('has timestamps at its interval, or from the clock', async () => {
    const interval = await opened({ event_rate: 1000, event_time_interval: 60_000_000 });
    const [first, second] = await interval.take(2);
    expect(Number(second?.metadata.timestamp) - Number(first?.metadata.timestamp)).toBe(60_000_000);
    const [now] = await (await opened({ event_rate: 1000 })).take(1);
    expect(Math.abs(Number(now?.metadata.timestamp) / 1000 - Date.now())).toBeLessThan(60_000);
  });

  test('can be watched until the watch ends, also after its last message', async () => {
    const { watch }: ConnectorDefinition = impulse;
    const abort = new AbortController();
    const seen: Watched[] = [];
    const watching = watch?.({
      ...runContext({ event_rate: 100_000, message_count: 1500 }),
      signal: abort.signal,
      listening: () => {},
      deliver: (message) => void seen.push(message),
    });
    await until('all', async () => seen.length === 1500);
    const reason = new Error('enough');
    abort.abort(reason);
    await expect(watching).rejects.toBe(reason);
  });

  test('is shared by tasks that each generate a part', () => {
    expect(impulse.shared?.({ event_rate: 10, message_count: 5 }, 0, 4)).toEqual({
      event_rate: 2.5,
      message_count: 5,
    });
  });
});

describe('a pipeline from an impulse', async () => {
  const service = await startService({ worker: true });
  afterAll(() => service.close());
  const { request } = service;
  const run = async (name: string, query: string, parallelism = 1) => {
    const { id } = await created(request, '/pipelines', { name, query, parallelism });
    await until('it is finished', async () => (await jobOf(request, id)).state === 'Finished', 60_000);
    const { body } = await request.get(`/api/v1/pipelines/${id}/tasks`);
    return { id, tasks: body };
  };

  test('needs neither a profile nor a schema, and is Finished when the source has no more', async () => {
    const config = { event_rate: 100_000, message_count: 5000 };
    const table = await created(request, '/connection_tables', {
      name: 'beat',
      connector: 'impulse',
      config,
    });
    expect(table).toMatchObject({
      connection_profile: null,
      table_type: 'source',
      schema: {
        format: { type: 'json' },
        fields: [
          { name: 'counter', type: 'int64', required: true },
          { name: 'subtask_index', type: 'int64', required: true },
        ],
      },
    });
    const again = await request.put(`/api/v1/connection_tables/${table.id}`).send({
      name: 'beat',
      connector: 'impulse',
      config,
      schema: table.schema,
    });
    expect(again.status).toBe(200);
    await created(request, '/connection_tables', { name: 'nothing', connector: 'blackhole', config: {} });
    const { id } = await run('stored', 'INSERT INTO nothing SELECT counter FROM beat');
    const { body } = await request.get(`/api/v1/pipelines/${id}/jobs`);
    expect(body.data[0]).toMatchObject({ state: 'Finished', failure_reason: null });
    const metrics = await request.get('/metrics');
    expect(metrics.status).toBe(200);
  });

  test('is defined in a query, with several tasks', async () => {
    await run(
      'inline',
      `CREATE TABLE impulse WITH (connector = 'impulse', event_rate = '1000', message_count = 100);
       CREATE TABLE hole WITH (connector = 'blackhole');
       INSERT INTO hole SELECT counter, subtask_index FROM impulse WHERE counter % 2 = 0`,
      2,
    );
  });

  test('reads the event time as a column beside those it has', async () => {
    await run(
      'timed',
      `CREATE TABLE timed (counter BIGINT, subtask_index BIGINT, made TIMESTAMP METADATA FROM 'timestamp')
         WITH (connector = 'impulse', event_rate = 1000, event_time_interval = 1000, message_count = 10);
       CREATE TABLE hole WITH (connector = 'blackhole');
       INSERT INTO hole SELECT counter, made FROM timed`,
    );
  });

  test.each([
    ["CREATE TABLE i (a INT) WITH (connector = 'impulse', event_rate = 1)", 'must be left out'],
    ["CREATE TABLE i WITH (connector = 'impulse', event_rate = 1, format = 'csv')", 'must be left out'],
    ["CREATE TABLE i WITH (connector = 'impulse')", '/event_rate'],
    ["CREATE TABLE i WITH (connector = 'impulse', event_rate = 0)", '/event_rate'],
    ["CREATE TABLE i WITH (connector = 'impulse', event_rate = 'often')", 'must be a number'],
  ])('is refused: %s', async (table, message) => {
    const query = `${table}; CREATE TABLE hole WITH (connector = 'blackhole'); INSERT INTO hole SELECT * FROM i`;
    const { body } = await request.post('/api/v1/pipelines/validate_query').send({ query });
    expect(JSON.stringify(body)).toContain(message);
  });

  test('is exported and applied without a profile', async () => {
    const { body: bundle } = await request.get('/api/v1/export');
    const table = bundle.connection_tables.find(({ name }: { name: string }) => name === 'beat');
    expect(table.connection_profile).toBe('impulse');
    const { body } = await request.post('/api/v1/apply').send({ connection_tables: [table] });
    expect(body.summary).toMatchObject({ unchanged: 1, updated: 0 });
  });
});
