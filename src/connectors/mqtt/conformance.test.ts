import { afterAll } from 'vitest';
import { testCheck } from '../../../test/support/connector-conformance/check.ts';
import { testSink } from '../../../test/support/connector-conformance/sink.ts';
import { testSource } from '../../../test/support/connector-conformance/source.ts';
import { FaultyLink } from '../../../test/support/faulty-link.ts';
import { mosquitto, scripted } from '../../../test/support/fixtures.ts';
import {
  type MqttContext,
  plainClient,
  sinkContext,
  sourceContext,
  unique,
} from '../../../test/support/mqtt.ts';
import { until } from '../../../test/support/until.ts';
import { mqtt } from './index.ts';

const broker = await mosquitto({
  config: ['max_queued_messages 0', 'max_queued_bytes 0'],
});
// A separate broker, so that leftovers of a test show.
const tested = await mosquitto({ config: ['sys_interval 1'] });
const other = await plainClient(broker.url);
const watcher = await plainClient(tested.url);
const links: FaultyLink[] = [];
afterAll(async () => {
  await Promise.all([other.endAsync(), watcher.endAsync()]);
  for (const link of links) await link.stop();
});

const arrived = new Map<string, string[]>();
const facts = new Map<string, string>();
other.on('message', (topic, payload) => {
  arrived.set(topic, [...(arrived.get(topic) ?? []), String(payload)]);
});
await other.subscribeAsync('out/#', { qos: 1 });
watcher.on('message', (topic, payload) => facts.set(topic, String(payload)));
await watcher.subscribeAsync('$SYS/broker/#');

const profile = { url: broker.url };
const subject = { connector: mqtt, dials: true };

/** A context over a link that can be cut. */
const breakable = (context: () => MqttContext) => async () => {
  const link = await FaultyLink.start(broker.port, () => () => {});
  links.push(link);
  const own = context();
  return { context: { ...own, profile: { ...own.profile, url: link.url } }, cut: () => link.cut() };
};

const reading = () => sourceContext(profile, `in/${unique()}`);
testSource({
  ...subject,
  context: reading,
  breakable: breakable(reading),
  keeps: true,
  maxBytes: 64 * 1024 * 1024,
  async send({ table }, count, bytes = 1) {
    for (let index = 0; index < count; index += 1)
      await other.publishAsync((table as MqttContext['table']).topic, `m${index}`.padEnd(bytes, '.'), {
        qos: 1,
      });
  },
});

const writing = () => sinkContext({ ...profile, maxPacketSize: 1000 }, `out/${unique()}`);
testSink({
  ...subject,
  context: writing,
  breakable: breakable(writing),
  refused: { message: { payload: Buffer.alloc(2000), row: {} }, code: 'mqtt_packet_too_large' },
  written: ({ table }) => arrived.get((table as MqttContext['table']).topic) ?? [],
  async stalled() {
    const server = await scripted({ on: ({ cmd }) => cmd === 'publish' });
    const context = sinkContext({ url: server.url }, 'a/b');
    return { context, sent: () => server.connection.of('publish').length };
  },
});

testCheck({
  ...subject,
  context: () => sinkContext({ url: tested.url }, `out/${unique()}`),
  async traces() {
    const names = ['clients/total', 'subscriptions/count', 'retained messages/count'];
    const counts = () => names.map((name) => facts.get(`$SYS/broker/${name}`));
    let before: unknown[] = [];
    await until('the broker to count the same twice', async () => {
      // It counts late, and the watcher has to be the only client that is left.
      const same = String(before) === String(counts()) && before[0] === '1' && before.every(Boolean);
      before = counts();
      if (!same) await new Promise((resolve) => setTimeout(resolve, 1500));
      return same;
    });
    return before;
  },
});
