import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { FaultyLink } from '../support/faulty-link.ts';
import { Penstock, retryingSoon } from '../support/penstock.ts';
import { Confirmed, counts, noRedis, plainRedis, RedisServer } from '../support/redis.ts';
import { created, jobOf } from '../support/resources.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';

/** A Redis stream into a stream of another server, while Penstock and the servers are killed, links break and memory runs out. */

const soak = process.env.PENSTOCK_SOAK === '1';
const messages = soak ? 20_000 : 600;
const rounds = soak ? 3 : 1;
const patience = soak ? 600_000 : 120_000;
/** Of entries in memory, for a server that is to run out of it. */
const padding = '.'.repeat(200);

interface Rig {
  confirmed: Confirmed;
  penstock: Penstock;
  servers: { source: RedisServer; sink: RedisServer };
  clients: { source: Redis; sink: Redis };
  links: { source: FaultyLink; sink: FaultyLink };
  /** The pipeline. */
  id: string;
}

async function start(
  fsync: string,
  config: string[] = [],
  sinkTarget: object = { streamPrefix: 'out' },
): Promise<Rig> {
  const settings = soak ? {} : retryingSoon();
  const [penstock, source, sink] = await Promise.all([
    Penstock.start(settings),
    RedisServer.start({ config: [`appendfsync ${fsync}`] }),
    RedisServer.start({ config: [`appendfsync ${fsync}`, ...config] }),
  ]);
  const confirmed = new Confirmed();
  const links = {
    source: await FaultyLink.start(source.port, () => () => {}),
    sink: await FaultyLink.start(sink.port, confirmed.tap),
  };
  const { request } = penstock;
  const fields = [
    { name: 'seq', type: 'int64', required: true },
    { name: 'pad', type: 'string' },
  ];
  const schema = { format: { type: 'json' }, fields };
  const place = async (name: string, link: FaultyLink, connectorType: object) => {
    const address = link.url.replace('mqtt:', 'redis:');
    const config = { connection: { address }, connectTimeoutMs: 2_000, commandTimeoutMs: 5_000 };
    const profile = await created(request, '/connection_profiles', { name, connector: 'redis', config });
    const body = {
      name,
      connector: 'redis',
      connection_profile_id: profile.id,
      config: { connectorType },
      schema,
    };
    await created(request, '/connection_tables', body);
  };
  await place('readings', links.source, { stream: 'in', consumerGroup: 'g', start: 'earliest' });
  await place('written', links.sink, { target: sinkTarget });
  const query = 'INSERT INTO written SELECT * FROM readings';
  const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
  await until('the job runs', async () => (await jobOf(request, id)).state === 'Running');
  const clients = { source: plainRedis(source.port), sink: plainRedis(sink.port) };
  return { penstock, servers: { source, sink }, clients, links, id, confirmed };
}

/** Adds messages until each is confirmed. One whose reply is lost is added again: the input then has it twice. */
async function add({ clients: { source } }: Rig, from: number, to: number): Promise<void> {
  for (let seq = from; seq < to; seq += 100) {
    // So that messages flow while something is struck.
    if (soak) await pause(20);
    let left = Array.from({ length: Math.min(100, to - seq) }, (_, n) => seq + n);
    while (left.length > 0) {
      const replies = await Promise.allSettled(
        left.map((n) => source.xadd('in', '*', 'payload', JSON.stringify({ seq: n, pad: padding }))),
      );
      left = left.filter((_, index) => replies[index]?.status === 'rejected');
    }
  }
}

/** Adds all messages and strikes in between, each time after messages have arrived again. */
async function underFire(rig: Rig, strikes: ((rig: Rig) => Promise<void>)[]): Promise<void> {
  const { sink } = rig.clients;
  const length = () => sink.xlen('out').catch(() => -1);
  const part = Math.ceil(messages / (strikes.length + 1));
  for (let at = 0; at <= strikes.length; at++) {
    const before = await length();
    const adding = add(rig, at * part, Math.min((at + 1) * part, messages));
    await until('messages arrive', async () => (await length()) > before, 60_000);
    await strikes[at]?.(rig);
    await adding;
  }
}

/** Waits for every message, and returns those that were lost though no server had confirmed them. Prints what servers lost, too. */
async function outcome(rig: Rig, name: string): Promise<number[]> {
  const { source, sink } = rig.clients;
  const count = async () => {
    const [sent, { found: arrived, ids }] = [(await counts(source, 'in')).found, await counts(sink, 'out')];
    const forgotten = new Set([...rig.confirmed.byId].filter(([id]) => !ids.has(id)).map(([, seq]) => seq));
    const missing = [...sent.keys()].filter((seq) => !arrived.has(seq));
    return { sent, arrived, missing, lost: missing.filter((seq) => !forgotten.has(seq)) };
  };
  await until('every message', async () => (await count()).lost.length === 0, patience).catch(() => {});
  const { sent, arrived, missing, lost } = await count();
  const twice = [...arrived].reduce(
    (sum, [seq, times]) => sum + Math.max(0, times - (sent.get(seq) ?? 0)),
    0,
  );
  const byServers = `lost by the servers after they had confirmed: source ${messages - sent.size}, sink ${missing.length - lost.length}`;
  process.stdout.write(
    `${name}: ${messages} added, ${lost.length} lost, ${twice} duplicated; ${byServers}\n`,
  );
  // Nothing was trimmed: the counters of a server that is killed or busy must raise no alarm.
  expect(await messagesOf(rig)).not.toContain('redis_entries_lost');
  return lost;
}

async function messagesOf({ penstock: { request }, id }: Rig): Promise<string> {
  const { id: job } = await jobOf(request, id);
  const { body } = await request.get(`/api/v1/pipelines/${id}/jobs/${job}/errors`);
  return JSON.stringify(body);
}

const killPenstock = async ({ penstock }: Rig): Promise<void> => {
  await penstock.kill('SIGKILL');
  await penstock.resume();
};
const kill =
  (end: 'source' | 'sink', signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL') =>
  async ({ servers, links }: Rig): Promise<void> => {
    await servers[end].kill(signal);
    // The link accepts the connection, and closes it at once.
    const before = links[end].accepted;
    await until('Penstock connects in vain', () => links[end].accepted > before, 60_000);
    await servers[end].resume();
  };
const cut =
  (end: 'source' | 'sink') =>
  async ({ links }: Rig): Promise<void> => {
    links[end].cut();
    await pause(200);
    await links[end].heal();
  };
/** The server hangs until Penstock gives up. */
const silence =
  (end: 'source' | 'sink') =>
  async ({ links }: Rig): Promise<void> => {
    const before = links[end].accepted;
    links[end].blackhole();
    await until('Penstock connects again', () => links[end].accepted > before, 60_000);
    await links[end].heal();
  };
const slow =
  (end: 'source' | 'sink') =>
  async ({ links }: Rig): Promise<void> => {
    links[end].delayAnswers(300);
    await pause(3_000);
    links[end].delayAnswers(0);
  };
/** Memory is full until the warning is there. */
const fill = async (rig: Rig): Promise<void> => {
  const { sink, source } = rig.clients;
  await sink.config('SET', 'maxmemory', '1');
  await source.xadd('in', '*', 'payload', JSON.stringify({ seq: 0, pad: padding }));
  await until('the job says so', async () => (await messagesOf(rig)).includes('redis_out_of_memory'));
  await sink.config('SET', 'maxmemory', '0');
};
/** The snapshot cannot be written, so that the server refuses writes: as with a full disk. */
const spoil = async ({ clients: { sink }, servers }: Rig): Promise<void> => {
  mkdirSync(join(servers.sink.folder, 'dump.rdb', 'x'), { recursive: true });
  await sink.config('SET', 'save', '1 1', 'stop-writes-on-bgsave-error', 'yes');
  await sink.call('BGSAVE').catch(() => {});
  await until(
    'the server refuses writes',
    async () => {
      const reply = await sink.call('SET', 'probe', 'x').catch(({ message }: Error) => message);
      return String(reply).startsWith('MISCONF');
    },
    30_000,
  );
  await pause(2_000);
  await sink.config('SET', 'save', '');
  await sink.config('SET', 'stop-writes-on-bgsave-error', 'no');
};

describe.skipIf(noRedis !== undefined)(skipping('from Redis to Redis', noRedis), () => {
  test(
    'nothing is lost while everything is killed in turn',
    async () => {
      const rig = await start('always');
      await underFire(rig, [killPenstock, kill('source'), kill('sink'), cut('source'), cut('sink')]);
      expect(await outcome(rig, 'all in turn')).toEqual([]);
      await until(
        'the job runs',
        async () => (await jobOf(rig.penstock.request, rig.id)).state === 'Running',
      );
    },
    patience * 2,
  );

  test(
    'nothing is lost or written twice when the memory of the sink fills up',
    async () => {
      const rig = await start('no');
      await underFire(rig, [fill]);
      expect(await outcome(rig, 'maxmemory')).toEqual([]);
    },
    patience * 2,
  );

  test.skipIf(!soak).each([
    ['Penstock killed', 'always', killPenstock],
    ['source killed, appendfsync always', 'always', kill('source')],
    ['source killed, appendfsync everysec', 'everysec', kill('source')],
    ['source restarted', 'everysec', kill('source', 'SIGTERM')],
    ['sink killed, appendfsync always', 'always', kill('sink')],
    ['sink killed, appendfsync everysec', 'everysec', kill('sink')],
    ['sink restarted', 'everysec', kill('sink', 'SIGTERM')],
    ['link of the source cut', 'everysec', cut('source')],
    ['link of the sink cut', 'everysec', cut('sink')],
    ['source silent', 'everysec', silence('source')],
    ['sink silent', 'everysec', silence('sink')],
    ['source slow', 'everysec', slow('source')],
    ['sink slow', 'everysec', slow('sink')],
    ['memory of the sink full', 'everysec', fill],
    ['disk of the sink refuses', 'everysec', spoil],
  ] as const)(
    skipping('%s', onlyInSoak),
    async (name, fsync, strike) => {
      const rig = await start(fsync);
      await underFire(rig, Array<(rig: Rig) => Promise<void>>(rounds).fill(strike));
      expect(await outcome(rig, name)).toEqual([]);
    },
    patience * 2,
  );
});
