import { expect, test } from 'vitest';
import { databases, databasesOfSoak } from '../support/databases.ts';
import { allDeadLetters, badKinds, type DeadLetter, deadLetterOf, topicOf } from '../support/dead-letters.ts';
import { FaultyLink } from '../support/faulty-link.ts';
import { FaultyPipeline } from '../support/faulty-pipeline.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient } from '../support/mqtt.ts';
import { Penstock } from '../support/penstock.ts';
import { created, jobOf, profileBody, tableBody } from '../support/resources.ts';
import { ScriptedBroker } from '../support/scripted-broker.ts';
import { until } from '../support/until.ts';

/** Dead letters during faults: every message is in the sink or a dead letter, and none is acknowledged before that. */

const [, postgresql] = databases;
const soak = process.env.PENSTOCK_SOAK === '1';
const perRound = soak ? 5_000 : 200;
const kills = soak ? 10 : 1;

let _rig: FaultyPipeline | undefined;

const brokerOf = () => Mosquitto.start({ config: ['max_queued_messages 1000000'], quiet: true });

test.each(databasesOfSoak)(
  'accounts for every message across kills, and of a replay, on $provider',
  async ({ create }) => {
    const broker = await brokerOf();
    const database = await create();
    const penstock = await Penstock.start({ PENSTOCK_DATABASE_URL: database.url });
    const { request } = penstock;
    const profile = await created(request, '/connection_profiles', profileBody(broker.url));
    const fields = [
      { name: 'device', type: 'string', required: true },
      { name: 'seq', type: 'int64', required: true },
      { name: 'level', type: 'int32' },
      { name: 'text', type: 'string' },
    ];
    const bad = { behavior: 'dead_letter', max_count: 100_000 };
    const schema = { format: { type: 'json' }, bad_data: bad, fields };
    const source = tableBody('readings', profile.id, { topic: 'in/+', type: {} }, schema);
    const { id: readings } = await created(request, '/connection_tables', source);
    const out = { topic: 'out/{{ device }}', type: { retain: false } };
    const json = {
      format: { type: 'json' },
      fields: [
        { name: 'device', type: 'string' },
        { name: 'seq', type: 'int64' },
        { name: 'number', type: 'int64' },
      ],
    };
    await created(request, '/connection_tables', tableBody('alerts', profile.id, out, json));
    const query = 'INSERT INTO alerts SELECT device, seq, CAST(text AS BIGINT) AS number FROM readings';
    const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
    const runs = () =>
      until(
        'the job runs',
        // A process that has just started with a long queue may be too busy to respond.
        async () => (await jobOf(request, id).catch(() => undefined))?.state === 'Running',
        60_000,
      );
    await runs();

    const client = await plainClient(broker.url);
    const arrived = new Set<number>();
    client.on('message', (_topic, payload) => arrived.add(JSON.parse(payload.toString()).seq as number));
    await client.subscribeAsync('out/#', { qos: 1 });
    const { 'refused by the broker': _, ...others } = badKinds;
    const kinds = Object.values(others);
    let seq = 0;
    const wrong = new Set<number>();
    const round = async (): Promise<void> => {
      const sent: Promise<unknown>[] = [];
      for (const end = seq + perRound; seq < end; seq += 1) {
        const kind = kinds[seq % 100];
        if (kind) wrong.add(seq);
        const good = JSON.stringify({ device: 'd', seq, text: '1' });
        sent.push(client.publishAsync(`in/${seq}`, kind ? kind.payload(seq) : good, { qos: 1 }));
      }
      await Promise.all(sent);
    };
    for (let kill = 0; kill < kills; kill += 1) {
      const before = arrived.size;
      const publishing = round();
      await until('messages flow', () => arrived.size > before + perRound / 10, 60_000);
      await penstock.kill('SIGKILL');
      await publishing;
      await penstock.resume();
      await runs();
    }
    await round();
    await until('every good one is through', () => arrived.size === seq - wrong.size, 120_000);
    const dead = new Map<string, number>();
    const known = new Set<string>();
    await until(
      'every bad one is stored',
      async () => {
        for (const letter of await allDeadLetters(request, id)) {
          if (known.has(letter.id)) continue;
          known.add(letter.id);
          const { topic } = (await deadLetterOf(request, id, letter.id)).metadata;
          dead.set(topic, (dead.get(topic) ?? 0) + 1);
        }
        return dead.size >= wrong.size;
      },
      soak ? 300_000 : 60_000,
    );
    expect([...dead.keys()].sort()).toEqual([...wrong].map((number) => `in/${number}`).sort());
    expect([...wrong].filter((number) => arrived.has(number))).toEqual([]);

    // The current table accepts one kind of them.
    const right = new Set([...wrong].filter((number) => kinds[number % 100] === badKinds['out of range']));
    const wider = fields.map((field) => (field.name === 'level' ? { ...field, type: 'int64' } : field));
    const edit = { schema: { fields: wider } };
    await request.patch(`/api/v1/connection_tables/${readings}`).send(edit).expect(200);
    const probe = { device: 'd', seq: -1, level: 3_000_000_000 };
    await until(
      'the edit runs',
      async () => {
        await client.publishAsync('in/probe', JSON.stringify(probe), { qos: 1 });
        return arrived.has(-1);
      },
      60_000,
    );
    const { body: marked } = await request
      .post(`/api/v1/pipelines/${id}/dead_letters/replay`)
      .send({ all: true });
    expect(marked.asked).toBeGreaterThanOrEqual(wrong.size);
    await until('some are through', () => [...right].some((number) => arrived.has(number)), 60_000);
    await penstock.kill('SIGKILL');
    await penstock.resume();
    let after: DeadLetter[] = [];
    await until(
      'none is being replayed any more',
      async () => {
        after = (await allDeadLetters(request, id).catch(() => undefined)) ?? [];
        return after.length > 0 && after.every(({ state }) => state === 'waiting');
      },
      120_000,
    );
    const still = new Set<string>();
    for (const letter of after) still.add(topicOf(await deadLetterOf(request, id, letter.id)));
    still.delete('in/probe');
    const expected = [...wrong].filter((number) => !right.has(number)).map((number) => `in/${number}`);
    expect([...still].sort()).toEqual(expected.sort());
    await until('every replayed one is through', () => [...right].every((number) => arrived.has(number)));
    const through = [...arrived].filter((number) => number >= 0);
    expect(through.length + still.size).toBe(seq);
  },
  600_000,
);

test('acknowledges no bad message during a database outage, and each one once it is stored', async () => {
  const database = await postgresql.create();
  const behind = new URL(database.url);
  const link = await FaultyLink.start(Number(behind.port), () => () => {});
  behind.port = new URL(link.url).port;
  const source = await brokerOf();
  const sink = await brokerOf();
  const schema = { bad_data: { behavior: 'dead_letter' } };
  const settings = { PENSTOCK_DATABASE_URL: behind.href };
  const at = await FaultyPipeline.start({ source, sink, qos: 1, schema, settings });
  _rig = at;
  const { ledger, traffic } = at;
  await traffic.publish(100);
  await until('they are acknowledged', () => ledger.acknowledged === 100);
  link.blackhole();
  await traffic.publishRaw('{"seq":-5}');
  await traffic.publish(100);
  await until('what is behind it is written', () => ledger.taken.size === 200, 60_000);
  expect(ledger.acknowledged).toBe(100);
  await link.heal();
  await until('all are acknowledged', () => ledger.acknowledged >= 201, 120_000);
  const letters = await allDeadLetters(at.penstock.request, at.id);
  expect(letters.map(({ code }) => code)).toContain('bad_data');
  expect(traffic.missing).toEqual([]);
  expect(ledger.disordered).toBe(0);
});

test('a message that the sink always refuses is kept, and the others are delivered', async () => {
  const refusedNumber = 150;
  const sink = await ScriptedBroker.start({
    on(packet, connection) {
      if (packet.cmd !== 'publish') return false;
      if ((JSON.parse(packet.payload.toString()) as { seq: number }).seq !== refusedNumber) return false;
      connection.send({ cmd: 'puback', messageId: packet.messageId ?? 0, reasonCode: 0x99 });
      return true;
    },
  });
  const at = await FaultyPipeline.start({
    source: await brokerOf(),
    sink,
    qos: 1,
    schema: { bad_data: { behavior: 'dead_letter' } },
  });
  _rig = at;
  const { ledger, traffic } = at;
  await traffic.publish(300);
  await until('all are acknowledged', () => ledger.acknowledged === 300);
  expect([ledger.taken.size, ledger.taken.has(refusedNumber), ledger.disordered]).toEqual([299, false, 0]);
  expect(await allDeadLetters(at.penstock.request, at.id)).toMatchObject([
    { code: 'mqtt_publish_refused', stage: 'write', failed_rows: [0], row_count: 1 },
  ]);
  expect((await at.job()).state).toBe('Running');
});
