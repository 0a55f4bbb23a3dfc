import type { MqttClient } from 'mqtt';
import { beforeAll, expect, test, vi } from 'vitest';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient } from '../support/mqtt.ts';
import { created, jobOf, profileBody, tableBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';
import { ThreadFaults } from '../support/thread-faults.ts';
import { until } from '../support/until.ts';

/** Jobs run in worker threads, which fail one after the other. Each test leaves both jobs running. */

vi.setConfig({ testTimeout: 120_000 });

let broker: Mosquitto;
let service: Service;
let client: MqttClient;
let faults: ThreadFaults;
const pipelines: Record<string, string> = {};
const arrived = new Set<string>();
let sent = 0;

beforeAll(async () => {
  broker = await Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true });
  faults = new ThreadFaults();
  const threads = { max: 2, entry: ThreadFaults.entry, pingEveryMs: 1000, maxMissedPings: 15 };
  service = await startService({ worker: true, threads });
  client = await plainClient(broker.url);
  client.on('message', (topic, payload) => arrived.add(`${topic} ${JSON.parse(payload.toString()).seq}`));
  await client.subscribeAsync('out/#', { qos: 1 });
  const profile = await created(service.request, '/connection_profiles', profileBody(broker.url));
  for (const name of ['a', 'b']) {
    const table = (kind: string, type: object) =>
      tableBody(`${kind}_${name}`, profile.id, { topic: `${kind}/${name}`, type });
    await created(service.request, '/connection_tables', table('in', {}));
    await created(service.request, '/connection_tables', table('out', { retain: false }));
    const query = `INSERT INTO out_${name} SELECT device, seq + 0 AS seq, celsius FROM in_${name}`;
    const pipeline = await created(service.request, '/pipelines', { name, query, parallelism: 1 });
    pipelines[name] = pipeline.id;
    await running(name);
  }
});

const job = (name: string) => jobOf(service.request, pipelines[name] as string);
const running = (name: string) =>
  until(`${name} runs`, async () => (await job(name)).state === 'Running', 60_000);

async function lost(name: string): Promise<string[]> {
  const { id } = await job(name);
  const path = `/api/v1/pipelines/${pipelines[name]}/jobs/${id}/errors`;
  const { body } = await service.request.get(path).expect(200);
  return (body.data as { level: string; code: string; message: string }[])
    .filter(({ level, code }) => level === 'warn' && code === 'thread_lost')
    .map(({ message }) => message);
}

/** Publishes messages for both jobs; `through` waits until they have arrived. */
async function send(names: string[], count = 200): Promise<void> {
  for (const last = sent + count; sent < last; sent += 1) {
    const payload = JSON.stringify({ device: 'd', seq: sent, celsius: 1 });
    for (const name of names) await client.publishAsync(`in/${name}`, payload, { qos: 1 });
  }
}

const through = (...names: string[]) =>
  until(
    `all is through ${names}`,
    async () =>
      names.every((name) => [...arrived].filter((one) => one.startsWith(`out/${name} `)).length === sent),
    60_000,
  );

const threadOf = (name: string): number => (name === 'a' ? faults.started[0] : faults.started[1]) as number;

test('two jobs get a thread each', async () => {
  expect(faults.started).toHaveLength(2);
  await send(['a', 'b']);
  await through('a', 'b');
});

test('a job whose thread crashed restarts in another and loses nothing', async () => {
  const before = faults.started.length;
  const half = send(['a', 'b']);
  faults.cause('crash', faults.started.length === 2 ? threadOf('a') : (faults.started.at(-1) as number));
  await half;
  await until(
    'the reason is shown',
    async () => (await lost('a')).some((message) => message.includes('has ended')),
    60_000,
  );
  await send(['a', 'b']);
  await through('a', 'b');
  await running('a');
  expect(faults.started).toHaveLength(before + 1);
  expect(await lost('b')).toEqual([]);
});

test('a hung thread is replaced, while the API and the other job continue', async () => {
  const before = faults.started.length;
  faults.cause('hang', faults.started.at(-1) as number);
  // The hang is not detected yet, and everything else works.
  await send(['a', 'b'], 20);
  await through('b');
  expect([(await job('a')).state, (await job('b')).state]).toEqual(['Running', 'Running']);
  expect((await lost('a')).filter((message) => message.includes('responded'))).toEqual([]);
  await until(
    'the reason is shown',
    async () => (await lost('a')).some((message) => message.includes('has not responded for 15 s')),
    60_000,
  );
  await through('a', 'b');
  await running('a');
  expect(faults.started).toHaveLength(before + 1);
  expect(await lost('b')).toEqual([]);
});
