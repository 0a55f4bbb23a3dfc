import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { whyMissing } from '../../../../scripts/servers.ts';
import { atEnd } from '../../../../test/support/at-end.ts';
import { Kafka } from '../../../../test/support/kafka.ts';
import { type KafkaContext, kafkaContext, sinkTable } from '../../../../test/support/kafka-context.ts';
import { falsify, hideBrokers } from '../../../../test/support/kafka-falsify.ts';
import { skipping } from '../../../../test/support/skipping.ts';
import { PenstockError } from '../../../errors.ts';
import type { Row } from '../../../formats/format.ts';
import type { Field } from '../../../formats/schema/schema.ts';
import type { Outgoing, Sink } from '../../connector.ts';
import { Cluster } from '../connection/cluster.ts';
import { reply } from '../connection/replies.ts';
import { kafka } from '../index.ts';

const missing = whyMissing('Kafka');

const fields: Field[] = [
  { name: 'id', type: 'int64' },
  { name: 'at', type: 'timestamp', unit: 'microsecond' },
  { name: 'meta', type: 'json' },
  { name: 'place', type: 'int32' },
];

describe.skipIf(missing !== undefined)(skipping('a sink of a real Kafka', missing), async () => {
  if (missing !== undefined) return void test('is needed by all of its tests', () => {});
  const server = await Kafka.start();
  let made = 0;
  const newTopic = async (partitions = 1, config: Record<string, string> = {}): Promise<string> => {
    made += 1;
    const topic = `s${made}`;
    await server.createTopic(topic, partitions, config);
    return topic;
  };
  const open = async (topic: string, more: object = {}, own: Partial<KafkaContext> = {}): Promise<Sink> => {
    const context = kafkaContext(server.profile(), sinkTable(topic, more), fields);
    const sink = (await kafka.openSink?.({ ...context, window: 10_000, ...own })) as Sink;
    atEnd(() => sink.close());
    return sink;
  };
  const message = (text: string | Buffer, row: Row = {}): Outgoing => ({ payload: Buffer.from(text), row });
  const many = (count: number, row: (nth: number) => Row = () => ({})): Outgoing[] =>
    Array.from({ length: count }, (_, nth) => message(`m${nth}`, row(nth)));

  test('writes key, headers and time', async () => {
    const topic = await newTopic();
    const sink = await open(topic, { key_field: 'id', timestamp_field: 'at', headers_field: 'meta' });
    const row = { id: 7n, at: 1_700_000_000_123_456n, meta: '{"a":"x","b":[1,null]}' };
    expect(await sink.write([message('v', row), message('w', { id: null, at: null, meta: null })])).toEqual(
      [],
    );
    const [first, second] = await server.read(topic, 2);
    expect([String(first?.key), first?.timestamp]).toEqual(['7', 1_700_000_000_123n]);
    expect(first?.headerEntries.map((entry) => entry.map(String))).toEqual([
      ['a', 'x'],
      ['b', '1'],
      ['b', 'null'],
    ]);
    expect([second?.key ?? null, second?.headerEntries]).toEqual([null, []]);
  });

  test('sends a key to the partition to which Java sends it', async () => {
    const { murmur2 } = await import('@platformatic/kafka');
    // From the tests of Kafka's own Utils.murmur2.
    expect(
      [murmur2('21'), murmur2('foobar'), murmur2('a-little-bit-long-string')].map((hash) => hash | 0),
    ).toEqual([-973932308, -790332482, -985981536]);
    const topic = await newTopic(5);
    const sink = await open(topic, { key_field: 'id' });
    await sink.write(many(50, (nth) => ({ id: BigInt(nth % 10) })));
    const found = await server.read(topic, 50);
    for (const { key, partition } of found)
      expect(partition).toBe(((murmur2(String(key)) | 0) & 0x7fffffff) % 5);
    // In order within a key.
    for (const id of ['0', '7'])
      expect(found.filter(({ key }) => String(key) === id).map(({ value }) => String(value))).toEqual(
        [0, 1, 2, 3, 4].map((round) => `m${round * 10 + Number(id)}`),
      );
  });

  test('sends messages to the partition of a column, and in turn', async () => {
    const topic = await newTopic(3);
    const named = await open(topic, { partition_field: 'place' });
    const refusals = await named.write(many(4, (nth) => ({ place: nth })));
    expect(refusals).toMatchObject([{ index: 3, error: { code: 'bad_row' } }]);
    const inTurn = await open(topic);
    await inTurn.write(many(30));
    const found = await server.read(topic, 33);
    for (const partition of [0, 1, 2])
      expect(found.filter((one) => one.partition === partition)).toHaveLength(11);
  });

  test.each(['gzip', 'snappy', 'lz4', 'zstd'])('compresses with %s', async (compression) => {
    const topic = await newTopic();
    const sink = await open(topic, { compression });
    await sink.write(many(1_000));
    const found = await server.read(topic, 1_000);
    expect(found.map(({ value }) => String(value))).toEqual(
      many(1_000).map(({ payload }) => String(payload)),
    );
  });

  test('divides batches that are too large, and refuses only messages that are', async () => {
    const topic = await newTopic(1, { 'max.message.bytes': '2000' });
    const sink = await open(topic);
    const all = many(300).map((one, nth) =>
      nth === 17 || nth === 200 ? message(Buffer.alloc(5_000, 'x')) : one,
    );
    const refusals = await sink.write(all);
    expect(refusals.map(({ index, error }) => [index, error.code])).toEqual([
      [17, 'kafka_message_refused'],
      [200, 'kafka_message_refused'],
    ]);
    const found = await server.read(topic, 298);
    expect(found.map(({ value }) => String(value))).toEqual(
      many(300).flatMap(({ payload }, nth) => (nth === 17 || nth === 200 ? [] : [String(payload)])),
    );
    expect(await server.count(topic)).toBe(298);
  });

  test('refuses messages without a key for a compacted topic, and old ones for a topic that takes none', async () => {
    const compacted = await newTopic(1, { 'cleanup.policy': 'compact' });
    const first = await open(compacted, { key_field: 'id' });
    const refusals = await first.write(many(10, (nth) => ({ id: nth === 4 ? null : BigInt(nth) })));
    expect(refusals).toMatchObject([{ index: 4, error: { code: 'kafka_message_refused' } }]);
    expect(await server.count(compacted)).toBe(9);
    const strict = await newTopic(1, { 'message.timestamp.before.max.ms': '3600000' });
    const second = await open(strict, { timestamp_field: 'at' });
    const now = BigInt(Date.now()) * 1_000n;
    const late = await second.write(many(10, (nth) => ({ at: nth === 6 ? 1_000_000n : now })));
    expect(late).toMatchObject([{ index: 6, error: { code: 'kafka_message_refused' } }]);
    expect(await server.count(strict)).toBe(9);
  });

  test('refuses a topic that does not exist', async () => {
    await expect(open('nowhere')).rejects.toMatchObject({ code: 'kafka_topic_missing', passing: false });
  });

  test('takes a server that is down for a passing fault, also if another one may never be dialled', async () => {
    const profile = server.profile('direct', { bootstrapServers: '127.0.0.2:9092,127.0.0.1:1' });
    const targets = {
      allowed: <A>(host: string, addresses: readonly A[]): A[] => {
        if (host === '127.0.0.2') throw new PenstockError('target_not_allowed', 'No');
        return [...addresses];
      },
    };
    await expect(open('any', {}, { profile, targets })).rejects.toMatchObject({
      code: 'connection_refused',
      passing: true,
    });
  });

  test('takes a broker for one that is down if the profile has the address that it advertises', async () => {
    const { bootstrapServers } = server.profile('hidden');
    const topic = await newTopic();
    for (const [servers, code] of [
      [bootstrapServers, 'kafka_advertised_unreachable'],
      [`${bootstrapServers},127.0.0.1:1`, 'connection_refused'],
    ]) {
      const profile = server.profile('hidden', { bootstrapServers: servers });
      await expect(open(topic, {}, { profile })).rejects.toMatchObject({ code, passing: true });
    }
  });

  test('begins with any bootstrap server', async () => {
    const servers = [server.profile('linked'), server.profile()].map((one) => one.bootstrapServers);
    const profile = server.profile('direct', { bootstrapServers: servers.join(',') });
    const { accepted } = server.link;
    const context = kafkaContext(profile, sinkTable('any'));
    for (let times = 0; times < 30; times += 1) await (await Cluster.open(context, context.signal)).close();
    expect(server.link.accepted - accepted).toBeGreaterThan(0);
    expect(server.link.accepted - accepted).toBeLessThan(30);
  });

  test('takes a topic for missing only if the broker could say otherwise', async () => {
    const profile = server.profile('linked');
    hideBrokers(server, 'nowhere');
    const error = { code: 'kafka_unavailable', passing: true };
    await expect(open('nowhere', {}, { profile })).rejects.toMatchObject(error);
    // By another name it is asked as another broker is.
    const bootstrapServers = profile.bootstrapServers.replace('127.0.0.1', 'localhost');
    let asked = 0;
    server.taps.tap = (direction, chunk) => {
      if (direction !== 'up' || !chunk.includes('nowhere')) return;
      asked += 1;
      if (asked === 2) server.link.cut();
    };
    const named = { ...profile, bootstrapServers };
    await expect(open('nowhere', {}, { profile: named })).rejects.toMatchObject({ passing: true });
    await server.link.heal();
    await expect(open('nowhere', {}, { profile: named })).rejects.toMatchObject({
      code: 'kafka_topic_missing',
    });
    expect(asked).toBe(4);
  });

  test('sends again what brokers do not take for now, as the same batch, so that it is there once', async () => {
    const topic = await newTopic();
    const sink = await open(topic, {}, { profile: server.profile('linked') });
    const codes = [
      reply.corruptMessage,
      reply.notLeader,
      reply.requestTimedOut,
      reply.notEnoughReplicasAfterAppend,
    ];
    const left = falsify(server, 'Produce', topic, codes);
    const written = await Promise.all([sink.write(many(5)), sink.write(many(4)), sink.write(many(3))]);
    expect(written.flat()).toEqual([]);
    expect(await server.count(topic)).toBe(12);
    expect(left).toEqual([]);
  });

  /** Messages to one of two partitions. */
  const to = (place: number, count: number, bytes = 0): Outgoing[] =>
    Array.from({ length: count }, (_, nth) => message(`p${place}-${nth}.`.padEnd(bytes, '.'), { place }));
  const openTwo = async (config: Record<string, string> = {}, own: Partial<KafkaContext> = {}) => {
    const topic = await newTopic(2, config);
    const profile = server.profile('linked');
    return { topic, sink: await open(topic, { partition_field: 'place' }, { profile, ...own }) };
  };

  test('sends again the same batch although another partition takes smaller ones only', async () => {
    const { topic, sink } = await openTwo({ 'max.message.bytes': '2000' });
    // The broker has it.
    const left = falsify(server, 'Produce', topic, [reply.notEnoughReplicasAfterAppend], 1);
    expect(await sink.write([...to(0, 7, 350), ...to(1, 4, 350)])).toEqual([]);
    expect(left).toEqual([]);
    expect(await server.count(topic)).toBe(11);
  });

  test('keeps to the window while a partition takes nothing, and others go on', async () => {
    const { topic, sink } = await openTwo({}, { window: 10 });
    const codes = Array(4).fill(reply.notEnoughReplicasAfterAppend);
    const left = falsify(server, 'Produce', topic, codes, 1);
    const { tap } = server.taps;
    const requests: string[][] = [];
    server.taps.tap = (direction, chunk) => {
      tap(direction, chunk);
      // The key of a Produce request is 0.
      if (direction === 'up' && chunk.readInt16BE(4) === 0)
        requests.push(chunk.toString('latin1').match(/p[01]-\d+\./g) ?? []);
    };
    const first = sink.write(to(1, 4));
    const others = Array.from({ length: 10 }, () => sink.write(to(0, 10)));
    const last = sink.write(to(1, 20));
    expect((await Promise.all([first, ...others, last])).flat()).toEqual([]);
    expect(left).toEqual([]);
    expect(await server.count(topic)).toBe(124);
    expect(Math.max(...requests.map(({ length }) => length))).toBe(10);
    const held = requests.slice(0, 5);
    for (const each of held)
      expect(each.filter((text) => text.startsWith('p1'))).toEqual(['p1-0.', 'p1-1.', 'p1-2.', 'p1-3.']);
    expect(held.slice(1).map((each) => each.length)).toEqual([10, 10, 10, 10]);
  });

  /** Lets the time pass for this process. */
  const clock = () => {
    const now = performance.now.bind(performance);
    const passed = { ms: 0 };
    const spy = vi.spyOn(performance, 'now').mockImplementation(() => now() + passed.ms);
    onTestFinished(() => spy.mockRestore());
    return passed;
  };

  test('gives up a partition that takes nothing for 30 seconds, also beside one that does', async () => {
    const { topic, sink } = await openTwo();
    falsify(server, 'Produce', topic, Array(1_000).fill(reply.notEnoughReplicas), 1);
    const passed = clock();
    const held = sink.write(to(1, 1)).then(
      () => 'written',
      ({ code }: PenstockError) => code,
    );
    expect(await sink.write(to(0, 1))).toEqual([]);
    for (let times = 0; times < 5; times += 1) {
      passed.ms += 10_000;
      // It goes with the one that is held.
      await sink.write(to(0, 1)).catch(() => {});
    }
    await sink.close();
    expect(await held).toBe('kafka_not_in_sync');
  });

  test('counts the time of each batch on its own, also if the last one was refused', async () => {
    const { topic, sink } = await openTwo();
    const codes = [reply.notEnoughReplicas, reply.invalidRecord, reply.notEnoughReplicas];
    const left = falsify(server, 'Produce', topic, codes, 1);
    const passed = clock();
    expect(await sink.write(to(1, 1))).toMatchObject([{ error: { code: 'kafka_message_refused' } }]);
    passed.ms = 31_000;
    expect(await sink.write(to(1, 1))).toEqual([]);
    expect(left).toEqual([]);
  });

  test('takes a topic that is deleted for a passing fault, because it may come back', async () => {
    const topic = await newTopic();
    const told: unknown[] = [];
    const sink = await open(topic, {}, { lost: (error) => void told.push(error) });
    expect(await sink.write(many(1))).toEqual([]);
    await server.deleteTopic(topic);
    const error = { code: 'kafka_unavailable', passing: true };
    await expect(sink.write(many(1))).rejects.toMatchObject(error);
    // A replay does not end the attempt, and the sink writes nothing any more.
    expect(told).toMatchObject([error]);
  });

  test('writes each message once, in order, over many calls', async () => {
    const topic = await newTopic(2);
    const sink = await open(topic, { key_field: 'id' }, { window: 100 });
    const all = many(5_000, (nth) => ({ id: BigInt(nth % 4) }));
    const calls = Array.from({ length: 50 }, (_, call) =>
      sink.write(all.slice(call * 100, call * 100 + 100)),
    );
    expect((await Promise.all(calls)).flat()).toEqual([]);
    const found = await server.read(topic, 5_000);
    expect(await server.count(topic)).toBe(5_000);
    for (const id of ['0', '1', '2', '3']) {
      const own = found.filter(({ key }) => String(key) === id).map(({ value }) => String(value));
      expect(own).toEqual(Array.from({ length: 1_250 }, (_, round) => `m${round * 4 + Number(id)}`));
    }
  });
});
