import { describe, expect, test } from 'vitest';
import { whyMissing } from '../../../../scripts/servers.ts';
import { atEnd } from '../../../../test/support/at-end.ts';
import { Kafka } from '../../../../test/support/kafka.ts';
import { type KafkaContext, kafkaContext, sourceTable } from '../../../../test/support/kafka-context.ts';
import { falsify } from '../../../../test/support/kafka-falsify.ts';
import { skipping } from '../../../../test/support/skipping.ts';
import { until } from '../../../../test/support/until.ts';
import type { PenstockError } from '../../../errors.ts';
import type { Delivery, Source } from '../../connector.ts';
import type { KafkaTable } from '../config/table.ts';
import { shared } from '../config/table.ts';
import { kafka } from '../index.ts';

const missing = whyMissing('Kafka');

describe.skipIf(missing !== undefined)(skipping('a source of a real Kafka', missing), async () => {
  if (missing !== undefined) return void test('is needed by all of its tests', () => {});
  const server = await Kafka.start();
  const producer = server.producer();
  let made = 0;
  const newTopic = async (partitions = 1): Promise<string> => {
    made += 1;
    const topic = `t${made}`;
    await server.createTopic(topic, partitions);
    return topic;
  };
  const send = async (topic: string, texts: string[], partition = 0, by = producer) => {
    const messages = texts.map((text) => ({ topic, partition, value: Buffer.from(text) }));
    await by.send({ acks: -1, messages });
  };

  /** The context of one of several tasks. */
  const task = (own: KafkaContext, index: number, of: number): KafkaContext => ({
    ...own,
    table: shared(own.table, index, of),
    identity: { ...own.identity, taskIndex: index },
  });

  /** A source that keeps its position, as the worker does. */
  class Running {
    readonly deliveries: Delivery[] = [];
    readonly warnings: string[] = [];
    end: Promise<unknown> = Promise.resolve();
    #source: Source | undefined;
    #stored: { value: unknown };

    private constructor(stored: { value: unknown }) {
      this.#stored = stored;
    }

    static async open(
      context: KafkaContext,
      stored: { value: unknown } = { value: undefined },
    ): Promise<Running> {
      const running = new Running(stored);
      const position = {
        stored: JSON.parse(JSON.stringify(stored.value ?? null)) ?? undefined,
        commit: (value: unknown) => {
          stored.value = JSON.parse(JSON.stringify(value));
        },
      };
      const warn = ({ code }: PenstockError) => void running.warnings.push(code);
      running.#source = await kafka.openSource?.({ ...context, position, warn });
      atEnd(() => running.close());
      running.end = running.#read();
      return running;
    }

    get stored(): { value: unknown } {
      return this.#stored;
    }

    get texts(): string[] {
      return this.deliveries.map(({ payload }) => String(payload));
    }

    async take(count: number): Promise<string[]> {
      await until(`${count} messages`, () => this.deliveries.length >= count);
      return this.texts;
    }

    ack(from = 0, to = this.deliveries.length): void {
      for (const delivery of this.deliveries.slice(from, to)) delivery.ack();
    }

    async close(): Promise<void> {
      await this.#source?.close();
    }

    async #read(): Promise<unknown> {
      try {
        for await (const batch of this.#source as Source) this.deliveries.push(...batch);
        return undefined;
      } catch (error) {
        return error;
      }
    }
  }

  const context = (table: KafkaTable, more: Partial<KafkaContext> = {}) => ({
    ...kafkaContext(server.profile(), table),
    ...more,
  });

  test('begins at the end with latest, and misses nothing that comes from then on', async () => {
    const topic = await newTopic();
    await send(topic, ['before']);
    const own = context(sourceTable(topic, { offset: 'latest' }));
    const first = await Running.open(own);
    await first.close();
    await send(topic, ['while it was away']);
    expect(await (await Running.open(own)).take(1)).toEqual(['while it was away']);
  });

  test('commits to the group what is acknowledged, and goes on there without its position', async () => {
    const topic = await newTopic(2);
    const own = context(sourceTable(topic, { group_id: 'visible' }));
    const first = await Running.open(own);
    await send(topic, ['a0', 'a1', 'a2']);
    await send(topic, ['b0'], 1);
    await first.take(4);
    for (const delivery of first.deliveries) if (String(delivery.payload) !== 'a2') delivery.ack();
    await first.close();
    const offsets = await server.admin((admin) =>
      admin.listConsumerGroupOffsets({
        groups: [{ groupId: 'visible', topics: [{ name: topic, partitionIndexes: [0, 1] }] }],
      }),
    );
    const found = offsets[0]?.topics[0]?.partitions.map(({ partitionIndex, committedOffset }) => [
      partitionIndex,
      Number(committedOffset),
    ]);
    // Acknowledgements count in order of receipt, over all partitions.
    expect(found?.find(([partition]) => partition === 0)?.[1]).toBe(2);
    const second = await Running.open(own);
    expect(await second.take(1)).toContain('a2');
  });

  test('begins at the offsets of the group, and refuses a group without them', async () => {
    const topic = await newTopic();
    await send(topic, ['m0', 'm1']);
    const table = sourceTable(topic, { offset: 'group', group_id: 'prepared' });
    await expect(Running.open(context(table))).rejects.toMatchObject({ code: 'kafka_group_offsets_missing' });
    const earliest = await Running.open(context(sourceTable(topic, { group_id: 'prepared' })));
    await earliest.take(2);
    earliest.ack(0, 1);
    await earliest.close();
    expect(await (await Running.open(context(table))).take(1)).toEqual(['m1']);
  });

  test('refuses a group with members', async () => {
    const topic = await newTopic();
    const { Consumer } = await import('@platformatic/kafka');
    const member = new Consumer({ clientId: 'm', groupId: 'busy', bootstrapBrokers: [server.address] });
    atEnd(() => member.close(true));
    await member.consume({ topics: [topic], mode: 'earliest' });
    await expect(Running.open(context(sourceTable(topic, { group_id: 'busy' })))).rejects.toMatchObject({
      code: 'kafka_group_in_use',
    });
  });

  test('divides partitions between tasks, also when their number changes', async () => {
    const topic = await newTopic(4);
    const own = context(sourceTable(topic));
    for (const partition of [0, 1, 2, 3]) await send(topic, [`p${partition}`], partition);
    const tasks = await Promise.all([0, 1].map((index) => Running.open(task(own, index, 2))));
    const [even, odd] = await Promise.all(tasks.map((each) => each.take(2)));
    expect(even?.toSorted()).toEqual(['p0', 'p2']);
    expect(odd?.toSorted()).toEqual(['p1', 'p3']);
    for (const each of tasks) {
      each.ack();
      await each.close();
    }
    for (const partition of [0, 1, 2, 3]) await send(topic, [`q${partition}`], partition);
    const one = await Running.open(own);
    expect((await one.take(4)).toSorted()).toEqual(['q0', 'q1', 'q2', 'q3']);
  });

  test('leaves out what a transaction has aborted, if it is to', async () => {
    const topic = await newTopic();
    const transactional = server.producer({ transactionalId: 'tx-1' });
    const write = async (text: string, commit: boolean) => {
      const transaction = await transactional.beginTransaction();
      await transaction.send({ messages: [{ topic, partition: 0, value: Buffer.from(text) }] });
      await (commit ? transaction.commit() : transaction.abort());
    };
    await write('committed', true);
    await write('aborted', false);
    await send(topic, ['plain']);
    await write('last', true);
    const committed = await Running.open(context(sourceTable(topic, { read_mode: 'read_committed' })));
    expect(await committed.take(3)).toEqual(['committed', 'plain', 'last']);
    const all = await Running.open(context(sourceTable(topic)));
    expect(await all.take(4)).toEqual(['committed', 'aborted', 'plain', 'last']);
    // The markers behind the last message count as read.
    committed.ack();
    await committed.close();
    expect(committed.stored.value).toMatchObject({ offsets: { 0: String(await server.count(topic)) } });
  });

  test('reads every compression, keys, headers and times', async () => {
    const topic = await newTopic();
    for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)
      await producer.send({
        acks: -1,
        compression,
        messages: [
          {
            topic,
            partition: 0,
            key: Buffer.from('k'),
            value: Buffer.from(compression.repeat(100)),
            timestamp: 1_700_000_000_123n,
            headers: new Map([[Buffer.from('h'), Buffer.from('v')]]),
          },
        ],
      });
    const source = await Running.open(context(sourceTable(topic)));
    await source.take(5);
    expect(source.texts[4]).toBe('zstd'.repeat(100));
    const { metadata } = source.deliveries[3] as Delivery;
    expect(
      ['offset_id', 'partition', 'topic', 'timestamp', 'time', 'key', 'key_text', 'headers'].map(
        (name) => metadata[name],
      ),
    ).toEqual([3n, 0, topic, 1_700_000_000_123n, 1_700_000_000_123_000n, Buffer.from('k'), 'k', '{"h":"v"}']);
  });

  test('says that messages were deleted before it read them, and goes on', async () => {
    const topic = await newTopic();
    const own = context(sourceTable(topic));
    const first = await Running.open(own);
    await first.close();
    await send(topic, ['m0', 'm1', 'm2']);
    await server.admin((admin) =>
      admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 2n }] }] }),
    );
    const second = await Running.open(own, first.stored);
    expect(await second.take(1)).toEqual(['m2']);
    expect(second.warnings).toEqual(['kafka_messages_deleted']);
  });

  test('goes on at the end of a partition that ends before its offset', async () => {
    const topic = await newTopic();
    const own = context(sourceTable(topic, { group_id: 'beyond' }));
    const first = await Running.open(own);
    await first.close();
    await send(topic, ['m0']);
    await server.admin((admin) =>
      admin.alterConsumerGroupOffsets({
        groupId: 'beyond',
        topics: [{ name: topic, partitionOffsets: [{ partition: 0, offset: 100n }] }],
      }),
    );
    const second = await Running.open(own, first.stored);
    await until('the warning', () => second.warnings.length > 0);
    expect(second.warnings).toEqual(['kafka_offset_beyond_end']);
    await send(topic, ['m1']);
    expect(await second.take(1)).toEqual(['m1']);
  });

  test('shows the newest messages and those that come, and leaves no group behind', async () => {
    const topic = await newTopic();
    await send(
      topic,
      Array.from({ length: 30 }, (_, nth) => `m${nth}`),
    );
    const groups = () => server.admin((admin) => admin.listGroups());
    const before = [...(await groups()).keys()];
    const { profile, table, targets } = context(sourceTable(topic));
    const abort = new AbortController();
    const seen: string[] = [];
    const listening = Promise.withResolvers<void>();
    const watching = kafka.watch?.({
      profile,
      table,
      targets,
      signal: abort.signal,
      listening: () => listening.resolve(),
      deliver: ({ payload }) => void seen.push(String(payload)),
    });
    await listening.promise;
    await send(topic, ['new']);
    await until('the new message', () => seen.includes('new'));
    expect(seen).toEqual([...Array.from({ length: 10 }, (_, nth) => `m${nth + 20}`), 'new']);
    const reason = new Error('enough');
    abort.abort(reason);
    await expect(watching).rejects.toBe(reason);
    expect([...(await groups()).keys()]).toEqual(before);
  });

  test('begins at the start of a topic that was created again', async () => {
    const topic = await newTopic();
    const own = context(sourceTable(topic, { offset: 'latest' }));
    const first = await Running.open(own);
    await send(topic, ['old 0', 'old 1']);
    await first.take(2);
    first.ack();
    await until('the offset to be stored', () => JSON.stringify(first.stored.value).includes('"2"'));
    await server.deleteTopic(topic);
    await server.createTopic(topic, 2);
    await send(topic, ['new 0', 'new 1', 'new 2']);
    // The other producer believes for a while that there is one partition.
    await send(topic, ['new 3'], 1, server.producer());
    expect(await first.end).toMatchObject({ passing: true });
    await first.close();
    const second = await Running.open(task(own, 0, 2), first.stored);
    expect(await second.take(3)).toEqual(['new 0', 'new 1', 'new 2']);
    expect(second.warnings).toEqual(['kafka_topic_recreated']);
    expect(await (await Running.open(task(own, 1, 2))).take(1)).toEqual(['new 3']);
  });

  test('ends when its topic is deleted', async () => {
    const topic = await newTopic();
    const own = context(sourceTable(topic));
    const source = await Running.open(own);
    await server.deleteTopic(topic);
    expect(await source.end).toMatchObject({ code: 'kafka_unavailable', passing: true });
    await expect(Running.open(own)).rejects.toMatchObject({ code: 'kafka_topic_missing', passing: false });
  });

  test.each(['ListOffsets', 'OffsetCommit'] as const)(
    'tries again if a broker has not heard of the topic yet: %s',
    async (request) => {
      const topic = await newTopic();
      const own = { ...context(sourceTable(topic)), profile: server.profile('linked') };
      const left = falsify(server, request, topic, [3]);
      await expect(Running.open(own)).rejects.toMatchObject({ code: 'kafka_unavailable', passing: true });
      expect(left).toEqual([]);
      await Running.open(own);
    },
  );

  test('reads a new partition from its start', async () => {
    const topic = await newTopic();
    const source = await Running.open(context(sourceTable(topic, { offset: 'latest' })));
    await server.addPartitions(topic, 2);
    await send(topic, ['in the new one'], 1);
    expect((await source.take(1))[0]).toBe('in the new one');
  });

  test.each(['latest', 'group'] as const)(
    'a task that had no partition reads its first one from its start: %s',
    async (offset) => {
      const topic = await newTopic(2);
      const own = context(sourceTable(topic, { offset: 'latest' }));
      const tasks = await Promise.all([0, 1, 2].map((index) => Running.open(task(own, index, 3))));
      for (const each of tasks) await each.close();
      await server.addPartitions(topic, 3);
      await send(topic, ['while it was away'], 2);
      const later = { ...own, table: sourceTable(topic, { offset }) };
      const idle = await Running.open(task(later, 2, 3), tasks[2]?.stored);
      expect(await idle.take(1)).toEqual(['while it was away']);
    },
  );

  test('a task that had no partition knows that it was there, also when the offsets of the group are gone', async () => {
    const topic = await newTopic();
    const own = context(sourceTable(topic, { offset: 'latest', group_id: 'gone too' }));
    const tasks = await Promise.all([0, 1].map((index) => Running.open(task(own, index, 2))));
    for (const each of tasks) await each.close();
    await server.admin((admin) => admin.deleteGroups({ groups: ['gone too'] }));
    await server.addPartitions(topic, 2);
    await send(topic, ['while it was away'], 1);
    const idle = await Running.open(task(own, 1, 2), tasks[1]?.stored);
    expect(await idle.take(1)).toEqual(['while it was away']);
  });

  test.each(['latest', 'group'] as const)(
    'a new task reads a new partition from its start: %s',
    async (offset) => {
      const topic = await newTopic();
      const own = context(sourceTable(topic, { offset: 'latest' }));
      const first = await Running.open(own);
      await first.close();
      await server.addPartitions(topic, 2);
      await send(topic, ['while it was away'], 1);
      const later = { ...own, table: sourceTable(topic, { offset }) };
      // Its offsets are committed again, and the new partition stays a new one.
      await Running.open(task(later, 0, 2), first.stored);
      expect(await (await Running.open(task(later, 1, 2))).take(1)).toEqual(['while it was away']);
    },
  );

  test.each(['latest', 'group'] as const)(
    'reads what a group of another program has no offset for from its start: %s',
    async (offset) => {
      const topic = await newTopic(2);
      const group = `foreign ${offset}`;
      await send(topic, ['unread'], 1);
      await server.admin((admin) =>
        admin.alterConsumerGroupOffsets({
          groupId: group,
          topics: [{ name: topic, partitionOffsets: [{ partition: 0, offset: 0n }] }],
        }),
      );
      const own = context(sourceTable(topic, { offset, group_id: group }));
      // It commits for its own partition, and the group stays one that was there before.
      await Running.open(task(own, 0, 2));
      expect(await (await Running.open(task(own, 1, 2))).take(1)).toEqual(['unread']);
    },
  );

  test('a task that begins after another at the first start begins at the end with latest', async () => {
    const topic = await newTopic(2);
    for (const partition of [0, 1]) await send(topic, ['before'], partition);
    const own = context(sourceTable(topic, { offset: 'latest' }));
    await Running.open(task(own, 0, 2));
    const second = await Running.open(task(own, 1, 2));
    await send(topic, ['from then on'], 1);
    expect(await second.take(1)).toEqual(['from then on']);
  });

  test('goes on at the stored position when the offsets of the group are gone', async () => {
    const topic = await newTopic();
    const own = context(sourceTable(topic, { group_id: 'gone', offset: 'latest' }));
    const first = await Running.open(own);
    await send(topic, ['m0', 'm1']);
    await first.take(2);
    first.ack(0, 1);
    await first.close();
    await server.admin((admin) => admin.deleteGroups({ groups: ['gone'] }));
    const second = await Running.open(own, first.stored);
    expect(await second.take(1)).toEqual(['m1']);
    expect(second.warnings).toEqual(['kafka_offsets_expired']);
  });

  test('follows offsets that someone has set at the group', async () => {
    const topic = await newTopic();
    const own = context(sourceTable(topic, { group_id: 'reset' }));
    const first = await Running.open(own);
    await send(topic, ['m0', 'm1']);
    await first.take(2);
    first.ack();
    await first.close();
    await server.admin((admin) =>
      admin.alterConsumerGroupOffsets({
        groupId: 'reset',
        topics: [{ name: topic, partitionOffsets: [{ partition: 0, offset: 0n }] }],
      }),
    );
    expect(await (await Running.open(own, first.stored)).take(2)).toEqual(['m0', 'm1']);
  });
});
