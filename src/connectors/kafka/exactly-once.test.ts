import { setTimeout as pause } from 'node:timers/promises';
import { Consumer } from '@platformatic/kafka';
import { describe, expect, test } from 'vitest';
import { whyMissing } from '../../../scripts/servers.ts';
import { atEnd } from '../../../test/support/at-end.ts';
import { quietMs } from '../../../test/support/connector-conformance/subject.ts';
import { Kafka } from '../../../test/support/kafka.ts';
import {
  type KafkaContext,
  kafkaContext,
  readCommitted,
  sinkTable,
  sourceTable,
} from '../../../test/support/kafka-context.ts';
import { falsify } from '../../../test/support/kafka-falsify.ts';
import { onlyInSoak, skipping } from '../../../test/support/skipping.ts';
import { until } from '../../../test/support/until.ts';
import type { Delivery, Outgoing, Refusal, Sink, Source, Transactions } from '../connector.ts';
import type { Position } from '../running.ts';
import { shared } from './config/table.ts';
import { Cluster } from './connection/cluster.ts';
import { GroupOffsets } from './connection/group.ts';
import { TransactionalProducer } from './connection/transactional-producer.ts';
import type { KafkaTransactions } from './connection/transactions.ts';
import { kafka } from './index.ts';
import { takeOver } from './source/takeover.ts';

const soak = process.env.PENSTOCK_SOAK === '1';
const missing = whyMissing('Kafka');

describe.skipIf(missing !== undefined)(skipping('exactly once at a real Kafka', missing), async () => {
  if (missing !== undefined) return void test('is needed by all of its tests', () => {});
  const server = await Kafka.start();
  const producer = server.producer();
  let made = 0;

  interface Topics {
    from: string;
    to: string;
    identity: KafkaContext['identity'];
    group?: string;
    /** The position that is stored with the job. */
    stored?: unknown;
  }

  const newTopics = async (partitions = 1, config: Record<string, string> = {}): Promise<Topics> => {
    made += 1;
    const [from, to] = [`from-${made}`, `to-${made}`];
    await Promise.all([server.createTopic(from, partitions), server.createTopic(to, 1, config)]);
    return { from, to, identity: { jobId: `job-${made}`, operatorId: 'op', taskIndex: 0 } };
  };
  const send = (topic: string, texts: string[], partition = 0) =>
    producer.send({
      acks: -1,
      messages: texts.map((text) => ({ topic, partition, value: Buffer.from(text) })),
    });
  const committed = (topic: string, count: number): Promise<string[]> => {
    let open = count;
    const isLast = (): boolean => {
      open -= 1;
      return open === 0;
    };
    return readCommitted(server.profile(), topic, isLast);
  };

  const openCluster = async (topic: string): Promise<Cluster> => {
    const context = kafkaContext(server.profile(), sourceTable(topic));
    const cluster = await Cluster.open(context, context.signal);
    atEnd(() => cluster.close());
    await cluster.describe(topic);
    return cluster;
  };

  /** A task that passes messages on when the test says so. */
  class Task {
    readonly deliveries: Delivery[] = [];
    readonly sink: Sink;
    readonly source: Source;
    /** The errors with which they ended. */
    readonly errors: unknown[] = [];
    /** The error of which the sink has told. */
    readonly lost: readonly unknown[];
    /** The positions that were to be stored. */
    readonly positions: readonly unknown[];

    private constructor(sink: Sink, source: Source, told: Pick<Task, 'lost' | 'positions'>) {
      this.sink = sink;
      this.source = source;
      this.lost = told.lost;
      this.positions = told.positions;
      void this.#read();
    }

    static async open(
      { from, to, identity, group, stored }: Topics,
      [index, of] = [0, 1] as [number, number],
      stop = new AbortController(),
      /** Called between sink and source. The sink uses the link then. */
      between?: () => void,
    ) {
      const exactly = sinkTable(to, { commit_mode: 'exactly_once' });
      const sinkContext = kafkaContext(server.profile(between ? 'linked' : 'direct'), exactly);
      const own = { identity: { ...identity, taskIndex: index }, window: 10_000, signal: stop.signal };
      const [lost, positions]: unknown[][] = [[], []];
      const sink = (await kafka.openSink?.({
        ...{ ...sinkContext, ...own, transactional: true },
        lost: (error) => void lost?.push(error),
      })) as Sink;
      atEnd(() => sink.close());
      const table = shared(sourceTable(from, group === undefined ? {} : { group_id: group }), index, of);
      const context = kafkaContext(server.profile(), table);
      const position: Position = { stored, commit: (value) => void positions?.push(value) };
      between?.();
      const { transactions } = sink as Required<Sink>;
      const source = (await kafka.openSource?.({ ...context, ...own, position, transactions })) as Source;
      atEnd(() => source.close());
      return new Task(sink, source, { lost: lost ?? [], positions: positions ?? [] });
    }

    async #read(): Promise<void> {
      try {
        for await (const batch of this.source) this.deliveries.push(...batch);
      } catch (error) {
        this.errors.push(error);
      }
    }

    async take(count: number): Promise<string[]> {
      const taken = () => {
        if (this.errors.length > 0) throw this.errors[0];
        return this.deliveries.length >= count;
      };
      await until(`${count} messages`, taken);
      return this.deliveries.map(({ payload }) => String(payload));
    }

    /** Begins a part with some deliveries, and writes their messages. */
    async write(some: readonly Delivery[]) {
      const part = (this.sink.transactions as Transactions).begin(some.map(({ position }) => position));
      const messages: Outgoing[] = some.map(({ payload }) => ({ payload, row: {} }));
      return { part, refusals: messages.length > 0 ? await part.write(messages) : ([] as Refusal[]) };
    }

    /** Passes deliveries on; resolves when they are committed. */
    async pass(some: readonly Delivery[] = this.deliveries): Promise<Refusal[]> {
      const { part, refusals } = await this.write(some);
      await part.commit();
      for (const delivery of some) delivery.ack();
      return refusals;
    }

    async close(): Promise<void> {
      await this.source.close();
      await this.sink.close();
    }
  }

  test('commits messages with offsets, also of those that write nothing, and goes on behind them', async () => {
    const topics = await newTopics();
    await send(topics.from, ['a', 'b', 'c']);
    const first = await Task.open(topics);
    await first.take(3);
    const [a, b, c] = first.deliveries as [Delivery, Delivery, Delivery];
    const parts = await Promise.all([first.write([a]), first.write([])]);
    const part = first.sink.transactions?.begin([b.position]);
    // The part that is not complete holds back the whole transaction.
    await Promise.all([part?.commit(), parts[0].part.commit(), parts[1].part.commit()]);
    const open = await first.write([c]);
    expect(open.refusals).toEqual([]);
    await first.close();
    const second = await Task.open(topics);
    expect(await second.take(1)).toEqual(['c']);
    await second.pass();
    expect(await committed(topics.to, 2)).toEqual(['a', 'c']);
  });

  test('a task that begins fences the former one and what that has not committed', async () => {
    const topics = await newTopics();
    await send(topics.from, ['a', 'b']);
    const first = await Task.open(topics);
    await first.take(2);
    const { part } = await first.write(first.deliveries);
    const second = await Task.open(topics);
    const error = { code: 'kafka_producer_fenced', passing: true };
    await expect(part.commit()).rejects.toMatchObject(error);
    await expect(first.write(first.deliveries)).rejects.toMatchObject(error);
    // Nothing may be on its way that fails with the commit.
    expect(first.lost).toMatchObject([error]);
    expect(await second.take(2)).toEqual(['a', 'b']);
    await second.pass();
    expect(await committed(topics.to, 2)).toEqual(['a', 'b']);
  });

  /** Takes the only partition of a task over, when `begin` has resolved. */
  const takeOverOne = async (
    { from, identity }: Topics,
    transactions: KafkaTransactions,
    begin = async (): Promise<void> => {},
  ) => {
    const cluster = await openCluster(from);
    const topic = await cluster.describe(from);
    const group = await GroupOffsets.of(cluster, `penstock-${identity.jobId}-op`);
    const { signal } = new AbortController();
    const share = { index: 0, of: 1 };
    return takeOver(
      { ...{ cluster, transactions, group, topic, share, signal }, partitions: [0] },
      async ({ offsets }) => {
        await begin();
        return { from: new Map([[0, offsets.get(0) ?? 0n]]), partitionsAtFirst: 1 };
      },
    );
  };
  const transactionsOf = ({ sink }: Pick<Task, 'sink'>) => sink.transactions as KafkaTransactions;

  test('a task that was frozen while it began undoes nothing of the same task elsewhere', async () => {
    const topics = await newTopics();
    await send(topics.from, ['a', 'b']);
    const context = kafkaContext(server.profile(), sinkTable(topics.to, { commit_mode: 'exactly_once' }));
    const sink = (await kafka.openSink?.({ ...context, window: 100, transactional: true })) as Sink;
    atEnd(() => sink.close());
    const thawed = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let begun = 0;
    const frozen = takeOverOne(topics, transactionsOf({ sink }), async () => {
      begun += 1;
      await thawed[begun - 1]?.promise;
    });
    await until('the first task to know the offsets', () => begun === 1);
    const successor = await Task.open(topics);
    await successor.take(2);
    await successor.pass(successor.deliveries.slice(0, 1));
    thawed[0]?.resolve();
    await until('the first task to know the offsets again', () => begun === 2);
    // The other one must not commit offsets that the claim would take back.
    await expect(successor.pass(successor.deliveries.slice(1))).rejects.toMatchObject({
      code: 'kafka_producer_fenced',
    });
    thawed[1]?.resolve();
    expect((await frozen).from).toEqual(new Map([[0, 1n]]));
  });

  test('a task that is fenced takes no new partitions over', async () => {
    const topics = await newTopics();
    await send(topics.from, ['a', 'b']);
    const first = await Task.open(topics);
    const second = await Task.open(topics);
    await expect(takeOverOne(topics, transactionsOf(first))).rejects.toMatchObject({
      code: 'kafka_producer_fenced',
    });
    await second.take(2);
    await second.pass();
    // One that is not fenced does, also with messages on their way.
    await send(topics.from, ['c']);
    await second.take(3);
    const { part } = await second.write(second.deliveries.slice(2));
    const [{ from }] = await Promise.all([takeOverOne(topics, transactionsOf(second)), part.commit()]);
    expect(from).toEqual(new Map([[0, 3n]]));
  });

  test('a group and a topic have ids of their own, whatever hyphens are in their names', async () => {
    const topics = await newTopics();
    await Promise.all(['b-c', 'c'].map((topic) => server.createTopic(topic)));
    await send('b-c', ['a']);
    const first = await Task.open({ ...topics, from: 'b-c', group: 'a' });
    await Task.open({ ...topics, from: 'c', group: 'a-b' });
    await first.take(1);
    expect(await first.pass()).toEqual([]);
  });

  test('with another number of tasks the former owners of partitions are fenced', async () => {
    const topics = { ...(await newTopics(2)), group: 'a group, with spaces' };
    await Promise.all([send(topics.from, ['a0', 'b0'], 0), send(topics.from, ['a1', 'b1'], 1)]);
    const [even, odd] = await Promise.all([Task.open(topics, [0, 2]), Task.open(topics, [1, 2])]);
    await Promise.all([even.take(2), odd.take(2)]);
    await even.pass(even.deliveries.slice(0, 1));
    const { part } = await odd.write(odd.deliveries);
    const all = await Task.open(topics, [0, 1]);
    const late = await Promise.allSettled([part.commit(), even.pass(even.deliveries.slice(1))]);
    const fenced = { status: 'rejected', reason: { code: 'kafka_producer_fenced' } };
    expect(late).toMatchObject([fenced, fenced]);
    expect((await all.take(3)).sort()).toEqual(['a1', 'b0', 'b1']);
    await all.pass();
    expect((await committed(topics.to, 4)).sort()).toEqual(['a0', 'a1', 'b0', 'b1']);
  });

  test('tasks that begin at once do not fence each other for good', async () => {
    const topics = await newTopics(6);
    const all = Array.from({ length: 6 }, (_, index) => index);
    await Promise.all(all.map((partition) => send(topics.from, [`m${partition}`], partition)));
    const tasks = await Promise.all(all.map((index) => Task.open(topics, [index, 6])));
    for (const task of tasks) {
      await task.take(1);
      await task.pass();
    }
    expect((await committed(topics.to, 6)).sort()).toEqual(all.map((partition) => `m${partition}`));
  });

  test('a task begins while another commits', async () => {
    const topics = await newTopics(2);
    await send(topics.from, ['a'], 0);
    const cluster = await openCluster(topics.from);
    const other = await TransactionalProducer.open(cluster, 'other');
    const group = `penstock-${topics.identity.jobId}-op`;
    await other.addOffsets({ group, topic: topics.from, offsets: new Map([[1, 0n]]), metadata: '' });
    const task = await Task.open(topics, [0, 2]);
    expect(await task.take(1)).toEqual(['a']);
    await other.end('abort');
  });

  test('a message that the topic refuses leaves the transaction with the others', async () => {
    const topics = await newTopics(1, { 'max.message.bytes': '2000' });
    await send(topics.from, ['a', 'x'.repeat(5_000), 'b']);
    const task = await Task.open(topics);
    await task.take(3);
    expect(await task.pass()).toMatchObject([{ index: 1, error: { code: 'kafka_message_refused' } }]);
    await task.close();
    await send(topics.from, ['c']);
    const next = await Task.open(topics);
    expect(await next.take(1)).toEqual(['c']);
    await next.pass();
    expect(await committed(topics.to, 3)).toEqual(['a', 'b', 'c']);
  });

  test.skipIf(!soak)(skipping('takes over partitions that are new', onlyInSoak), async () => {
    const topics = await newTopics();
    const task = await Task.open(topics);
    await server.addPartitions(topics.from, 2);
    await send(topics.from, ['new'], 1);
    expect(await task.take(1)).toEqual(['new']);
    await task.pass();
    await task.close();
    const other = await Task.open(topics, [1, 2]);
    await send(topics.from, ['next'], 1);
    expect(await other.take(1)).toEqual(['next']);
  });

  test('a task that is stopped at once leaves no transaction open', async () => {
    const topics = await newTopics();
    await send(topics.from, ['a']);
    const stop = new AbortController();
    const task = await Task.open(topics, [0, 1], stop);
    await task.take(1);
    await task.write(task.deliveries);
    stop.abort(new Error('stopped'));
    await task.close();
    await producer.send({
      acks: -1,
      messages: [{ topic: topics.to, partition: 0, value: Buffer.from('z') }],
    });
    // Behind a transaction that is open it could not be read.
    expect(await committed(topics.to, 1)).toEqual(['z']);
  });

  test.each(['AddPartitionsToTxn', 'TxnOffsetCommit'] as const)(
    'tries again if a coordinator has not heard of the topic yet: %s',
    async (request) => {
      const topics = await newTopics();
      await send(topics.from, ['a']);
      const about = request === 'TxnOffsetCommit' ? topics.from : topics.to;
      const begun = async () => {
        const stop = new AbortController();
        const task = await Task.open(topics, [0, 1], stop, () => falsify(server, request, about, [3]));
        await task.take(1);
        await task.pass();
      };
      await expect(begun()).rejects.toMatchObject({ code: 'kafka_unavailable', passing: true });
      server.taps.tap = () => {};
      const next = await Task.open(topics);
      await next.take(1);
      await next.pass();
      expect(await committed(topics.to, 1)).toEqual(['a']);
    },
  );

  test('an abort waits for requests on their way, and nothing is sent behind it', async () => {
    const { to } = await newTopics();
    const late = await TransactionalProducer.open(await openCluster(to), 'late');
    await late.add(to, [0]);
    const responded = Promise.withResolvers<void>();
    const sent = late.send(() => responded.promise);
    const aborted = late.abort();
    await expect(late.add(to, [0, 1])).rejects.toMatchObject({ code: 'connection_lost' });
    // The marker of an abort counts.
    await pause(quietMs);
    expect(await server.count(to)).toBe(0);
    responded.resolve();
    await Promise.all([sent, aborted]);
    await until('the marker', async () => (await server.count(to)) === 1);
  });

  test('a stop does not wait for a broker that is silent while the task begins', async () => {
    const topics = await newTopics();
    const stop = new AbortController();
    let requests = 0;
    const silence = (): void => {
      server.link.blackhole();
      server.taps.tap = (direction) => {
        if (direction === 'up') requests += 1;
      };
    };
    const stopped = expect(Task.open(topics, [0, 1], stop, silence)).rejects.toThrow('stopped');
    await until('the source to take over', () => requests > 0);
    stop.abort(new Error('stopped'));
    await stopped;
    await server.link.heal();
  });

  test('goes on behind what it has committed of a topic that was created again, although its stored position is older', async () => {
    const topics = await newTopics();
    await send(topics.from, ['old']);
    const first = await Task.open(topics);
    await first.take(1);
    await first.pass();
    await first.close();
    const stored = first.positions.at(-1);
    await server.deleteTopic(topics.from);
    await server.createTopic(topics.from);
    await send(topics.from, ['a', 'b']);
    const second = await Task.open({ ...topics, stored });
    expect(await second.take(2)).toEqual(['a', 'b']);
    await second.pass(second.deliveries.slice(0, 1));
    await second.close();
    const third = await Task.open({ ...topics, stored });
    expect(await third.take(1)).toEqual(['b']);
  });

  test('refuses a group with members, which brokers do not', async () => {
    const topics = await newTopics();
    const groupId = `penstock-${topics.identity.jobId}-op`;
    const consumer = new Consumer({ clientId: 'test', groupId, bootstrapBrokers: [server.address] });
    atEnd(() => consumer.close(true));
    await consumer.consume({ topics: [topics.from], autocommit: false });
    await expect(Task.open(topics)).rejects.toMatchObject({ code: 'kafka_group_in_use' });
  });

  test('refuses a source at another cluster', async () => {
    const topics = await newTopics();
    const { sink } = await Task.open(topics);
    const elsewhere = { value: { id: 'elsewhere' } };
    const transactions = Object.create(sink.transactions as Transactions, { cluster: elsewhere });
    const context = { ...kafkaContext(server.profile(), sourceTable(topics.from)), transactions };
    await expect(kafka.openSource?.(context)).rejects.toMatchObject({
      code: 'kafka_other_cluster',
      passing: false,
    });
  });
});
