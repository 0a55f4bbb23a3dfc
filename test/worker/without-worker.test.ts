import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { nowMicros } from '../../src/store/clock.ts';
import { databases } from '../support/databases.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { created, createTables, jobOf } from '../support/resources.ts';
import { startService } from '../support/service.ts';
import { until } from '../support/until.ts';

/** Every state of a pipeline can be left by the API alone. What a broker is owed is done when a worker returns. */

const query = 'INSERT INTO alerts SELECT * FROM readings';

test.each(databases)(
  'a pipeline whose worker is gone is stopped and deleted on $provider',
  async ({ open }) => {
    const broker = await Mosquitto.start();
    const store = await open();
    const secretKey = randomBytes(32).toString('base64');
    const shared = { secretKey, open: async () => ({ ...store, close: async () => {} }) };
    const { request, db } = await startService(shared);
    await createTables(request, broker.url);
    const first = await startService({ ...shared, worker: true });
    const pipelines = await Promise.all(
      ['ended', 'crashed'].map((name) => created(request, '/pipelines', { name, query, parallelism: 1 })),
    );
    const [ended, crashed] = pipelines.map(({ id }) => id) as [string, string];
    for (const id of [ended, crashed])
      await until('it runs', async () => (await jobOf(request, id)).state === 'Running');
    await until(
      'its sessions',
      async () => (await db.sourceSession.count({ where: { established: true } })) === 2,
    );
    await first.close();

    // As a worker leaves it that is killed.
    const crash = async (heartbeatAt: bigint) => {
      const data = { state: 'Running', worker: 'gone/1/x' };
      await db.job.updateMany({ where: { pipelineId: crashed }, data });
      const row = { name: 'gone', version: '0', startedAt: 1n, heartbeatAt };
      await db.worker.upsert({ where: { id: 'gone/1/x' }, create: { id: 'gone/1/x', ...row }, update: row });
    };
    // It lasts for as long as this test may take.
    await crash(nowMicros() + 600_000_000n);
    const remove = (id: string) => request.delete(`/api/v1/pipelines/${id}`);
    const stop = (id: string) =>
      request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' }).expect(200);
    const stateOf = async (id: string) => (await jobOf(request, id)).state;
    await until('its worker counts as alive', async () => (await stateOf(crashed)) === 'Running');
    expect(await stateOf(ended)).toBe('Scheduling');
    const early = await remove(ended);
    expect(early.body).toMatchObject({ code: 'pipeline_running', detail: 'The pipeline is Scheduling' });
    await stop(ended);
    expect(await stateOf(ended)).toBe('Stopped');
    await remove(ended).expect(200);

    await stop(crashed);
    // Its heartbeat says that it may still run.
    expect((await remove(crashed)).body.code).toBe('pipeline_running');
    await crash(nowMicros() - 60_000_000n);
    await until('its worker counts as gone', async () => (await stateOf(crashed)) === 'Stopped');
    await request.post(`/api/v1/pipelines/${crashed}/restart`).send({}).expect(200);
    expect(await stateOf(crashed)).toBe('Scheduling');
    await stop(crashed);
    await remove(crashed).expect(200);

    expect(await db.sourceSession.count({ where: { state: 'leftover' } })).toBe(2);
    // Opened by a worker that did not know yet that its pipeline was gone.
    const [row] = await db.sourceSession.findMany({ take: 1 });
    await db.sourceSession.updateMany({ where: { id: row?.id ?? '' }, data: { state: 'held' } });
    await startService({ ...shared, worker: true });
    await until('the sessions are removed', async () => (await db.sourceSession.count()) === 0, 60_000);
    await store.close();
  },
  300_000,
);
