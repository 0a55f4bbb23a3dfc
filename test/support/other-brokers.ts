import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { whyMissing } from '../../scripts/servers.ts';
import { startBroker } from '../../src/cli/demo/demo.ts';
import { atEnd } from './at-end.ts';
import type { Broker } from './faulty-pipeline.ts';
import { freePort } from './mosquitto.ts';
import { ServerProcess, whereIs } from './server-process.ts';

/** A broker other than mosquitto. */
export interface BrokerKind {
  name: string;
  /** Why its tests are skipped, also for being slow; undefined when they run. */
  skipped: string | undefined;
  /** The QoS that it accepts from a publisher. */
  maximumQos: 1 | 2;
  start(): Promise<Broker>;
}

const folderOf = (name: string): string => mkdtempSync(join(tmpdir(), `penstock-${name}-`));

const urlOf = (port: number): string => `mqtt://127.0.0.1:${port}`;

async function startAedes(): Promise<Broker> {
  const { url, close } = await startBroker();
  atEnd(close);
  return { url, port: Number(new URL(url).port) };
}

async function startNats(): Promise<Broker> {
  const folder = folderOf('nats');
  const port = await freePort();
  const configFile = join(folder, 'nats.conf');
  const config = [
    'server_name: penstock',
    `listen: "127.0.0.1:${await freePort()}"`,
    `jetstream { store_dir: "${folder}" }`,
    // By default it waits 30 seconds before a redelivery, also in a resumed session.
    `mqtt { host: "127.0.0.1", port: ${port}, ack_wait: "3s" }`,
  ];
  writeFileSync(configFile, config.join('\n'));
  const command = whereIs('nats-server') ?? 'nats-server';
  await ServerProcess.start({ command, args: ['-c', configFile], port, folder });
  return { url: urlOf(port), port };
}

const rabbitmqHome = '/usr/lib/rabbitmq/lib';

/** The start script itself: the one on the path switches to a user whose folders are the system's. */
function rabbitmqScript(): string | undefined {
  if (!whereIs('rabbitmq-server') || !whereIs('epmd')) return undefined;
  try {
    const [version] = readdirSync(rabbitmqHome).filter((name) => name.startsWith('rabbitmq_server-'));
    return version && join(rabbitmqHome, version, 'sbin', 'rabbitmq-server');
  } catch {
    // Installed some other way.
    return whereIs('rabbitmq-server');
  }
}

/** Starts RabbitMQ with its MQTT plugin. */
export async function startRabbitmq(): Promise<Broker & Pick<ServerProcess, 'kill' | 'resume'>> {
  const folder = folderOf('rabbitmq');
  const [port, names, distribution] = [await freePort(), await freePort(), await freePort()];
  const config = [
    'listeners.tcp = none',
    `mqtt.listeners.tcp.1 = 127.0.0.1:${port}`,
    'mqtt.allow_anonymous = true',
  ];
  writeFileSync(join(folder, 'rabbitmq.conf'), `${config.join('\n')}\n`);
  writeFileSync(join(folder, 'enabled_plugins'), '[rabbitmq_mqtt].\n');
  const env = rabbitmqSettings(folder, names, distribution);
  // Otherwise it would start Erlang's port mapper as a daemon that outlives it.
  await ServerProcess.start({
    command: whereIs('epmd') ?? 'epmd',
    args: ['-port', String(names), '-address', '127.0.0.1'],
    port: names,
    folder: folderOf('epmd'),
  });
  const command = rabbitmqScript() ?? 'rabbitmq-server';
  const server = await ServerProcess.start({ command, args: [], env, port, folder });
  return { url: urlOf(port), port, kill: (signal) => server.kill(signal), resume: () => server.resume() };
}

const rabbitmqSettings = (folder: string, names: number, distribution: number): Record<string, string> => ({
  ERL_EPMD_PORT: String(names),
  ERL_EPMD_ADDRESS: '127.0.0.1',
  RABBITMQ_NODENAME: `penstock${names}@localhost`,
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

export const kinds: readonly BrokerKind[] = [
  { name: 'aedes', skipped: undefined, maximumQos: 2, start: startAedes },
  {
    name: 'nats-server',
    skipped: whyMissing('nats-server'),
    maximumQos: 1,
    start: startNats,
  },
  {
    name: 'RabbitMQ',
    skipped:
      whyMissing('RabbitMQ') ??
      (process.env.PENSTOCK_SOAK === '1' ? undefined : 'RabbitMQ is slow to start (npm run soak)'),
    maximumQos: 1,
    start: startRabbitmq,
  },
];
