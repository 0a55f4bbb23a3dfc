import { expect, test } from 'vitest';
import { badKinds } from '../support/dead-letters.ts';
import { FaultyPipeline } from '../support/faulty-pipeline.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient } from '../support/mqtt.ts';
import { Penstock } from '../support/penstock.ts';
import { created, jobOf, profileBody, tableBody } from '../support/resources.ts';
import { ScriptedBroker, type ScriptedConnection } from '../support/scripted-broker.ts';
import { until } from '../support/until.ts';

/** Messages of good and bad rows, while the process is killed in the middle of them. */

const kills = process.env.PENSTOCK_SOAK === '1' ? 10 : 1;

const brokerOf = () => Mosquitto.start({ config: ['max_queued_messages 1000000'], quiet: true });

test('with drop, every good message arrives and no bad one stays with the broker, across kills', async () => {
  const rig = await FaultyPipeline.start({ source: await brokerOf(), sink: await brokerOf(), qos: 1 });
  const { traffic, penstock, ledger } = rig;
  const bad = ['not UTF-8', 'broken JSON', 'required and missing', 'of the wrong type'] as const;
  const publish = async (rounds: number): Promise<void> => {
    for (let round = 0; round < rounds; round += 1) {
      await traffic.publish(96);
      const payloads = bad.map((kind) => badKinds[kind]?.payload(round) ?? '');
      await Promise.all(payloads.map((payload) => traffic.publishRaw(payload)));
    }
  };
  for (let kill = 0; kill < kills; kill += 1) {
    const before = traffic.arrived;
    const publishing = publish(10);
    await until('messages flow', () => traffic.arrived > before + 100, 60_000);
    await penstock.kill('SIGKILL');
    await publishing;
    await penstock.resume();
    await until('every good one is through', () => traffic.missing.length === 0, 120_000);
  }
  await until('the source has every acknowledgement', () => ledger.owed === 0, 60_000);

  await publish(10);
  await until('the others are through', () => traffic.missing.length === 0, 60_000);
  // The counts of a process start at 0, and are updated once a second.
  await until('every message is accounted for', async () => {
    const { received, sent, dropped } = await countsOf(penstock);
    return sent >= 960 && dropped >= 40 && received === sent + dropped;
  });
  await until('the source has those acknowledgements', () => ledger.owed === 0);
  expect(ledger.disordered).toBe(0);
});

async function countsOf({ request }: Penstock) {
  const { text } = await request.get('/metrics').expect(200);
  const count = (name: string): number =>
    [...text.matchAll(new RegExp(`^penstock_messages_${name}_total{.*} (\\d+)$`, 'gm'))].reduce(
      (sum, [, value]) => sum + Number(value),
      0,
    );
  return { received: count('received'), sent: count('sent'), dropped: count('dropped') };
}

test('a message of many rows is redelivered until its last row is confirmed', async () => {
  const [messages, rows] = [3, 6000];
  const heldBack = 1.5 * rows;
  let release = false;
  const taken = new Map<number, number>();
  const waiting: { connection: ScriptedConnection; messageId: number }[] = [];
  const sink = await ScriptedBroker.start({
    on(packet, connection) {
      if (packet.cmd !== 'publish') return false;
      const { seq } = JSON.parse(packet.payload.toString()) as { seq: number };
      taken.set(seq, (taken.get(seq) ?? 0) + 1);
      if (seq !== heldBack || release) return false;
      waiting.push({ connection, messageId: packet.messageId ?? 0 });
      return true;
    },
  });
  const source = await brokerOf();
  const penstock = await Penstock.start();
  const { request } = penstock;
  const fields = [{ name: 'seq', type: 'int64', required: true }];
  const lines = { format: { type: 'json' }, framing: { method: 'newline' }, fields };
  const ends = [
    { name: 'i', url: source.url, config: { topic: 'in', type: {} }, schema: lines },
    {
      name: 'o',
      url: sink.url,
      config: { topic: 'out', type: { retain: false } },
      schema: { ...lines, framing: undefined },
    },
  ];
  for (const { name, url, config, schema } of ends) {
    const profile = await created(
      request,
      '/connection_profiles',
      profileBody(url, { name: `at ${name}`, config: { url } }),
    );
    await created(request, '/connection_tables', tableBody(name, profile.id, config, schema));
  }
  const query = 'INSERT INTO o SELECT * FROM i';
  const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
  const runs = () => until('it runs', async () => (await jobOf(request, id))?.state === 'Running', 60_000);
  await runs();

  const client = await plainClient(source.url);
  const seqs = (message: number) => Array.from({ length: rows }, (_, at) => message * rows + at);
  for (let message = 0; message < messages; message += 1) {
    const payload = seqs(message)
      .map((seq) => JSON.stringify({ seq }))
      .join('\n');
    await client.publishAsync('in', payload, { qos: 1 });
  }
  const takenTimes = (message: number, times: number) =>
    seqs(message).every((seq) => (taken.get(seq) ?? 0) >= times);
  await until('all but one row is confirmed', () => takenTimes(1, 1), 60_000);
  expect(waiting).toHaveLength(1);

  await penstock.kill('SIGKILL');
  await penstock.resume();
  await runs();
  await until('what was not whole comes again', () => takenTimes(1, 2), 60_000);

  release = true;
  const { connection, messageId } = waiting.at(-1) as (typeof waiting)[number];
  connection.send({ cmd: 'puback', messageId });
  await until('every row is there', () => takenTimes(0, 1) && takenTimes(1, 2) && takenTimes(2, 1), 60_000);
  await penstock.kill('SIGTERM');
  const before = taken.get(heldBack);
  await penstock.resume();
  await runs();
  await client.publishAsync('in', JSON.stringify({ seq: -1 }), { qos: 1 });
  await until('the next one is through', () => taken.has(-1), 60_000);
  expect(taken.get(heldBack)).toBe(before);
});
