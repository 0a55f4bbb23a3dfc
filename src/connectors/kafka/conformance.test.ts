import { describe, test } from 'vitest';
import { whyMissing } from '../../../scripts/servers.ts';
import { testSink } from '../../../test/support/connector-conformance/sink.ts';
import { testSource } from '../../../test/support/connector-conformance/source.ts';
import { Kafka } from '../../../test/support/kafka.ts';
import { kafkaContext, sinkTable, sourceTable } from '../../../test/support/kafka-context.ts';
import { skipping } from '../../../test/support/skipping.ts';
import { kafka } from './index.ts';

const missing = whyMissing('Kafka');

describe.skipIf(missing !== undefined)(skipping('a real Kafka', missing), async () => {
  if (missing !== undefined) return void test('is needed by all of its tests', () => {});
  const server = await Kafka.start({ config: ['message.max.bytes=20000000', 'log.segment.bytes=100000000'] });
  const topics = Array.from({ length: 60 }, (_, nth) => `c${nth}`);
  await server.admin((admin) => admin.createTopics({ topics, partitions: 1, replicas: 1 }));
  const producer = server.producer();
  const free = () => topics.pop() as string;
  const breakable = async () => {
    server.taps.tap = () => {};
    await server.link.heal();
    return server.profile('linked', { requestTimeoutMs: 2_000 });
  };

  testSource({
    connector: kafka,
    dials: true,
    keeps: true,
    maxBytes: 64 * 1024 * 1024,
    context: () => kafkaContext(server.profile(), sourceTable(free())),
    async send({ table }, count, bytes = 0) {
      const { topic } = table as { topic: string };
      const value = (index: number) => Buffer.from(`m${index}`.padEnd(bytes, '.'));
      for (let index = 0; index < count; index += 1)
        await producer.send({ acks: -1, messages: [{ topic, partition: 0, value: value(index) }] });
    },
    breakable: async () => {
      const profile = await breakable();
      return { context: kafkaContext(profile, sourceTable(free())), cut: () => server.link.cut() };
    },
  });

  const seen = new Map<string, string[]>();
  const reading = new Set<string>();
  const look = async (topic: string): Promise<void> => {
    if (reading.has(topic)) return;
    reading.add(topic);
    const count = await server.count(topic);
    const found = count === 0 ? [] : await server.read(topic, count);
    seen.set(
      topic,
      found.map(({ value }) => String(value)),
    );
    reading.delete(topic);
  };

  testSink({
    connector: kafka,
    dials: true,
    context: () => kafkaContext(server.profile(), sinkTable(free())),
    written({ table }) {
      const { topic } = table as { topic: string };
      void look(topic);
      return seen.get(topic) ?? [];
    },
    refused: {
      message: { payload: Buffer.alloc(21_000_000, 'x'), row: {} },
      code: 'kafka_message_refused',
    },
    breakable: async () => {
      const profile = await breakable();
      return { context: kafkaContext(profile, sinkTable(free())), cut: () => server.link.cut() };
    },
    async stalled() {
      const profile = await breakable();
      let sent = 0;
      server.taps.tap = (direction, chunk) => {
        // The key of a Produce request is 0.
        if (direction !== 'up' || chunk.readInt16BE(4) !== 0) return;
        sent += chunk.toString('latin1').match(/m\d/g)?.length ?? 0;
        server.link.blackhole();
      };
      return { context: kafkaContext(profile, sinkTable(free())), sent: () => sent };
    },
  });
});
