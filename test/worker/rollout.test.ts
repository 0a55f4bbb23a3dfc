import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../src/security/config-secrets.ts';
import { databasesOfSoak } from '../support/databases.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient, takeSession } from '../support/mqtt.ts';
import {
  created,
  createPipeline,
  createTables,
  jobOf,
  profileBody,
  tableBody,
} from '../support/resources.ts';
import { type Received, useRig } from '../support/rig.ts';
import { ScriptedBroker } from '../support/scripted-broker.ts';
import { startService } from '../support/service.ts';
import { until } from '../support/until.ts';

/** Edits of what a job runs, while it runs or is stopped. */

const broker = {
  users: { first: 'one', second: 'two', tester: 'right' },
  acl: 'user tester\ntopic readwrite #\nuser first\ntopic readwrite #\nuser second\ntopic readwrite #\ntopic deny out/secret\n',
};

const query = 'INSERT INTO alerts SELECT * FROM readings';

describe.each(databasesOfSoak)('a rollout of edits on $provider', ({ open }) => {
  const rig = useRig({
    broker,
    service: { open, worker: true },
    client: { username: 'tester', password: 'right' },
  });
  let received: Received[];
  let profile: string;
  let pipeline: string;
  let job: string;
  let input: string;

  beforeEach(async () => {
    // The broker is shared, so each test has its own topics.
    input = `in/${randomBytes(4).toString('hex')}`;
    received = await rig.receive('out/#');
    const config = { username: 'first', password: 'one' };
    ({ profile } = await createTables(rig.request, rig.broker.url, { from: input, to: 'out/x', config }));
    pipeline = await rig.run(query);
    ({ id: job } = await jobOf(rig.request, pipeline));
  });

  const send = (seq: number, topic = input) =>
    rig.client.publishAsync(topic, JSON.stringify({ device: 'd', seq, celsius: 1 }), { qos: 1 });
  const seqs = () => received.map(({ seq }) => seq);
  const arrived = (count: number) => until(`${count} messages`, async () => received.length >= count);
  const stop = () => rig.stop(pipeline);
  const start = () => rig.start(pipeline);

  /** Requests a rollout, as every edit does, and waits until the job has completed it. */
  async function edited(): Promise<void> {
    const { editRequests } = await rig.service.db.job.update({
      where: { id: job },
      data: { editRequests: { increment: 1 } },
    });
    await until('the edit is dealt with', async () => {
      const row = await rig.service.db.job.findUniqueOrThrow({ where: { id: job } });
      return row.editsDone === editRequests && row.state === 'Running';
    });
  }

  /** The messages queued under an old filter are read first, while the job runs. */
  const unsubscribed = () =>
    until('the old filter is unsubscribed', async () => {
      const { tables } = await rig.service.db.sourceSession.findFirstOrThrow();
      return JSON.parse(tables).length === 1;
    });

  const tableConfig = (name: string, config: object) =>
    rig.service.db.connectionTable.update({
      where: { name },
      data: { config: JSON.stringify({ qos: 'AtLeastOnce', ...config }), version: { increment: 1 } },
    });
  const profileConfig = (config: JsonObject) =>
    rig.service.db.connectionProfile.update({
      where: { id: profile },
      data: { config: rig.service.catalog.sealProfile(profile, 'mqtt', config), version: { increment: 1 } },
    });
  const pipelineQuery = (text: string) =>
    rig.service.db.pipeline.update({ where: { id: pipeline }, data: { query: text } });
  const connections = () =>
    rig.broker.log.split('\n').filter((line) => line.includes('New client connected') && line.includes(job));
  const messages = async (level = 'warn') => {
    const path = `/api/v1/pipelines/${pipeline}/jobs/${job}/errors`;
    const { body } = await rig.request.get(path).query({ level });
    return body.data as { level: string; code: string; message: string }[];
  };

  test('of a topic keep the messages queued under the old one, and unsubscribe it', async () => {
    await stop();
    for (let seq = 0; seq < 5; seq++) await send(seq);
    await tableConfig('readings', { topic: `${input}/new`, type: {} });
    await start();
    await arrived(5);
    await unsubscribed();
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
    await unsubscribed();
    await send(2);
    await send(3, `${input}/new`);
    await arrived(2);
    expect(seqs()).toEqual([1, 3]);
    expect(await jobOf(rig.request, pipeline)).toMatchObject({ run_id: 1, failure_reason: null });
  });

  test('of a login reach a running job and keep its session', async () => {
    await profileConfig({ url: rig.broker.url, username: 'second', password: 'two' });
    await edited();
    const last = connections()
      .filter((line) => line.includes('_source_'))
      .at(-1);
    expect(last).toContain("u'second'");
    await send(1);
    await arrived(1);
    expect(await rig.service.db.sourceSession.count()).toBe(1);
  });

  test('that the broker refuses are rolled back, with the reason', async () => {
    await profileConfig({ url: rig.broker.url, username: 'first', password: 'wrong-canary' });
    await edited();
    const now = await until('the refusal', async () => {
      const shown = await jobOf(rig.request, pipeline);
      return (shown.state === 'Running' && shown.failure_reason) || undefined;
    });
    expect(now).toMatchObject({ code: 'mqtt_not_authorized', domain: 'user' });
    expect(now.error).toContain('rolled back');
    expect((await messages())[0]).toMatchObject({ level: 'error', code: 'mqtt_not_authorized' });
    await send(1);
    await arrived(1);
    await profileConfig({ url: rig.broker.url, username: 'second', password: 'two' });
    await edited();
    expect((await jobOf(rig.request, pipeline)).failure_reason).toBeNull();
    await send(2);
    await arrived(2);
    expect(rig.service.logged()).not.toContain('wrong-canary');
  });

  test('that do not compile change nothing and report the reason', async () => {
    const before = connections().length;
    await pipelineQuery('INSERT INTO alerts SELECT nonsense FROM readings');
    await edited();
    const now = await jobOf(rig.request, pipeline);
    expect(now).toMatchObject({ state: 'Running', failure_reason: { code: 'invalid_query' } });
    expect((await messages())[0]).toMatchObject({ level: 'error', code: 'invalid_query' });
    await send(1);
    await arrived(1);
    await pipelineQuery(query);
    await edited();
    expect((await jobOf(rig.request, pipeline)).failure_reason).toBeNull();
    expect(connections()).toHaveLength(before);
  });

  test('that come while the job restarts for an earlier one restart it again, as the history shows', async () => {
    const silent = await ScriptedBroker.start({ on: ({ cmd }) => cmd === 'connect' });
    // The first edit waits for it until the second one comes.
    const config = { url: silent.url, connectTimeoutMs: 60_000 };
    const body = profileBody(silent.url, { name: 'silent', config });
    const { id } = await created(rig.request, '/connection_profiles', body);
    const table = tableBody('silent', id, { topic: 'out/silent', type: { retain: false } });
    await created(rig.request, '/connection_tables', table);
    const save = (text: string) =>
      rig.request.patch(`/api/v1/pipelines/${pipeline}`).send({ query: text }).expect(200);
    const states = async () => (await messages('info')).map(({ message }) => message);
    await save('INSERT INTO silent SELECT * FROM readings');
    const earlier = 'The job is Restarting; it was Running';
    await until('the earlier edit connects', async () => (await states())[0] === earlier);
    await save(`${query} WHERE seq > 0`);
    await until('the later one runs', async () => (await states())[0]?.startsWith('The job is Running'));
    expect((await states()).slice(0, 3)).toEqual([
      'The job is Running; it was Restarting',
      'The job is Restarting; it was Restarting',
      earlier,
    ]);
    await send(1);
    await arrived(1);
  });

  test('that change nothing restart nothing', async () => {
    const before = connections().length;
    await rig.service.db.connectionProfile.update({
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
      rig.request,
      '/connection_tables',
      tableBody('others', profile, { topic: `${input}/others`, type: {} }),
    );
    await stop();
    for (let seq = 0; seq < 5; seq++) await send(seq);
    await pipelineQuery('INSERT INTO alerts SELECT device, seq + 100, celsius FROM others');
    await start();
    await arrived(5);
    expect(seqs().sort()).toEqual([0, 1, 2, 3, 4]);
    await until('the session is gone', async () => (await rig.service.db.sourceSession.count()) === 1);
    await send(9);
    await send(1, `${input}/others`);
    await arrived(6);
    expect(seqs().at(-1)).toBe(101);
  });

  test('of the address find the same session, or drain the former one', async () => {
    const login = { username: 'first', password: 'one' };
    await stop();
    await send(1);
    await profileConfig({ url: `mqtt://localhost:${rig.broker.port}`, ...login });
    await start();
    await arrived(1);
    expect(await rig.service.db.sourceSession.count()).toBe(1);
    expect((await messages()).map(({ code }) => code)).not.toContain('mqtt_session_lost');

    const other = await Mosquitto.start();
    await stop();
    await send(2);
    await tableConfig('alerts', { topic: 'out/x', type: { retain: false } });
    await profileConfig({ url: other.url, ...login });
    const listener = await plainClient(other.url);
    const there: string[] = [];
    listener.on('message', (_topic, payload) => there.push(payload.toString()));
    await listener.subscribeAsync('out/#');
    await start();
    await until('what was left behind', async () => there.length === 1);
    expect(JSON.parse(there[0] ?? '')).toMatchObject({ seq: 2 });
    await until('the session is gone', async () => (await rig.service.db.sourceSession.count()) === 1);
    const [{ operatorId = '' } = {}] = await rig.service.db.sourceSession.findMany();
    const client = `penstock_${job}_${operatorId}_0`;
    expect(await takeSession(rig.broker.url, client, { username: 'tester', password: 'right' })).toBe(false);
    await listener.endAsync();
    await stop();
  });
});

test('a session whose broker is gone is given up after a day, and the job continues', {
  timeout: 120_000,
}, async () => {
  const gone = await Mosquitto.start();
  const service = await startService({ worker: true });
  const { request, db, catalog } = service;
  const { profile } = await createTables(request, gone.url);
  const id = await createPipeline(request, query);
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
});

describe('a session that the broker has lost', () => {
  test('is reported and counted if it existed before', async () => {
    const mortal = await Mosquitto.start();
    const service = await startService({ worker: true });
    const { request } = service;
    await createTables(request, mortal.url);
    const id = await createPipeline(request, query);
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
  });
});
