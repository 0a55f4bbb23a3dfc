import { expect, onTestFinished, test } from 'vitest';
import { conflictingClient, mosquitto } from '../support/fixtures.ts';
import { created, createTables, jobOf } from '../support/resources.ts';
import { startService, until } from '../support/service.ts';

test.each(['source', 'sink'])(
  'a job ends when another client always comes back with the id of its %s',
  async (side) => {
    const broker = await mosquitto();
    const service = await startService({ worker: true });
    onTestFinished(() => service.close());
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
      60_000,
    );
    expect(failed.failure_reason).toMatchObject({ code: 'mqtt_client_id_in_use', domain: 'user' });
  },
  90_000,
);
