import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { ChannelModel, ConfirmChannel } from 'amqplib';
import { describe, expect, test } from 'vitest';
import { atEnd } from '../../../test/support/at-end.ts';
import { makeAuthority, makeClient, makeServer } from '../../../test/support/certificates.ts';
import { testCheck } from '../../../test/support/connector-conformance/check.ts';
import { testSink } from '../../../test/support/connector-conformance/sink.ts';
import { testSource } from '../../../test/support/connector-conformance/source.ts';
import { isPending, runContext } from '../../../test/support/connector-conformance/subject.ts';
import { allDeadLetters } from '../../../test/support/dead-letters.ts';
import { FaultyLink } from '../../../test/support/faulty-link.ts';
import { FaultyServer } from '../../../test/support/faulty-server.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { channelOf, declare, Rabbitmq, rabbitmqMissing, takeAll } from '../../../test/support/rabbitmq.ts';
import { created, jobOf } from '../../../test/support/resources.ts';
import { startService } from '../../../test/support/service.ts';
import { skipping } from '../../../test/support/skipping.ts';
import { KeptPosition, reading } from '../../../test/support/sources.ts';
import { until } from '../../../test/support/until.ts';
import type { PenstockError } from '../../errors.ts';
import type { CheckStep, Outgoing, RunContext, Sink, Source } from '../connector.ts';
import type { RabbitmqProfile } from './config/profile.ts';
import type { RabbitmqTable } from './config/table.ts';
import { argumentsOf } from './connection/arguments.ts';
import { connect } from './connection/client.ts';
import { rabbitmq } from './index.ts';

type Context = RunContext<RabbitmqProfile, RabbitmqTable>;

/** The contract of the connector, and what it does beyond, on one real server. */

const maxMessageSize = 16 * 1024 * 1024;
const ca = await makeAuthority();
const server =
  rabbitmqMissing === undefined
    ? await Rabbitmq.start({
        config: [
          `max_message_size = ${maxMessageSize}`,
          // Fewer than returned messages whose queue is looked for.
          'channel_max = 32',
          ...['PLAIN', 'EXTERNAL'].map((name, n) => `auth_mechanisms.${n} = ${name}`),
          'ssl_cert_login_from = common_name',
        ],
        plugins: ['rabbitmq_auth_mechanism_ssl'],
        tls: { ca: ca.cert, ...(await makeServer(ca)) },
        users: { 'Penstock test client': '.*', reader: '', writer: '.*' },
        topics: { writer: '^free' },
      })
    : undefined;
const at = server as Rabbitmq;
const client = (await server?.client()) as ChannelModel;
const admin = (server && (await channelOf(client))) as ConfirmChannel;

const unique = () => `q${randomBytes(6).toString('hex')}`;
const profileAt = (port: number): RabbitmqProfile => ({ host: '127.0.0.1', port });

function contextOf(table: RabbitmqTable, port = at?.port): Context {
  return {
    ...(runContext(table) as Context),
    profile: profileAt(port),
    identity: { jobId: `job_${unique()}`, operatorId: 'op', taskIndex: 0 },
  };
}

/** Queues that are made before they are asked for. */
const queues: string[] = [];
for (let made = 0; server && made < 50; made++) queues.push(await declare(admin, unique(), 'classic'));
const queue = () => queues.pop() as string;
const reads = (port?: number) => contextOf({ type: { queue: queue() } }, port);
const writes = (port?: number) => contextOf({ type: { routing_key: queue() } }, port);

const nameIn = ({ table }: { table: unknown }): string => {
  const { type } = table as RabbitmqTable;
  return 'queue' in type ? type.queue : ((type as { routing_key?: string }).routing_key ?? '');
};

async function send(context: { table: unknown }, count: number, bytes = 0): Promise<void> {
  for (let sent = 0; sent < count; sent++)
    admin.sendToQueue(nameIn(context), Buffer.from(`m${sent}`.padEnd(bytes, '.')));
  await admin.waitForConfirms();
}

const heard = new Map<string, string[]>();
async function listenTo(name: string): Promise<void> {
  heard.set(name, []);
  await admin.consume(name, (message) => void heard.get(name)?.push(String(message?.content)), {
    noAck: true,
  });
}

async function breakable(make: (port: number) => Context) {
  const link = await FaultyLink.start(at.port, () => () => {});
  return { context: make(Number(new URL(link.url).port)), cut: () => link.cut() };
}

describe.skipIf(rabbitmqMissing)(skipping('a queue of RabbitMQ', rabbitmqMissing), () => {
  testSource({
    connector: rabbitmq,
    dials: true,
    keeps: true,
    anyOrder: true,
    maxBytes: 64 * 1024 * 1024,
    context: () => reads(),
    send,
    breakable: () => breakable((port) => reads(port)),
  });

  const listened: typeof rabbitmq = {
    ...rabbitmq,
    async openSink(context) {
      if (!heard.has(nameIn(context))) await listenTo(nameIn(context));
      return rabbitmq.openSink?.(context) as ReturnType<NonNullable<typeof rabbitmq.openSink>>;
    },
  };
  testSink({
    connector: listened,
    dials: true,
    context: () => writes(),
    // The server closes the channel at a message that is too large, and those before it may be written twice then.
    written: (context) => [...new Set(heard.get(nameIn(context)) ?? [])],
    refused: {
      message: { payload: Buffer.alloc(maxMessageSize + 1), row: {} },
      code: 'rabbitmq_message_too_large',
    },
    stalled: async () => {
      let sent = 0;
      const link: FaultyLink = await FaultyLink.start(at.port, () => (direction, chunk) => {
        if (direction !== 'up') return;
        // basic.publish: class 60, method 40.
        const found = chunk.toString('latin1').split('\0\x3c\0\x28').length - 1;
        sent += found;
        if (found > 0) link.blackhole();
      });
      return { context: writes(Number(new URL(link.url).port)), sent: () => sent };
    },
    breakable: () => breakable((port) => writes(port)),
  });

  const checked = reads();
  testCheck({
    connector: rabbitmq,
    dials: true,
    context: () => checked,
    traces: async () => admin?.checkQueue(nameIn(checked)),
  });
});

async function publish(name: string, ...texts: string[]): Promise<void> {
  for (const text of texts) admin.sendToQueue(name, Buffer.from(text));
  await admin.waitForConfirms();
}
const textsOf = (deliveries: readonly { payload: Buffer }[]) =>
  deliveries.map(({ payload }) => String(payload));
const outgoing = (payload: string, row: Record<string, string> = {}): Outgoing => ({
  payload: Buffer.from(payload),
  row,
});
const lookedAt = async (context: Context, more: object = {}): Promise<CheckStep[]> => {
  const steps: CheckStep[] = [];
  const { profile, targets, table, signal } = context;
  const schema = { format: { type: 'json' as const }, fields: [{ name: 'a', type: 'int64' as const }] };
  const report = (step: CheckStep) => void steps.push(step);
  const given = { profile, targets, table, signal, schema, report };
  await rabbitmq.check?.({ ...given, probe: 'publish', stepTimeoutMs: 30_000, ...more });
  return steps;
};
const outline = (steps: readonly CheckStep[]) =>
  steps.map(({ name, outcome, code }) => `${name} ${outcome}${code ? ` ${code}` : ''}`);
const dialled = ['resolve ok', 'tcp ok', 'login ok'];

describe.skipIf(rabbitmqMissing)(skipping('a source of RabbitMQ', rabbitmqMissing), () => {
  test('fills metadata columns', async () => {
    const exchange = unique();
    await admin.assertExchange(exchange, 'topic');
    const context = reads();
    await admin.bindQueue(nameIn(context), exchange, 'plant.#');
    const { deliveries } = await reading(rabbitmq, context);
    admin.publish(exchange, 'plant.oven', Buffer.from('x'), {
      messageId: 'm1',
      contentType: 'text/plain',
      timestamp: 1_795_968_000,
      priority: 3,
      headers: {
        line: 'é',
        n: 7,
        at: { '!': 'timestamp', value: 0 },
        raw: Buffer.from('b'),
        list: [true, null],
      },
    });
    await until('it arrives', () => deliveries.length > 0);
    const columns = rabbitmq.metadata.map(({ name }) => [name, deliveries[0]?.metadata[name]]);
    expect(Object.fromEntries(columns)).toMatchObject({
      queue: nameIn(context),
      exchange,
      routing_key: 'plant.oven',
      redelivered: false,
      delivery_count: null,
      offset: null,
      timestamp: 1_795_968_000_000_000n,
      message_id: 'm1',
      content_type: 'text/plain',
      correlation_id: null,
      priority: 3,
      headers: '{"line":"é","n":7,"at":"1970-01-01T00:00:00.000Z","raw":"b","list":[true,null]}',
    });
  });

  test('ends with a passing error when its queue is deleted, and with a lasting one when there is none', async () => {
    const context = reads();
    const { end } = await reading(rabbitmq, context);
    await admin.deleteQueue(nameIn(context));
    expect(await end).toMatchObject({ code: 'rabbitmq_consumer_cancelled', passing: true });
    await expect(rabbitmq.openSource?.(context)).rejects.toMatchObject({
      code: 'rabbitmq_queue_missing',
      passing: false,
    });
  });

  test('waits while another consumer has the queue for itself', async () => {
    const context = reads();
    const other = await channelOf(client);
    await other.consume(nameIn(context), () => {}, { exclusive: true });
    await expect(rabbitmq.openSource?.(context)).rejects.toMatchObject({
      code: 'rabbitmq_in_use',
      passing: true,
    });
    await other.close();
  });

  test('shares a queue among its tasks', async () => {
    const context = reads();
    const table = rabbitmq.shared?.(context.table, 1, 2) as RabbitmqTable;
    const tasks = await Promise.all([0, 1].map(() => reading(rabbitmq, { ...context, table })));
    await send(context, 40);
    const all = () => tasks.flatMap(({ deliveries }) => textsOf(deliveries));
    await until('all', () => all().length >= 40);
    expect(new Set(all()).size).toBe(40);
    for (const { deliveries } of tasks) expect(deliveries.length).toBeGreaterThan(0);
    expect(() => rabbitmq.shared?.({ stream: 's', type: { offset: 'first' } }, 0, 2)).toThrow('cannot share');
  });

  test('warns of a message that comes back often, before a quorum queue drops it', async () => {
    const name = await declare(admin, unique(), 'quorum');
    const warnings: PenstockError[] = [];
    const context = {
      ...contextOf({ type: { queue: name } }),
      warn: (error: PenstockError) => void warnings.push(error),
    };
    await publish(name, 'poison');
    const counts: unknown[] = [];
    while (warnings.length === 0 && counts.length < 15) {
      const source = (await rabbitmq.openSource?.(context)) as Source;
      for await (const [delivery] of source) {
        counts.push(delivery?.metadata.delivery_count);
        break;
      }
      await source.close();
    }
    expect(counts).toEqual([null, ...Array.from({ length: 10 }, (_, n) => BigInt(n + 1))]);
    expect(warnings[0]).toMatchObject({ code: 'rabbitmq_delivery_limit', facts: { count: 10 } });
  });

  test('reads a stream, goes on after what was acknowledged, and gives each message once', async () => {
    const stream = await declare(admin, unique(), 'stream');
    const all = Array.from({ length: 300 }, (_, n) => `m${n}`);
    await publish(stream, ...all.slice(0, 200));
    const position = new KeptPosition();
    const context = { ...contextOf({ stream, type: { offset: 'first' } }), position, window: 20 };
    const first = await reading(rabbitmq, context);
    await until('what is there', () => first.deliveries.length >= 200);
    await first.source.close();
    expect(position.stored).toBe(199);
    await publish(stream, ...all.slice(200));
    const second = await reading(rabbitmq, context);
    await until('the rest', () => second.deliveries.length >= 100);
    expect(textsOf([...first.deliveries, ...second.deliveries])).toEqual(all);
    expect(second.deliveries[0]?.metadata.offset).toBe(200n);
    await second.source.close();
    const next = await reading(rabbitmq, contextOf({ stream, type: { offset: 'next' } }));
    await publish(stream, 'new');
    await until('the new one', () => next.deliveries.length > 0);
    expect(textsOf(next.deliveries)).toEqual(['new']);
  });

  /** Opens a source of a stream that hands out nothing, or a message that is not acknowledged. Closes it at that. */
  async function interrupted(context: Context, before: () => Promise<void>, position: KeptPosition) {
    const { openSource } = await import('./source/source.ts');
    const source = await openSource(context, 100);
    await before();
    await until('a position', () => position.stored !== undefined);
    await source.close();
  }

  test.each([
    ['last', ['a'], ['c'], ['a', 'c', 'd']],
    ['last', [], [], ['d']],
    ['next', ['a', 'b'], ['c'], ['c', 'd']],
    ['next', ['a', 'b'], [], ['d']],
    ['next', [], [], ['d']],
  ] as const)(
    'goes on with %s where a first attempt without an acknowledgement began: %j, %j',
    async (offset, old, late, read) => {
      const stream = await declare(admin, unique(), 'stream');
      await publish(stream, ...old);
      const position = new KeptPosition();
      const context = { ...contextOf({ stream, type: { offset } }), position };
      await interrupted(context, () => publish(stream, ...late), position);
      await publish(stream, 'd');
      const { deliveries } = await reading(rabbitmq, context);
      await until('all', () => deliveries.length >= read.length);
      expect(textsOf(deliveries)).toEqual(read);
    },
  );

  test('reads messages whose headers look like those of the server', async () => {
    const context = reads();
    const { deliveries } = await reading(rabbitmq, context);
    const headers = { 'x-stream-offset': 7, 'x-delivery-count': 1.5, table: { a: [{ b: 1 }] } };
    admin.sendToQueue(nameIn(context), Buffer.from('x'), { headers });
    await until('it arrives', () => deliveries.length > 0);
    const { metadata } = deliveries[0] as (typeof deliveries)[number];
    expect([metadata.offset, metadata.delivery_count]).toEqual([null, null]);
    expect(metadata.headers).toBe('{"table":{"a":[{"b":1}]}}');
  });

  test('refuses a stream that is read as a queue, and a queue that is read as a stream', async () => {
    const [stream, name] = [await declare(admin, unique(), 'stream'), queue()];
    const wrong = { code: 'rabbitmq_wrong_kind', passing: false };
    const asQueue = contextOf({ type: { queue: stream } });
    await expect(rabbitmq.openSource?.(asQueue)).rejects.toMatchObject(wrong);
    for (const offset of ['first', 'last', 'next'] as const) {
      const asStream = contextOf({ stream: name, type: { offset } });
      await expect(rabbitmq.openSource?.(asStream)).rejects.toMatchObject(wrong);
    }
  });

  test('notices that a stream was declared anew, and reads all of it', async () => {
    const stream = await declare(admin, unique(), 'stream');
    await publish(stream, 'a', 'b');
    const position = new KeptPosition();
    position.stored = 5_000;
    const context = { ...contextOf({ stream, type: { offset: 'next' } }), position };
    const { openSource } = await import('./source/source.ts');
    const impatient = { openSource: () => openSource(context, 400) };
    const { end } = await reading(impatient, context);
    expect(await end).toMatchObject({ code: 'rabbitmq_stream_replaced', passing: true });
    const { deliveries } = await reading(rabbitmq, context);
    await until('all', () => deliveries.length === 2);
    expect(position.stored).toBe(1);
  });
});

describe.skipIf(rabbitmqMissing)(skipping('a sink of RabbitMQ', rabbitmqMissing), () => {
  const opened = async (table: RabbitmqTable, more: Partial<Context> = {}): Promise<Sink> => {
    const sink = (await rabbitmq.openSink?.({ ...contextOf(table), ...more })) as Sink;
    atEnd(() => sink.close());
    return sink;
  };

  test('refuses what no queue takes, by itself, and writes properties', async () => {
    const [exchange, name] = [unique(), queue()];
    await admin.assertExchange(exchange, 'topic');
    await admin.bindQueue(name, exchange, 'here.*');
    const type = {
      exchange,
      routing_key: '{{ place }}.{{ device }}',
      message_id: '{{ device }}',
      headers: { device: '{{ device }}', site: 'north' },
      content_type: 'text/plain',
      priority: 4,
      expiration_ms: 60_000,
    };
    const sink = await opened({ type });
    const places = ['here', 'nowhere', 'here', 'nowhere', 'nowhere', 'here'];
    const messages = places.map((place, n) => outgoing(`m${n}`, { place, device: `d${n % 2}` }));
    const refusals = await sink.write([...messages, outgoing('null', { place: 'here' })]);
    expect(refusals.map(({ index, error }) => [index, error.code])).toEqual([
      [1, 'rabbitmq_unroutable'],
      [3, 'rabbitmq_unroutable'],
      [4, 'rabbitmq_unroutable'],
      [6, 'bad_row'],
    ]);
    const message = await admin.get(name, { noAck: true });
    if (!message) throw new Error('nothing was written');
    expect(message.properties).toMatchObject({
      messageId: 'd0',
      headers: { device: 'd0', site: 'north' },
      contentType: 'text/plain',
      deliveryMode: 2,
      priority: 4,
      expiration: '60000',
    });
    expect(await takeAll(admin, name)).toEqual(['m2', 'm5']);
    const named = await opened({ type: { routing_key: '{{ queue }}', message_id: '{{ queue }}' } });
    const missing = [
      ...Array.from({ length: 40 }, (_, n) => `${unique()}${n}`),
      'half \ud800',
      'half \ud800',
    ];
    const some = [name, ...missing, name].map((each) => outgoing('x', { queue: each }));
    expect((await named.write(some)).map(({ index, error }) => [index, error.code])).toEqual(
      missing.map((_, n) => [n + 1, 'rabbitmq_unroutable']),
    );
    expect(await takeAll(admin, name)).toEqual(['x', 'x']);
    const lenient = await opened({ type: { exchange, routing_key: 'nowhere', allow_unroutable: true } });
    expect(await lenient.write([outgoing('x')])).toEqual([]);
  });

  test('waits while no queue takes what all rows are written to, and refuses rows when that lasts', async () => {
    const { openSink } = await import('./sink/sink.ts');
    const [exchange, name] = [unique(), queue()];
    await admin.assertExchange(exchange, 'topic');
    const warnings: PenstockError[] = [];
    const context = contextOf({ type: { exchange, routing_key: 'here' } });
    const warn = (error: PenstockError) => void warnings.push(error);
    const open = async (queuelessMs: number) => {
      const sink = await openSink({ ...context, warn }, { queuelessMs });
      atEnd(() => sink.close());
      return sink;
    };
    const [sink, impatient] = [await open(300_000), await open(1_000)];
    const written = Promise.all(
      ['a', 'b', 'c'].map((text) => sink.write([outgoing(text), outgoing(`${text}2`)])),
    );
    await until('it has tried again', () => warnings.length > 1);
    expect(warnings[0]).toMatchObject({ code: 'rabbitmq_unavailable', passing: true });
    expect(await isPending(written)).toBe(true);
    await admin.bindQueue(name, exchange, '#');
    expect(await written).toEqual([[], [], []]);
    expect(await takeAll(admin, name)).toEqual(['a', 'a2', 'b', 'b2', 'c', 'c2']);
    await admin.unbindQueue(name, exchange, '#');
    const refused = [{ index: 0, error: { code: 'rabbitmq_unroutable' } }];
    expect(await impatient.write([outgoing('d')])).toMatchObject(refused);
    const before = warnings.length;
    expect(await impatient.write([outgoing('e')])).toMatchObject(refused);
    expect(warnings.length).toBe(before);
    await admin.bindQueue(name, exchange, '#');
    expect(await impatient.write([outgoing('f')])).toEqual([]);
    expect(await takeAll(admin, name)).toEqual(['f']);
  });

  test('writes to a stream, and fails with what is missing', async () => {
    const stream = await declare(admin, unique(), 'stream');
    const sink = await opened({ stream, type: {} });
    expect(await sink.write([outgoing('a'), outgoing('b')])).toEqual([]);
    const { deliveries } = await reading(rabbitmq, contextOf({ stream, type: { offset: 'first' } }));
    await until('both', () => deliveries.length === 2);
    await expect(opened({ type: { exchange: unique() } })).rejects.toMatchObject({
      code: 'rabbitmq_exchange_missing',
    });
    await expect(opened({ type: { routing_key: unique() } })).rejects.toMatchObject({
      code: 'rabbitmq_queue_missing',
    });
  });

  test('refuses a queue that the table names as a stream', async () => {
    await expect(opened({ stream: queue(), type: {} })).rejects.toMatchObject({
      code: 'rabbitmq_wrong_kind',
      passing: false,
    });
  });

  test('refuses the rows that the user may not write to a topic, and does not show their keys', async () => {
    const profile = { ...profileAt(at.port), username: 'writer', password: 'writer' };
    const type = { exchange: 'amq.topic', routing_key: '{{ key }}', allow_unroutable: true };
    const sink = await opened({ type }, { profile });
    const keys = ['free.a', 'shut.b', 'free.c', `shut.${'é'.repeat(125)}`, 'free.d'];
    const refusals = await sink.write(keys.map((key) => outgoing('x', { key })));
    expect(refusals.map(({ index, error }) => [index, error.code])).toEqual([
      [1, 'rabbitmq_forbidden'],
      [3, 'rabbitmq_forbidden'],
    ]);
    expect(JSON.stringify(refusals.map(({ error }) => error.message))).not.toContain('shut');
  });

  test('fails for a while when a queue rejects messages', async () => {
    const full = await declare(admin, unique(), 'classic', {
      'x-max-length': 1,
      'x-overflow': 'reject-publish',
    });
    const sink = await opened({ type: { routing_key: full } });
    const writing = sink.write(['a', 'b', 'c'].map((text) => outgoing(text)));
    await expect(writing).rejects.toMatchObject({ code: 'rabbitmq_rejected', passing: true });
  });

  test('waits while the server lacks memory, warns once, and goes on', async () => {
    const warnings: PenstockError[] = [];
    const context = writes();
    const sink = (await rabbitmqSink(context, warnings)) as Sink;
    expect(await sink.write([outgoing('before')])).toEqual([]);
    await at.ctl('set_vm_memory_high_watermark', '0.0000001');
    const writing = sink.write([outgoing('during'), outgoing('too')]);
    await until('the warning', () => warnings.length > 0);
    expect(warnings.map(({ code }) => code)).toEqual(['rabbitmq_blocked']);
    // Longer than without a confirmation.
    expect(await Promise.race([writing, pause(confirmTimeoutMs + 500, 'waits')])).toBe('waits');
    await at.ctl('set_vm_memory_high_watermark', '0.4');
    expect(await writing).toEqual([]);
    expect(await takeAll(admin, nameIn(context))).toEqual(['before', 'during', 'too']);
  });

  const confirmTimeoutMs = 3_000;
  const rabbitmqSink = async (context: Context, warnings: PenstockError[]) => {
    const { openSink } = await import('./sink/sink.ts');
    const sink = await openSink(
      { ...context, warn: (error) => void warnings.push(error) },
      { confirmTimeoutMs },
    );
    atEnd(() => sink.close());
    return sink;
  };
});

describe.skipIf(rabbitmqMissing)(skipping('the test of RabbitMQ', rabbitmqMissing), () => {
  test('finds out what a queue is without changing it', async () => {
    const limited = await declare(admin, unique(), 'quorum', { 'x-delivery-limit': 5 });
    const saved = await declare(admin, unique(), 'quorum', {
      'x-delivery-limit': 5,
      'x-dead-letter-exchange': 'amq.fanout',
    });
    const stream = await declare(admin, unique(), 'stream');
    await publish(stream, '{"a":"x"}');
    const of = async (table: RabbitmqTable) => outline(await lookedAt(contextOf(table))).slice(3);
    const skipped = 'first_message skipped';
    expect(await of({ type: { queue: queue() } })).toEqual(['queue ok', skipped]);
    expect(await of({ type: { queue: limited } })).toEqual([
      'queue warning rabbitmq_delivery_limit',
      skipped,
    ]);
    expect(await of({ type: { queue: saved } })).toEqual(['queue ok', skipped]);
    const single = await declare(admin, unique(), 'quorum', {
      'x-single-active-consumer': true,
      'x-delivery-limit': 5,
    });
    expect(await lookedAt(contextOf({ type: { queue: single } }))).toContainEqual(
      expect.objectContaining({
        code: 'rabbitmq_delivery_limit',
        details: expect.objectContaining({
          arguments: { 'x-queue-type': 'quorum', 'x-single-active-consumer': true, 'x-delivery-limit': 5 },
        }),
      }),
    );
    expect(await of({ stream: queue(), type: {} })).toEqual([
      'queue failed rabbitmq_wrong_kind',
      'publish skipped',
    ]);
    expect(await of({ stream, type: {} })).toEqual(['queue ok', 'publish ok']);
    expect(await of({ type: { queue: stream } })).toEqual(['queue failed rabbitmq_wrong_kind', skipped]);
    expect(await of({ type: { queue: unique() } })).toEqual(['queue failed rabbitmq_queue_missing', skipped]);
    expect(await of({ stream, type: { offset: 'first' } })).toEqual([
      'queue ok',
      'first_message ok',
      'decode failed bad_data',
    ]);
    expect(await of({ type: { routing_key: limited } })).toEqual(['queue ok', 'publish ok']);
    expect(await of({ type: { exchange: 'amq.topic', routing_key: 'a' } })).toEqual([
      'exchange ok',
      'publish skipped',
    ]);
    expect(await of({ type: { exchange: 'none' } })).toEqual([
      'exchange failed rabbitmq_exchange_missing',
      'publish skipped',
    ]);
  });

  test('creates no queue that is deleted while its arguments are looked for', async () => {
    const { signal } = new AbortController();
    const connection = await connect(contextOf({ type: {} }), 'penstock test', signal);
    const name = unique();
    expect(await argumentsOf(connection, name, signal)).toBeUndefined();
    const channel = await channelOf(client);
    await expect(channel.checkQueue(name)).rejects.toThrow('no queue');
    await connection.close();
  });

  test('says what is wrong with a profile, and shows no password', async () => {
    const http = await FaultyServer.start((socket) => void socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const silent = await FaultyServer.start((socket) => void socket.end());
    const closed = await freePort();
    const port = Number(new URL(http.url).port);
    const cases: [RabbitmqProfile, string[]][] = [
      [{ port: at.port }, dialled],
      [
        { port: at.port, username: 'guest', password: 'wrong-1' },
        [...dialled.slice(0, 2), 'login failed rabbitmq_login_refused'],
      ],
      [
        { port: at.port, virtual_host: 'none' },
        [...dialled.slice(0, 2), 'login failed rabbitmq_vhost_refused'],
      ],
      [
        { port: at.port, host: `127.0.0.1:${closed},127.0.0.1` },
        ['resolve ok', 'tcp warning connection_refused', ...dialled],
      ],
      [{ port }, [...dialled.slice(0, 2), 'login failed rabbitmq_not_spoken']],
      [{ port: at.tlsPort }, [...dialled.slice(0, 2), 'login failed rabbitmq_not_spoken']],
      [{ port: Number(new URL(silent.url).port) }, [...dialled.slice(0, 2), 'login failed connection_lost']],
    ];
    for (const [profile, expected] of cases) {
      const steps = await lookedAt(
        { ...contextOf({ type: {} }), profile: { host: '127.0.0.1', ...profile } },
        { table: undefined },
      );
      expect(outline(steps)).toEqual(expected);
      expect(JSON.stringify(steps)).not.toContain('wrong-1');
    }
    // A server that is down does not hide a refused login, whatever their order.
    for (const host of [`127.0.0.1:${closed},127.0.0.1`, `127.0.0.1,127.0.0.1:${closed}`]) {
      const profile = { host, port: at.port, username: 'guest', password: 'wrong-1' };
      await expect(
        rabbitmq.openSource?.({ ...contextOf({ type: { queue: 'q' } }), profile }),
      ).rejects.toMatchObject({
        code: 'rabbitmq_login_refused',
      });
    }
    await Promise.all([http.stop(), silent.stop()]);
  });

  test('uses TLS, and logs in with a password or a certificate', async () => {
    const own = await makeClient(ca);
    const trusted = { enabled: true, root_certificates_path: ca.cert };
    const mutual = { ...trusted, client_certificates_path: own.cert, client_keys_path: own.key };
    const of = async (profile: RabbitmqProfile) => {
      const context = {
        ...contextOf({ type: {} }),
        profile: { host: '127.0.0.1', port: at.tlsPort, ...profile },
      };
      return outline(await lookedAt(context, { table: undefined })).slice(2);
    };
    expect(await of({ tls_config: trusted })).toEqual(['tls ok', 'login ok']);
    expect(await of({ tls_config: { enabled: true } })).toEqual([
      'tls failed tls_unknown_issuer',
      'login skipped',
    ]);
    expect(await of({ tls_config: mutual, external_login: true })).toEqual(['tls ok', 'login ok']);
    expect(await of({ tls_config: trusted, external_login: true })).toEqual([
      'tls ok',
      'login failed rabbitmq_login_refused',
    ]);
    expect(await of({ port: at.port, tls_config: trusted })).toEqual([
      'tls failed tls_not_spoken',
      'login skipped',
    ]);
  });

  test('finds a missing permission', async () => {
    const name = queue();
    const profile = { ...profileAt(at.port), username: 'reader', password: 'reader' };
    const of = async (type: RabbitmqTable['type']) =>
      outline(await lookedAt({ ...contextOf({ type }), profile })).slice(3);
    expect(await of({ queue: name })).toEqual(['queue ok', 'first_message skipped']);
    expect(await of({ routing_key: name })).toEqual(['queue ok', 'publish failed rabbitmq_forbidden']);
    const sink = (await rabbitmq.openSink?.({
      ...contextOf({ type: { routing_key: name } }),
      profile,
    })) as Sink;
    await expect(sink.write([outgoing('x')])).rejects.toMatchObject({
      code: 'rabbitmq_forbidden',
      passing: false,
    });
    await sink.close();
  });

  test('shows a stream and copies of a queue, and takes nothing from it', async () => {
    const [name, exchange] = [queue(), unique()];
    await admin.assertExchange(exchange, 'topic');
    await admin.bindQueue(name, exchange, '#');
    const stream = await declare(admin, unique(), 'stream');
    await publish(stream, 'old');
    const seen: string[] = [];
    const over = new AbortController();
    const watching = (table: RabbitmqTable) =>
      rabbitmq
        .watch?.({
          ...contextOf(table),
          signal: over.signal,
          listening: () => void seen.push('listens'),
          deliver: ({ payload, metadata }) => void seen.push(`${metadata.queue} ${payload}`),
        })
        .catch((error: unknown) => error);
    const ends = [
      watching({ stream, type: { offset: 'next' } }),
      watching({ type: { queue: name, watch_exchange: exchange } }),
    ];
    await until('both listen', () => seen.filter((text) => text === 'listens').length === 2);
    admin.publish(exchange, 'a', Buffer.from('copied'));
    await until('all', () => seen.length === 4);
    expect(seen.toSorted()).toEqual([`${name} copied`, `${stream} old`, 'listens', 'listens'].toSorted());
    expect(await watching({ type: { queue: name } })).toMatchObject({ code: 'rabbitmq_cannot_watch' });
    over.abort(new Error('enough'));
    for (const end of ends) expect(await end).toMatchObject({ message: 'enough' });
    expect(await takeAll(admin, name)).toEqual(['copied']);
  });
});

describe.skipIf(rabbitmqMissing)(skipping('a pipeline with RabbitMQ', rabbitmqMissing), () => {
  test('loses nothing when its links are cut, and keeps bad rows as dead letters', async () => {
    const { request } = await startService({ worker: true });
    const [up, down] = [
      await FaultyLink.start(at.port, () => () => {}),
      await FaultyLink.start(at.port, () => () => {}),
    ];
    const [from, to] = [await declare(admin, unique()), await declare(admin, unique())];
    const server = (link: FaultyLink) =>
      `connector = 'rabbitmq', host = '127.0.0.1', port = ${new URL(link.url).port}, username = 'guest', password = 'guest'`;
    const query = `
      CREATE TABLE i (n BIGINT NOT NULL, key TEXT METADATA FROM 'routing_key') WITH (${server(up)}, type = 'source',
        queue = '${from}', format = 'json', bad_data = 'dead_letter');
      CREATE TABLE o WITH (${server(down)}, type = 'sink', routing_key = '${to}', format = 'json');
      INSERT INTO o SELECT n, key FROM i;`;
    const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 2 });
    const state = async () => (await jobOf(request, id)).state;
    await until('the job runs', async () => (await state()) === 'Running', 60_000);
    const length = async (name: string) => (await admin.checkQueue(name)).messageCount;
    const numbers = Array.from({ length: 300 }, (_, n) => n);
    const send = (some: number[]) => publish(from, ...some.map((n) => JSON.stringify({ n })));
    await send(numbers.slice(0, 100));
    await until('the first', async () => (await length(to)) > 0);
    up.cut();
    await send(numbers.slice(100, 200));
    await up.heal();
    await until('some more', async () => (await length(to)) >= 200, 60_000);
    down.cut();
    await send(numbers.slice(200));
    await publish(from, 'no JSON');
    await down.heal();
    await until('all', async () => (await length(to)) >= 300 && (await length(from)) === 0, 60_000);
    await until('the dead letter', async () => (await allDeadLetters(request, id)).length > 0);
    await request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' }).expect(200);
    await until('it stops', async () => (await state()) === 'Stopped', 60_000);
    const rows = new Set(await takeAll(admin, to));
    expect([...rows].toSorted()).toEqual(numbers.map((n) => JSON.stringify({ n, key: from })).toSorted());
  });
});
