import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { whyMissing } from '../../scripts/servers.ts';
import type { CheckContext, CheckStep, Outgoing, RunContext } from '../../src/connectors/connector.ts';
import { check } from '../../src/connectors/redis/check/check.ts';
import type { RedisProfile } from '../../src/connectors/redis/config/profile.ts';
import type { RedisTable, SinkTable, SourceTable } from '../../src/connectors/redis/config/table.ts';
import { slotOf } from '../../src/connectors/redis/connection/cluster.ts';
import type { Row } from '../../src/formats/format.ts';
import type { ConnectionSchema } from '../../src/formats/schema/schema.ts';
import { atEnd } from './at-end.ts';
import type { Pair } from './certificates.ts';
import type { Tap } from './faulty-link.ts';
import { freePort } from './free-port.ts';
import { recordingLogger, recordingWarnings, targets, unique } from './mqtt.ts';
import { ServerProcess, whereIs } from './server-process.ts';
import { until } from './until.ts';

/** A real redis-server of a test's own, and contexts of the connector. */

export const noRedis = whyMissing('Redis');

interface RedisOptions {
  /** Lines of redis.conf. */
  config?: string[];
  /** The port is one for TLS. */
  tls?: { ca: string; server: Pair };
  port?: number;
}

export class RedisServer {
  readonly port: number;
  readonly folder: string;
  readonly #process: ServerProcess;
  readonly #tls: boolean;

  private constructor(port: number, folder: string, process: ServerProcess, tls: boolean) {
    this.port = port;
    this.folder = folder;
    this.#process = process;
    this.#tls = tls;
  }

  /** Starts it with an append-only file that is on disk before each reply. It stops by itself: see `atEnd`. */
  static async start({ config = [], tls, port: given }: RedisOptions = {}): Promise<RedisServer> {
    const port = given ?? (await freePort());
    const folder = mkdtempSync(join(tmpdir(), 'penstock-redis-'));
    const put = (name: string, text: string) => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const secure = tls
      ? [
          'port 0',
          `tls-port ${port}`,
          `tls-ca-cert-file ${put('ca.pem', tls.ca)}`,
          `tls-cert-file ${put('cert.pem', tls.server.cert)}`,
          `tls-key-file ${put('key.pem', tls.server.key)}`,
        ]
      : [`port ${port}`];
    const lines = [
      ...secure,
      'bind 127.0.0.1',
      `dir ${folder}`,
      'save ""',
      'appendonly yes',
      'appendfsync always',
      ...config,
    ];
    const file = put('redis.conf', `${lines.join('\n')}\n`);
    const command = whereIs('redis-server') ?? 'redis-server';
    const process = await ServerProcess.start({ command, args: [file], port, folder });
    const server = new RedisServer(port, folder, process, tls !== undefined);
    if (!tls) await server.answers();
    return server;
  }

  get url(): string {
    return `${this.#tls ? 'rediss' : 'redis'}://127.0.0.1:${this.port}`;
  }

  get profile(): RedisProfile {
    return { connection: { address: this.url } };
  }

  kill(signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): Promise<void> {
    return this.#process.kill(signal);
  }

  async resume(): Promise<void> {
    await this.#process.resume();
    await this.answers();
  }

  /** Waits until it has loaded its data. */
  async answers(): Promise<void> {
    const client = plainRedis(this.port);
    await until('Redis has loaded its data', async () => {
      const reply = await client.call('GET', 'no such key').catch(({ message }: Error) => message);
      return reply === null || /^(NOAUTH|NOPERM|MOVED|CLUSTERDOWN)/.test(String(reply));
    });
    client.disconnect();
  }
}

/** An ordinary client that connects again by itself. It ends by itself: see `atEnd`. */
export function plainRedis(port: number, options: object = {}): Redis {
  const client = new Redis({ host: '127.0.0.1', port, retryStrategy: () => 50, ...options });
  client.on('error', () => {});
  atEnd(() => client.disconnect());
  return client;
}

/** Messages that the servers of a sink have confirmed, as seen on the wire: the number of each by the ID of its entry. */
export class Confirmed {
  readonly byId = new Map<string, number>();

  /** For one connection: the server replies in the order of the commands. */
  readonly tap = (): Tap => {
    const asked: number[] = [];
    let [up, down] = ['', ''];
    return (direction, chunk) => {
      if (direction === 'up') {
        const parts = (up + chunk.toString('latin1')).split(/"seq":(?=\d+,)/);
        for (const part of parts.slice(1)) asked.push(Number.parseInt(part, 10));
        up = (parts.at(-1) ?? '').slice(-16);
        return;
      }
      const lines = (down + chunk.toString('latin1')).split('\r\n');
      down = lines.pop() ?? '';
      for (const line of lines) {
        const isId = /^\d{13}-\d+$/.test(line);
        if (!isId && !/^-[A-Z]+ /.test(line)) continue;
        const seq = asked.shift();
        if (isId && seq !== undefined) this.byId.set(line, seq);
      }
    };
  };
}

/** How often each number is in a stream, and the IDs there. */
export async function counts(
  client: Pick<Redis, 'xrange'>,
  stream: string,
): Promise<{ found: Map<number, number>; ids: Set<string> }> {
  const found = new Map<number, number>();
  const ids = new Set<string>();
  let from = '-';
  for (;;) {
    const entries = await client.xrange(stream, from, '+', 'COUNT', 5_000);
    for (const [id, [, payload = '']] of entries) {
      const { seq } = JSON.parse(payload) as { seq: number };
      found.set(seq, (found.get(seq) ?? 0) + 1);
      ids.add(id);
    }
    const last = entries.at(-1)?.[0];
    if (last === undefined) return { found, ids };
    from = `(${last}`;
  }
}

interface ClusterOptions {
  /** Whether each master has a replica: they follow the masters, in the same order. */
  replicas?: boolean;
  /** Returns the port that a node announces instead of its own. */
  announced?: (port: number) => Promise<number>;
}

/** Three masters that have formed a cluster. */
export async function redisCluster(options: ClusterOptions = {}): Promise<RedisServer[]> {
  const { replicas = false, announced } = options;
  const nodes = await Promise.all(
    Array.from({ length: replicas ? 6 : 3 }, async () => {
      // The port of the bus is not free by itself.
      const [port, bus] = [await freePort(), await freePort()];
      // A node may be held up for a while where none can take its place.
      const timeout = `cluster-node-timeout ${replicas ? 2_000 : 15_000}`;
      const config = ['cluster-enabled yes', `cluster-port ${bus}`, timeout];
      if (announced) config.push(`cluster-announce-port ${await announced(port)}`);
      const server = await RedisServer.start({ port, config: [...config, 'appendfsync everysec'] });
      const client = plainRedis(port);
      return { bus, server, client, id: String(await client.call('CLUSTER', 'MYID')) };
    }),
  );
  const [first] = nodes;
  for (const [index, { client }] of nodes.entries()) {
    const [from, to] = [Math.ceil((index * 16_384) / 3), Math.ceil(((index + 1) * 16_384) / 3) - 1];
    if (index < 3) await client.call('CLUSTER', 'ADDSLOTSRANGE', from, to);
    await client.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
    if (first && index > 0) await client.call('CLUSTER', 'MEET', '127.0.0.1', first.server.port, first.bus);
  }
  for (const [index, { client }] of nodes.entries()) {
    if (index < 3) continue;
    const replicate = () => client.call('CLUSTER', 'REPLICATE', nodes[index - 3]?.id ?? '');
    await until('the replica knows its master', () => replicate().catch(() => undefined), 60_000);
  }
  const servers = nodes.map(({ server }) => server);
  await clusterIsComplete(servers);
  return servers;
}

/** Waits until the nodes know each other, and each replica has what its master has. */
export async function clusterIsComplete(servers: readonly RedisServer[]): Promise<void> {
  for (const { port } of servers) {
    const client = plainRedis(port);
    await until(
      'the cluster is complete',
      async () => {
        const info = String(await client.call('CLUSTER', 'INFO'));
        const replication = String(await client.call('INFO', 'replication'));
        const known = `cluster_known_nodes:${servers.length}\r`;
        const follows = !replication.includes('role:slave') || replication.includes('master_link_status:up');
        return info.includes('cluster_state:ok') && info.includes(known) && follows;
      },
      60_000,
    );
    client.disconnect();
  }
}

/**
 * Moves the slot of a key from one master to another, with the key in it. `between` runs when the key has moved and its slot has not:
 * the former master replies with ASK then.
 */
export async function moveSlot(
  masters: readonly RedisServer[],
  [from, to]: [from: RedisServer, to: RedisServer],
  key: string,
  between: () => Promise<unknown> = async () => {},
): Promise<void> {
  const slot = slotOf(key);
  const [former, next] = [plainRedis(from.port), plainRedis(to.port)];
  const [formerId, nextId] = await Promise.all(
    [former, next].map(async (client) => String(await client.call('CLUSTER', 'MYID'))),
  );
  await next.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', formerId ?? '');
  await former.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', nextId ?? '');
  await former.call('MIGRATE', '127.0.0.1', to.port, key, 0, 30_000);
  await between();
  for (const { port } of [to, ...masters.filter((each) => each !== to)])
    await plainRedis(port).call('CLUSTER', 'SETSLOT', slot, 'NODE', nextId ?? '');
}

export type RedisContext = RunContext<RedisProfile, RedisTable>;

export const redisContext = (
  profile: RedisProfile,
  connectorType: SinkTable | SourceTable,
  schema: ConnectionSchema = {},
  rest: Partial<RedisContext> = {},
): RedisContext & ReturnType<typeof recordingWarnings> => ({
  profile,
  table: { connectorType },
  schema,
  targets,
  identity: { jobId: `job_${unique()}`, operatorId: 'op', taskIndex: 0 },
  window: 1_000,
  signal: new AbortController().signal,
  logger: recordingLogger(),
  ...recordingWarnings(),
  ...rest,
});

/** A message as a pipeline would write it. */
export const outgoing = (row: Row, payload: string | Buffer = JSON.stringify(row)): Outgoing => ({
  row,
  payload: Buffer.from(payload),
});

/** Runs a test of a connection and returns its steps by name. */
export async function checkedRedis(
  profile: RedisProfile,
  connectorType?: SinkTable | SourceTable,
  more: Partial<CheckContext<RedisProfile, RedisTable>> = {},
): Promise<Record<string, CheckStep>> {
  const steps: Record<string, CheckStep> = {};
  await check({
    profile,
    table: connectorType && { connectorType },
    schema: undefined,
    targets,
    probe: 'publish',
    stepTimeoutMs: 60_000,
    signal: new AbortController().signal,
    report: (step) => {
      steps[step.name] = step;
    },
    ...more,
  });
  return steps;
}
