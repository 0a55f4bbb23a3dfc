import { beforeEach, describe, expect, test } from 'vitest';
import { operatorId } from '../../src/sql/graph.ts';
import { startAedes } from '../support/aedes-broker.ts';
import { FaultyPipeline } from '../support/faulty-pipeline.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { takeSession } from '../support/mqtt.ts';
import { created, createTables, jobOf, profileBody, tableBody } from '../support/resources.ts';
import { ScriptedBroker } from '../support/scripted-broker.ts';
import { type Service, startService } from '../support/service.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';

const soak = process.env.PENSTOCK_SOAK === '1';

/** Several tasks read one source, and each message goes to one of them. */

const clientOf = (job: string, task: number): string =>
  `penstock_${job}_${operatorId('source', 'readings')}_${task}`;

describe('a pipeline whose number of tasks changes', () => {
  let broker: Mosquitto;
  let rig: FaultyPipeline;
  beforeEach(async () => {
    broker = await Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true });
  });

  async function expectAllThrough(): Promise<void> {
    await until('every message arrives', async () => rig.traffic.arrived === rig.traffic.sent, 90_000).catch(
      () => {},
    );
    expect(rig.traffic.missing.slice(0, 10)).toEqual([]);
    expect([rig.ledger.early, rig.ledger.disordered]).toEqual([0, 0]);
  }

  /** The log of Penstock reports it for each session. */
  const drained = (count: number) =>
    until(
      `${count} sessions are drained`,
      async () => rig.penstock.log.split('session drained and removed').length === count + 1,
      90_000,
    );

  test('loses nothing from 1 to 3 and back while messages flow', async () => {
    rig = await FaultyPipeline.start({ source: broker, sink: broker, qos: 1 });
    const { id } = await rig.job();
    const stop = rig.traffic.keepPublishing(500);
    await rig.passed(300);
    await rig.patch({ parallelism: 3 });
    await rig.runsWith(3);
    await rig.passed(rig.ledger.highestTaken + (soak ? 1000 : 300));
    await rig.patch({ parallelism: 2 });
    await rig.runsWith(2);
    await drained(1);
    await rig.passed(rig.ledger.highestTaken + 300);
    await rig.patch({ parallelism: 1 });
    await rig.runsWith(1);
    await drained(2);
    await rig.passed(rig.ledger.highestTaken + 300);
    await stop();
    await expectAllThrough();
    await rig.penstock.kill('SIGTERM');
    const left = [0, 1, 2].map((task) => takeSession(broker.url, clientOf(id, task)));
    expect(await Promise.all(left)).toEqual([true, false, false]);
  });

  test('continues to drain after a crash', async () => {
    rig = await FaultyPipeline.start({
      source: broker,
      sink: broker,
      qos: 1,
      read: { messagesPerSecond: 150 },
    });
    await rig.patch({ parallelism: 3 });
    await rig.runsWith(3);
    await rig.patch({ stop: 'graceful' });
    await until('it rests', async () => (await rig.job()).state === 'Stopped');
    await rig.traffic.publish(soak ? 1800 : 600);
    expect(rig.traffic.arrived).toBe(0);
    await rig.patch({ parallelism: 1, stop: 'none' });
    await rig.runsWith(1);
    await until('some have come', async () => rig.traffic.arrived > 100);
    expect(rig.penstock.log).not.toContain('session drained');
    await rig.penstock.kill('SIGKILL');
    await rig.penstock.resume();
    await drained(2);
    await expectAllThrough();
  });

  test.skipIf(onlyInSoak !== undefined)(
    skipping('reuses a session that was being drained', onlyInSoak),
    async () => {
      rig = await FaultyPipeline.start({
        source: broker,
        sink: broker,
        qos: 1,
        read: { messagesPerSecond: 150 },
      });
      await rig.patch({ parallelism: 2 });
      await rig.runsWith(2);
      await rig.patch({ stop: 'graceful' });
      await until('it rests', async () => (await rig.job()).state === 'Stopped');
      await rig.traffic.publish(1200);
      await rig.patch({ parallelism: 1, stop: 'none' });
      await rig.runsWith(1);
      await until('some have come', async () => rig.traffic.arrived > 100);
      await rig.patch({ parallelism: 2 });
      await rig.runsWith(2);
      await rig.traffic.publish(100);
      await expectAllThrough();
      expect(rig.penstock.log).not.toContain('session drained');
    },
  );
});

describe('several tasks', () => {
  let service: Service;
  let broker: Mosquitto;
  beforeEach(async () => {
    service = await startService({ worker: true });
    broker = await Mosquitto.start();
  });

  const query = 'INSERT INTO alerts SELECT * FROM readings';
  const inState = (id: string, state: string) =>
    until(`the job is ${state}`, async () => {
      const job = await jobOf(service.request, id);
      return job.state === state && job;
    });

  async function readings(profile: object, table: object): Promise<void> {
    const { id } = await created(service.request, '/connection_profiles', profileBody(broker.url, profile));
    const config = { topic: 'in', type: {}, ...table };
    await created(service.request, '/connection_tables', tableBody('readings', id, config));
    const sink = { topic: 'out', type: { retain: false } };
    await created(service.request, '/connection_tables', tableBody('alerts', id, sink));
  }

  test('are shown in the graph, and leave no session behind when deleted', async () => {
    await createTables(service.request, broker.url);
    const made = await service.request.post('/api/v1/pipelines').send({ name: 'p', query, parallelism: 3 });
    expect(made.body.parallelism).toBe(3);
    expect(made.body.graph.nodes.map((node: { parallelism: number }) => node.parallelism)).toEqual([3, 3]);
    const { id } = made.body;
    const job = await inState(id, 'Running');
    expect(job.tasks).toBe(3);
    await until('three sessions', async () => (await service.db.sourceSession.count()) === 3);
    await service.request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' });
    await inState(id, 'Stopped');
    await until('it can be deleted', async () => {
      const { status } = await service.request.delete(`/api/v1/pipelines/${id}`);
      return status === 200;
    });
    await until('the sessions are removed', async () => (await service.db.sourceSession.count()) === 0);
    const left = [0, 1, 2].map((task) => takeSession(broker.url, clientOf(job.id, task)));
    expect(await Promise.all(left)).toEqual([false, false, false]);
  });

  test('are refused with the field when there are too many', async () => {
    await readings({}, { type: { retained: 'always' } });
    const { id } = await created(service.request, '/pipelines', { name: 'p', query, parallelism: 2 });
    const many = await service.request.patch(`/api/v1/pipelines/${id}`).send({ parallelism: 65 });
    expect([many.status, many.body.errors[0].path]).toEqual([400, '/parallelism']);
    expect((await service.request.get(`/api/v1/pipelines/${id}`)).body.parallelism).toBe(2);
  });

  test('join a group named by the user, also over MQTT 3.1.1', async () => {
    const profile = { config: { url: broker.url, protocolVersion: '3.1.1' } };
    await readings(profile, { topic: '$share/mine/in' });
    const { id } = await created(service.request, '/pipelines', { name: 'p', query, parallelism: 2 });
    const job = await inState(id, 'Running');
    for (const task of [0, 1]) expect(broker.log).toContain(`${clientOf(job.id, task)} 1 $share/mine/in`);
  });

  test('divide the messages of any broker, also of one without shared subscriptions', async () => {
    const without = await ScriptedBroker.start({
      connack: { properties: { sharedSubscriptionAvailable: false } },
    });
    await createTables(service.request, without.url);
    const { id } = await created(service.request, '/pipelines', { name: 'p', query, parallelism: 2 });
    await inState(id, 'Running');
  });

  test('of a group that the broker does not support fail, or say so', async () => {
    const without = await ScriptedBroker.start({
      connack: { properties: { sharedSubscriptionAvailable: false } },
    });
    await readings({ config: { url: without.url } }, { topic: '$share/mine/in' });
    const { id } = await created(service.request, '/pipelines', { name: 'p', query, parallelism: 2 });
    const { failure_reason } = await inState(id, 'Failed');
    expect(failure_reason).toMatchObject({ code: 'mqtt_shared_unsupported', domain: 'user' });
  });

  test('say that a broker takes their group for an ordinary topic', async () => {
    const aedes = await startAedes();
    await readings({ config: { url: aedes.url } }, { topic: '$share/mine/in', qos: 'AtLeastOnce' });
    const { id } = await created(service.request, '/pipelines', { name: 'p', query, parallelism: 1 });
    const job = await inState(id, 'Running');
    const said = await until('the job says it', async () => {
      const { body } = await service.request.get(`/api/v1/pipelines/${id}/jobs/${job.id}/errors`);
      return (body.data as { message: string }[]).find(({ message }) => message.includes('$share/mine/in'));
    });
    expect(said.message).toContain('ordinary topic');
  });
});
