import { randomBytes } from 'node:crypto';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../src/security/config-secrets.ts';
import { databases } from '../support/databases.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { takeSession } from '../support/mqtt.ts';
import { created, jobOf, profileBody, tableBody } from '../support/resources.ts';
import { type Service, startService, until } from '../support/service.ts';

/** Definitions change while a job runs, or before it runs again. */

let broker: Mosquitto;
beforeAll(async () => {
  broker = await Mosquitto.start({
    users: { first: 'one', second: 'two', tester: 'right' },
    acl: 'user tester\ntopic readwrite #\nuser first\ntopic readwrite #\nuser second\ntopic readwrite #\ntopic deny out/secret\n',
  });
});
afterAll(() => broker.stop());

const query = 'INSERT INTO alerts SELECT * FROM readings';

describe.each(databases)('edits on $provider', { timeout: 120_000 }, ({ open }) => {
  let service: Service;
  let tester: MqttClient;
  let received: { topic: string; seq: number }[];
  let profile: string;
  let pipeline: string;
  let job: string;
  let input: string;

  beforeEach(async () => {
    // The broker is shared, so each test has its own topics.
    input = `in/${randomBytes(4).toString('hex')}`;
    service = await startService({ open, worker: true });
    tester = await connectAsync(broker.url, { username: 'tester', password: 'right' });
    received = [];
    tester.on('message', (topic, payload) => received.push({ topic, ...JSON.parse(payload.toString()) }));
    await tester.subscribeAsync('out/#', { qos: 1 });
    const { request } = service;
    const config = { url: broker.url, username: 'first', password: 'one' };
    ({ id: profile } = await created(request, '/connection_profiles', profileBody('', { config })));
    await created(request, '/connection_tables', tableBody('readings', profile, { topic: input, type: {} }));
    const sink = { topic: 'out/x', type: { retain: false } };
    await created(request, '/connection_tables', tableBody('alerts', profile, sink));
    ({ id: pipeline } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 }));
    ({ id: job } = await running());
  });
  afterEach(async () => {
    await tester.endAsync();
    await service.close();
  });

  const inState = (state: string) =>
    until(`the job is ${state}`, async () => {
      const now = await jobOf(service.request, pipeline);
      if (now.state === 'Failed' && state !== 'Failed') throw new Error(JSON.stringify(now.failure_reason));
      return now.state === state && now;
    });
  const running = () => inState('Running');
  const send = (seq: number, topic = input) =>
    tester.publishAsync(topic, JSON.stringify({ device: 'd', seq, celsius: 1 }), { qos: 1 });
  const seqs = () => received.map(({ seq }) => seq);
  const arrived = (count: number) => until(`${count} messages`, async () => received.length >= count);
  const stop = async () => {
    await service.request.patch(`/api/v1/pipelines/${pipeline}`).send({ stop: 'graceful' }).expect(200);
    await inState('Stopped');
  };
  const start = async () => {
    await service.request.patch(`/api/v1/pipelines/${pipeline}`).send({ stop: 'none' }).expect(200);
    await running();
  };

  /** Requests an edit, as the API does, and waits until the job has handled it. */
  async function edited(): Promise<void> {
    const { editRequests } = await service.db.job.update({
      where: { id: job },
      data: { editRequests: { increment: 1 } },
    });
    await until('the edit is dealt with', async () => {
      const row = await service.db.job.findUniqueOrThrow({ where: { id: job } });
      return row.editsDone === editRequests && row.state === 'Running';
    });
  }

  const tableConfig = (name: string, config: object) =>
    service.db.connectionTable.update({
      where: { name },
      data: { config: JSON.stringify({ qos: 'AtLeastOnce', ...config }), version: { increment: 1 } },
    });
  const profileConfig = (config: JsonObject) =>
    service.db.connectionProfile.update({
      where: { id: profile },
      data: { config: service.catalog.sealProfile(profile, 'mqtt', config), version: { increment: 1 } },
    });
  const pipelineQuery = (text: string) =>
    service.db.pipeline.update({ where: { id: pipeline }, data: { query: text } });
  const connections = () =>
    broker.log.split('\n').filter((line) => line.includes('New client connected') && line.includes(job));
  const messages = async () => {
    const { body } = await service.request.get(`/api/v1/pipelines/${pipeline}/jobs/${job}/errors`);
    return body.data as { level: string; code: string; message: string }[];
  };

  test('of a topic keep the messages queued under the old one, and unsubscribe it', async () => {
    await stop();
    for (let seq = 0; seq < 5; seq++) await send(seq);
    await tableConfig('readings', { topic: `${input}/new`, type: {} });
    await start();
    await arrived(5);
    await until('the old filter is unsubscribed', async () => {
      const { tables } = await service.db.sourceSession.findFirstOrThrow();
      return JSON.parse(tables).length === 1;
    });
    await send(100);
    await send(5, `${input}/new`);
    await arrived(6);
    expect(seqs()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('of a topic reach a running job', async () => {
    await tableConfig('readings', { topic: `${input}/new`, type: {} });
    await edited();
    await send(1, `${input}/new`);
    await arrived(1);
    await send(2);
    await send(3, `${input}/new`);
    await arrived(2);
    expect(seqs()).toEqual([1, 3]);
    expect(await jobOf(service.request, pipeline)).toMatchObject({ run_id: 1, failure_reason: null });
  });

  test('of a login reach a running job and keep its session', async () => {
    await profileConfig({ url: broker.url, username: 'second', password: 'two' });
    await edited();
    const last = connections()
      .filter((line) => line.includes('_source_'))
      .at(-1);
    expect(last).toContain("u'second'");
    await send(1);
    await arrived(1);
    expect(await service.db.sourceSession.count()).toBe(1);
  });

  test('that the broker refuses are rolled back, with the reason', async () => {
    await profileConfig({ url: broker.url, username: 'first', password: 'wrong-canary' });
    await edited();
    const now = await until('the refusal', async () => {
      const shown = await jobOf(service.request, pipeline);
      return (shown.state === 'Running' && shown.failure_reason) || undefined;
    });
    expect(now).toMatchObject({ code: 'mqtt_not_authorized', domain: 'user' });
    expect(now.error).toContain('rolled back');
    expect((await messages())[0]).toMatchObject({ level: 'error', code: 'mqtt_not_authorized' });
    await send(1);
    await arrived(1);
    await profileConfig({ url: broker.url, username: 'second', password: 'two' });
    await edited();
    expect((await jobOf(service.request, pipeline)).failure_reason).toBeNull();
    await send(2);
    await arrived(2);
    expect(service.logged()).not.toContain('wrong-canary');
  });

  test('that do not compile change nothing and report the reason', async () => {
    const before = connections().length;
    await pipelineQuery('INSERT INTO alerts SELECT nonsense FROM readings');
    await edited();
    const now = await jobOf(service.request, pipeline);
    expect(now).toMatchObject({ state: 'Running', failure_reason: { code: 'invalid_query' } });
    expect((await messages())[0]).toMatchObject({ level: 'error', code: 'invalid_query' });
    await send(1);
    await arrived(1);
    await pipelineQuery(query);
    await edited();
    expect((await jobOf(service.request, pipeline)).failure_reason).toBeNull();
    expect(connections()).toHaveLength(before);
  });

  test('that change nothing restart nothing', async () => {
    const before = connections().length;
    await service.db.connectionProfile.update({
      where: { id: profile },
      data: { name: 'other', version: 2 },
    });
    await edited();
    await edited();
    await send(1);
    await arrived(1);
    expect(connections()).toHaveLength(before);
  });

  test('of a running query keep the session and lose nothing', async () => {
    await pipelineQuery('INSERT INTO alerts SELECT device, seq + 100, celsius FROM readings');
    const sending = (async () => {
      for (let seq = 0; seq < 50; seq++) await send(seq);
    })();
    await edited();
    await sending;
    await arrived(50);
    expect(new Set(seqs().map((seq) => seq % 100)).size).toBe(50);
    await send(7);
    await until('the new query', async () => seqs().includes(107));
  });

  test('that drop a source deliver its queued messages to its former sink', async () => {
    await created(
      service.request,
      '/connection_tables',
      tableBody('others', profile, { topic: `${input}/others`, type: {} }),
    );
    await stop();
    for (let seq = 0; seq < 5; seq++) await send(seq);
    await pipelineQuery('INSERT INTO alerts SELECT device, seq + 100, celsius FROM others');
    await start();
    await arrived(5);
    expect(seqs().sort()).toEqual([0, 1, 2, 3, 4]);
    await until('the session is gone', async () => (await service.db.sourceSession.count()) === 1);
    await send(9);
    await send(1, `${input}/others`);
    await arrived(6);
    expect(seqs().at(-1)).toBe(101);
  });

  test('of the address find the same session, or drain the former one', async () => {
    const login = { username: 'first', password: 'one' };
    await stop();
    await send(1);
    await profileConfig({ url: `mqtt://localhost:${broker.port}`, ...login });
    await start();
    await arrived(1);
    expect(await service.db.sourceSession.count()).toBe(1);
    expect((await messages()).map(({ code }) => code)).not.toContain('mqtt_session_lost');

    const other = await Mosquitto.start();
    await stop();
    await send(2);
    await tableConfig('alerts', { topic: 'out/x', type: { retain: false } });
    await profileConfig({ url: other.url, ...login });
    const ear = await connectAsync(other.url);
    const there: string[] = [];
    ear.on('message', (_topic, payload) => there.push(payload.toString()));
    await ear.subscribeAsync('out/#');
    await start();
    await until('what was left behind', async () => there.length === 1);
    expect(JSON.parse(there[0] ?? '')).toMatchObject({ seq: 2 });
    await until('the session is gone', async () => (await service.db.sourceSession.count()) === 1);
    const [{ operatorId = '' } = {}] = await service.db.sourceSession.findMany();
    const client = `penstock_${job}_${operatorId}_0`;
    expect(await takeSession(broker.url, client, { username: 'tester', password: 'right' })).toBe(false);
    await ear.endAsync();
    await stop();
    await other.stop();
  });
});

test('a session whose broker is gone is given up after a day, and the job continues', {
  timeout: 120_000,
}, async () => {
  const gone = await Mosquitto.start();
  const service = await startService({ worker: true });
  const { request, db, catalog } = service;
  const { id: profile } = await created(request, '/connection_profiles', profileBody(gone.url));
  await created(request, '/connection_tables', tableBody('readings', profile, { topic: 'in', type: {} }));
  const sink = { topic: 'out', type: { retain: false } };
  await created(request, '/connection_tables', tableBody('alerts', profile, sink));
  const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
  const running = () => until('it runs', async () => (await jobOf(request, id)).state === 'Running');
  await running();
  await gone.stop();
  const other = await Mosquitto.start();
  await db.connectionProfile.update({
    where: { id: profile },
    data: { config: catalog.sealProfile(profile, 'mqtt', { url: other.url }) },
  });
  await db.job.updateMany({ data: { editRequests: { increment: 1 } } });
  const session = (state: string) =>
    until(
      `a session that is ${state}`,
      async () => (await db.sourceSession.count({ where: { state } })) === 1,
    );
  await session('draining');
  await running();
  await request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' }).expect(200);
  await until('it rests', async () => (await jobOf(request, id)).state === 'Stopped');
  const twoDaysAgo = BigInt(Date.now() - 2 * 86_400_000) * 1000n;
  await db.sourceSession.updateMany({ where: { state: 'draining' }, data: { stateSince: twoDaysAgo } });
  await request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'none' }).expect(200);
  await session('leftover');
  await running();
  const { id: job } = await jobOf(request, id);
  await until('it is said', async () => {
    const { body } = await request.get(`/api/v1/pipelines/${id}/jobs/${job}/errors`);
    return (body.data as { message: string }[]).some(({ message }) => message.includes('is given up'));
  });
  await service.close();
  await other.stop();
});

describe('a session that the broker has lost', () => {
  test('is reported and counted if it existed before', { timeout: 120_000 }, async () => {
    const mortal = await Mosquitto.start();
    const service = await startService({ worker: true });
    const { request } = service;
    const config = { url: mortal.url };
    const { id: profile } = await created(request, '/connection_profiles', profileBody('', { config }));
    await created(request, '/connection_tables', tableBody('readings', profile, { topic: 'in', type: {} }));
    const sink = { topic: 'out', type: { retain: false } };
    await created(request, '/connection_tables', tableBody('alerts', profile, sink));
    const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
    const running = () =>
      until('the job runs', async () => {
        const job = await jobOf(request, id);
        return job.state === 'Running' && job;
      });
    const job = await running();
    const codes = async () => {
      const { body } = await request.get(`/api/v1/pipelines/${id}/jobs/${job.id}/errors`);
      return (body.data as { code: string; level: string }[])
        .filter(({ level }) => level === 'warn')
        .map(({ code }) => code);
    };
    await until(
      'the session is known',
      async () => (await service.db.sourceSession.findFirst())?.established,
    );
    expect(await codes()).toEqual([]);
    // Killed before it has saved anything.
    await mortal.kill('SIGKILL');
    await mortal.resume();
    await until('the warning', async () => (await codes()).includes('mqtt_session_lost'));
    const counted = `penstock_sessions_lost_total{job="${job.id}"} 1`;
    await until('the count', async () => (await request.get('/metrics')).text.includes(counted));
    await running();
    await service.close();
    await mortal.stop();
  });
});
