import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type ChannelModel, type ConfirmChannel, type ConsumeMessage, connect } from 'amqplib';
import { whyMissing } from '../../scripts/servers.ts';
import { atEnd, temporaryFolder } from './at-end.ts';
import { freePort } from './free-port.ts';
import { ServerProcess, whereIs } from './server-process.ts';
import { until } from './until.ts';

/** Why the tests of RabbitMQ are skipped, if they are. */
export const rabbitmqMissing = whyMissing('RabbitMQ');

const home = '/usr/lib/rabbitmq/lib';

/** The start script itself: the one on the path switches to a user whose folders are the system's. */
function script(): string | undefined {
  if (!whereIs('rabbitmq-server') || !whereIs('epmd')) return undefined;
  try {
    const [version] = readdirSync(home).filter((name) => name.startsWith('rabbitmq_server-'));
    return version && join(home, version, 'sbin', 'rabbitmq-server');
  } catch {
    // Installed some other way.
    return whereIs('rabbitmq-server');
  }
}

const settings = (
  folder: string,
  [name, names]: [name: string, names: number],
  distribution: number,
): Record<string, string> => ({
  ERL_EPMD_PORT: String(names),
  ERL_EPMD_ADDRESS: '127.0.0.1',
  RABBITMQ_NODENAME: name,
  RABBITMQ_DIST_PORT: String(distribution),
  RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
  RABBITMQ_LOG_BASE: join(folder, 'log'),
  RABBITMQ_LOGS: '-',
  RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
  RABBITMQ_CONF_ENV_FILE: join(folder, 'none'),
  RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
  RABBITMQ_GENERATED_CONFIG_DIR: join(folder, 'generated'),
  RABBITMQ_FEATURE_FLAGS_FILE: join(folder, 'feature_flags'),
  RABBITMQ_PID_FILE: join(folder, 'pid'),
});

/** Erlang's port mapper, of which each cluster has its own. Otherwise a server would start one that outlives it. Returns its port. */
async function startNames(): Promise<number> {
  const port = await freePort();
  await ServerProcess.start({
    command: whereIs('epmd') ?? 'epmd',
    args: ['-port', String(port), '-address', '127.0.0.1'],
    port,
    folder: mkdtempSync(join(tmpdir(), 'penstock-epmd-')),
  });
  return port;
}

/** Starts RabbitMQ in a temporary folder. `port` is one at which the configuration makes it listen. */
export async function startRabbitmqServer(
  port: number,
  config: readonly string[],
  plugins: readonly string[] = [],
  node?: [name: string, names: number],
): Promise<{ process: ServerProcess; folder: string; env: Record<string, string> }> {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-rabbitmq-'));
  const distribution = await freePort();
  const names = node?.[1] ?? (await startNames());
  writeFileSync(join(folder, 'rabbitmq.conf'), `${config.join('\n')}\n`);
  writeFileSync(join(folder, 'enabled_plugins'), `[${plugins.join(',')}].\n`);
  // Nodes of a cluster share it.
  writeFileSync(join(folder, '.erlang.cookie'), 'penstock', { mode: 0o400 });
  const env = settings(folder, node ?? [`penstock${names}@localhost`, names], distribution);
  const command = script() ?? 'rabbitmq-server';
  const process = await ServerProcess.start({ command, args: [], env, port, folder });
  return { process, folder, env };
}

export interface RabbitmqOptions {
  /** Lines of the server's configuration. */
  config?: string[];
  tls?: { ca: string; cert: string; key: string };
  plugins?: string[];
  /** Its name in a cluster, and the port of the cluster's port mapper. */
  node?: [name: string, names: number];
  /** Users beside guest, whose password is their name, with the pattern of what they may write and configure. */
  users?: Record<string, string>;
  /** By user: pattern of the routing keys that it may write to amq.topic. */
  topics?: Record<string, string>;
}

/** Definitions that the server loads when it starts. */
function definitionsOf(users: Record<string, string>, topics: Record<string, string>): string {
  const all = Object.entries({ guest: '.*', ...users });
  return JSON.stringify({
    vhosts: [{ name: '/' }],
    users: all.map(([name]) => {
      const salt = randomBytes(4);
      const hash = createHash('sha256').update(salt).update(name).digest();
      const password_hash = Buffer.concat([salt, hash]).toString('base64');
      const tags = name === 'guest' ? ['administrator'] : [];
      return { name, password_hash, hashing_algorithm: 'rabbit_password_hashing_sha256', tags };
    }),
    permissions: all.map(([user, write]) => ({ user, vhost: '/', configure: write, write, read: '.*' })),
    topic_permissions: Object.entries(topics).map(([user, write]) => {
      return { user, vhost: '/', exchange: 'amq.topic', write, read: '.*' };
    }),
  });
}

/** A separate real RabbitMQ: free ports of 127.0.0.1, a temporary folder. It stops by itself: see `atEnd`. */
export class Rabbitmq {
  readonly port: number;
  /** Port with TLS, if it has one. */
  readonly tlsPort: number;
  readonly #server: Awaited<ReturnType<typeof startRabbitmqServer>>;

  private constructor(
    port: number,
    tlsPort: number,
    server: Awaited<ReturnType<typeof startRabbitmqServer>>,
  ) {
    this.port = port;
    this.tlsPort = tlsPort;
    this.#server = server;
  }

  static async start(options: RabbitmqOptions = {}): Promise<Rabbitmq> {
    const { config = [], tls, plugins = [], node, users, topics = {} } = options;
    const [port, tlsPort] = [await freePort(), await freePort()];
    const files = temporaryFolder('rabbitmq-config');
    const put = (name: string, text: string): string => {
      writeFileSync(join(files, name), text);
      return join(files, name);
    };
    const secure = tls
      ? [
          `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
          `ssl_options.cacertfile = ${put('ca.pem', tls.ca)}`,
          `ssl_options.certfile = ${put('cert.pem', tls.cert)}`,
          `ssl_options.keyfile = ${put('key.pem', tls.key)}`,
          'ssl_options.verify = verify_peer',
          'ssl_options.fail_if_no_peer_cert = false',
        ]
      : ['listeners.ssl = none'];
    const loaded = users
      ? [`load_definitions = ${put('definitions.json', definitionsOf(users, topics))}`]
      : [];
    const lines = [`listeners.tcp.1 = 127.0.0.1:${port}`, ...secure, ...loaded, ...config];
    return new Rabbitmq(port, tlsPort, await startRabbitmqServer(port, lines, plugins, node));
  }

  kill(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    return this.#server.process.kill(signal);
  }

  resume(): Promise<void> {
    return this.#server.process.resume();
  }

  /** Runs rabbitmqctl. */
  async ctl(...args: string[]): Promise<string> {
    const { env, folder } = this.#server;
    const command = join(dirname(script() ?? 'rabbitmq-server'), 'rabbitmqctl');
    const options = { env: { PATH: process.env.PATH, HOME: folder, ...env }, timeout: 120_000 };
    const { stdout } = await promisify(execFile)(command, args, options);
    return stdout;
  }

  /** A connection of the library. It closes by itself: see `atEnd`. */
  async client(): Promise<ChannelModel> {
    const client = await connect({ hostname: '127.0.0.1', port: this.port, heartbeat: 30 });
    client.on('error', () => {});
    atEnd(() => client.close().catch(() => {}));
    return client;
  }
}

/** Three nodes, `n0@localhost` to `n2@localhost`, that have formed a cluster. */
export async function rabbitmqCluster(): Promise<Rabbitmq[]> {
  const names = await startNames();
  const known = [0, 1, 2].map((index) => `n${index}@localhost`);
  const config = [
    'cluster_formation.peer_discovery_backend = classic_config',
    ...known.map((name, index) => `cluster_formation.classic_config.nodes.${index + 1} = ${name}`),
  ];
  const nodes: Rabbitmq[] = [];
  // The others join the first one.
  for (const name of known) nodes.push(await Rabbitmq.start({ config, node: [name, names] }));
  return nodes;
}

/** A channel with confirmations whose end is no failure of the test. */
export async function channelOf(client: ChannelModel): Promise<ConfirmChannel> {
  const channel = await client.createConfirmChannel();
  channel.on('error', () => {});
  return channel;
}

/** Declares a quorum queue, or another type. */
export async function declare(
  channel: ConfirmChannel,
  name: string,
  type: 'classic' | 'quorum' | 'stream' = 'quorum',
  more: Record<string, unknown> = {},
): Promise<string> {
  const arguments_ = { 'x-queue-type': type, ...more };
  return (await channel.assertQueue(name, { durable: true, arguments: arguments_ })).queue;
}

/** The texts of all messages of a queue, which are removed. */
export async function takeAll(channel: ConfirmChannel, queue: string): Promise<string[]> {
  const { messageCount } = await channel.checkQueue(queue);
  const texts: string[] = [];
  const show = (message: ConsumeMessage | null) => void texts.push(String(message?.content));
  const { consumerTag } = await channel.consume(queue, show, { noAck: true });
  await until('all messages', () => texts.length >= messageCount);
  await channel.cancel(consumerTag);
  return texts;
}

/** Publishes each number to the queue `in` until a server confirms it, over a connection that is opened again, to the next server. */
export class Publisher {
  readonly #ports: readonly number[];
  #opened = 0;
  #channel: ConfirmChannel | undefined;
  #client: ChannelModel | undefined;

  constructor(...ports: number[]) {
    this.#ports = ports;
    atEnd(() => this.#client?.close().catch(() => {}));
  }

  async publish(from: number, count: number): Promise<void> {
    for (let confirmed = false; !confirmed; ) {
      try {
        this.#channel ??= await this.#open();
        // While a queue or stream starts, the server confirms messages for it that it does not store, and returns them.
        let returned = false;
        this.#channel.removeAllListeners('return').on('return', () => {
          returned = true;
        });
        const options = { persistent: true, mandatory: true };
        for (let seq = from; seq < from + count; seq++)
          this.#channel.sendToQueue('in', Buffer.from(JSON.stringify({ seq })), options);
        await this.#channel.waitForConfirms();
        confirmed = !returned;
        if (returned) await pause(100);
      } catch {
        this.#channel = undefined;
        await pause(100);
      }
    }
  }

  async #open(): Promise<ConfirmChannel> {
    const port = this.#ports[this.#opened++ % this.#ports.length];
    this.#client = await connect({ hostname: '127.0.0.1', port, heartbeat: 2 });
    this.#client.on('error', () => {});
    return channelOf(this.#client);
  }
}
