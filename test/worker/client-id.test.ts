import fc from 'fast-check';
import { expect, test } from 'vitest';
import { clientId } from '../../src/connectors/mqtt/connection/connect-request.ts';
import { operatorId } from '../../src/sql/graph.ts';
import { conflictingClient, mosquitto } from '../support/fixtures.ts';
import { created, createTables, jobOf } from '../support/resources.ts';
import { startService } from '../support/service.ts';
import { until } from '../support/until.ts';

/** Two definitions cannot have the same client id: it contains the job, which belongs to one pipeline. */

const word = fc.oneof(fc.stringMatching(/^[a-z_]{1,4}$/), fc.string({ maxLength: 300 }));
const identity = fc.record({
  jobId: fc.stringMatching(/^job_[0-9A-Za-z]{10}$/),
  operatorId: fc.tuple(fc.constantFrom('source', 'sink'), word).map(([kind, name]) => operatorId(kind, name)),
  taskIndex: fc.nat(64),
});
const prefix = fc.constantFrom(undefined, 'a', 'a_job', 'x'.repeat(300));

test('a client id belongs to one task of one operator of one job', () => {
  fc.assert(
    fc.property(prefix, identity, identity, (clientPrefix, one, other) => {
      const profile = { url: 'mqtt://a', ...(clientPrefix === undefined ? {} : { clientPrefix }) };
      const same = JSON.stringify(one) === JSON.stringify(other);
      expect(clientId(profile, one) === clientId(profile, other)).toBe(same);
      expect(clientId(profile, one)).toBe(clientId(profile, { ...one }));
    }),
  );
});

test('the source and the sink of one table name have different ones', () => {
  const [source, sink] = (['source', 'sink'] as const).map((kind) =>
    clientId(
      { url: 'mqtt://a' },
      { jobId: 'job_0123456789', operatorId: operatorId(kind, 'readings'), taskIndex: 0 },
    ),
  );
  expect(source).not.toBe(sink);
});

test.each(['source', 'sink'])(
  'a job ends when another client always comes back with the id of its %s',
  async (side) => {
    const broker = await mosquitto();
    const service = await startService({ worker: true });
    const { request } = service;
    await createTables(request, broker.url);
    const query = 'INSERT INTO alerts SELECT * FROM readings';
    const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
    await until('the job runs', async () => (await jobOf(request, id)).state === 'Running');
    const ids = [...broker.log.matchAll(/ as (penstock_job_\S+) \(/g)].map(([, name = '']) => name);
    const clientId = ids.find((name) => name.includes(`_${side}_`));
    if (clientId === undefined) throw new Error(`no ${side} in ${ids}`);
    conflictingClient(broker.port, clientId, side === 'sink');
    const failed = await until(
      'the job ends',
      async () => {
        const job = await jobOf(request, id);
        return job.state === 'Failed' && job;
      },
      120_000,
    );
    expect(failed.failure_reason).toMatchObject({ code: 'mqtt_client_id_in_use', domain: 'user' });
  },
  300_000,
);
