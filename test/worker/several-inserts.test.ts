import type { MqttClient } from 'mqtt';
import { beforeAll, expect, test } from 'vitest';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient } from '../support/mqtt.ts';
import { created, jobOf } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

let near: Mosquitto;
let far: Mosquitto;
let service: Service;
const clients: MqttClient[] = [];
beforeAll(async () => {
  [near, far] = [await Mosquitto.start(), await Mosquitto.start()];
  service = await startService({ worker: true });
});

/** A client with a persistent session, and all messages that it receives. */
async function listen(url: string, topic: string): Promise<{ client: MqttClient; seen: Set<string> }> {
  const clientId = `ears_${topic.replace('/', '_')}`;
  const client = await plainClient(url, { protocolVersion: 4, clean: false, clientId, reconnectPeriod: 100 });
  clients.push(client);
  client.on('error', () => {});
  const seen = new Set<string>();
  client.on('message', (_topic, payload) => seen.add(String(payload)));
  await client.subscribeAsync(topic, { qos: 1 });
  return { client, seen };
}

test('an INSERT whose sink is unavailable delays no other and loses nothing', async () => {
  const here = await listen(near.url, 'out/here');
  const there = await listen(far.url, 'out/there');
  const table = (name: string, url: string, type: string, topic: string): string =>
    `CREATE TABLE ${name} (value TEXT) WITH (connector = 'mqtt', url = '${url}', type = '${type}', topic = '${topic}',
      qos = 'AtLeastOnce', format = 'raw_string');`;
  const query = `${table('i', near.url, 'source', 'in')} ${table('h', near.url, 'sink', 'out/here')}
    ${table('t', far.url, 'sink', 'out/there')} INSERT INTO h SELECT * FROM i; INSERT INTO t SELECT * FROM i;`;
  const { id } = await created(service.request, '/pipelines', { name: 'two', query, parallelism: 1 });
  await until('it runs', async () => (await jobOf(service.request, id)).state === 'Running');
  const send = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++) await here.client.publishAsync('in', `m${n}`, { qos: 1 });
  };
  const all = (count: number) => new Set(Array.from({ length: count }, (_, n) => `m${n}`));

  await send(0, 20);
  await until('both have them', async () => here.seen.size === 20 && there.seen.size === 20);
  await far.kill('SIGTERM');
  await send(20, 40);
  await until('the near one has more', async () => here.seen.size === 40);
  expect(there.seen).toEqual(all(20));
  await far.resume();
  await until('the far one has them too', async () => there.seen.size === 40, 60_000);
  expect([here.seen, there.seen]).toEqual([all(40), all(40)]);
});
