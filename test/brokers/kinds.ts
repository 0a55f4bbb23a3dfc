import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { whyMissing } from '../../scripts/servers.ts';
import { freePort } from '../support/free-port.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { startRabbitmq } from '../support/other-brokers.ts';
import { ServerProcess, whereIs } from '../support/server-process.ts';

/** A broker that keeps its port and its files over a restart. */
export interface RestartableBroker {
  port: number;
  /** 4 for a broker without MQTT 5. */
  version?: 4 | 5;
  username?: string;
  kill(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  resume(): Promise<void>;
}

export interface BrokerRow {
  /** Name and version, as in docs/brokers.md. */
  name: string;
  /** Why it is skipped; undefined when it runs. */
  skipped: string | undefined;
  start(): Promise<RestartableBroker>;
}

/** The folder that test/brokers/get.sh has filled. */
const fetched = process.env.PENSTOCK_TEST_BROKERS ?? '';

const java = join(import.meta.dirname, 'java');

const folderFor = (name: string): string => mkdtempSync(join(tmpdir(), `penstock-${name}-`));

async function run(
  name: string,
  prepare: (place: { folder: string; port: number }) => {
    command: string;
    args: string[];
    env?: Record<string, string>;
  },
): Promise<RestartableBroker> {
  const [folder, port] = [folderFor(name), await freePort()];
  const server = await ServerProcess.start({ ...prepare({ folder, port }), folder, port });
  return { port, kill: (signal) => server.kill(signal), resume: () => server.resume() };
}

/** A broker in Java, started from the jars that get.sh has fetched. */
const inJava =
  (name: string, main: string): BrokerRow['start'] =>
  () =>
    run(name, ({ folder, port }) => ({
      command: whereIs('java') ?? 'java',
      args: [
        '-cp',
        `${fetched}/${name}/lib/*`,
        join(java, `${main}.java`),
        String(port),
        join(folder, 'data'),
      ],
    }));

function fetchedRow(title: string, name: string, start: BrokerRow['start']): BrokerRow {
  const file = join(fetched, name, 'version');
  const found = fetched !== '' && existsSync(file);
  const version = found ? readFileSync(file, 'utf8').trim() : '';
  return {
    name: `${title} ${version}`.trim(),
    skipped: found ? undefined : `see test/brokers/get.sh`,
    start,
  };
}

function mochi(): Promise<RestartableBroker> {
  return run('mochi', ({ folder, port }) => {
    const config = {
      listeners: [{ type: 'tcp', id: 'tcp', address: `127.0.0.1:${port}` }],
      hooks: { storage: { bolt: { path: join(folder, 'bolt.db') } }, auth: { allow_all: true } },
    };
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
    return { command: join(fetched, 'mochi', 'mochi'), args: ['-config', join(folder, 'config.json')] };
  });
}

function nats(): Promise<RestartableBroker> {
  return run('nats', ({ folder, port }) => {
    const config = `server_name: penstock\nlisten: "127.0.0.1:-1"\njetstream { store_dir: "${folder}" }
      mqtt { host: "127.0.0.1", port: ${port}, ack_wait: "3s" }`;
    writeFileSync(join(folder, 'nats.conf'), config);
    return { command: whereIs('nats-server') ?? 'nats-server', args: ['-c', join(folder, 'nats.conf')] };
  });
}

function ejabberd(): Promise<RestartableBroker> {
  return run('ejabberd', ({ folder, port }) => {
    const config = `hosts: [localhost]\nloglevel: error\nauth_method: anonymous\nanonymous_protocol: login_anon
allow_multiple_connections: true\nlisten:\n  - port: ${port}\n    ip: "127.0.0.1"\n    module: mod_mqtt
modules:\n  mod_mqtt: {}\n`;
    writeFileSync(join(folder, 'ejabberd.yml'), config);
    const env = {
      ERL_LIBS: '/usr/lib/x86_64-linux-gnu',
      EJABBERD_CONFIG_PATH: join(folder, 'ejabberd.yml'),
      EJABBERD_LOG_PATH: join(folder, 'ejabberd.log'),
    };
    const args = ['-mnesia', 'dir', `"${join(folder, 'spool')}"`, '-s', 'ejabberd', '-noinput'];
    return { command: whereIs('erl') ?? 'erl', args, env };
  });
}

const debianVersion = (name: string): string => {
  const { stdout } = spawnSync('dpkg-query', ['-s', name], { encoding: 'utf8' });
  return /^Version: ([\d.]+\d)/m.exec(stdout ?? '')?.[1] ?? '';
};

const slow = process.env.PENSTOCK_SOAK === '1' ? undefined : 'it takes minutes (npm run soak)';

const row = (
  title: string,
  version: string,
  missing: string | undefined,
  start: BrokerRow['start'],
): BrokerRow => ({
  name: `${title} ${version}`.trim(),
  skipped: missing ?? slow,
  start,
});

const with311 = (start: BrokerRow['start']) => async () => ({ ...(await start()), version: 4 as const });
const withUser = (start: BrokerRow['start']) => async () => ({ ...(await start()), username: 'penstock' });

export const brokerRows: readonly BrokerRow[] = [
  {
    name: `mosquitto ${debianVersion('mosquitto')}`.trim(),
    skipped: undefined,
    start: () => Mosquitto.start({ quiet: true }),
  },
  row('RabbitMQ', debianVersion('rabbitmq-server'), whyMissing('RabbitMQ'), with311(startRabbitmq)),
  row('nats-server', debianVersion('nats-server'), whyMissing('nats-server'), with311(nats)),
  row(
    'ejabberd',
    debianVersion('ejabberd'),
    whereIs('erl') && existsSync('/usr/sbin/ejabberdctl')
      ? undefined
      : 'ejabberd is not installed (apt-get install ejabberd)',
    withUser(ejabberd),
  ),
  ...[
    fetchedRow('ActiveMQ Classic', 'activemq', with311(inJava('activemq', 'ActiveMq'))),
    fetchedRow('ActiveMQ Artemis', 'artemis', inJava('artemis', 'Artemis')),
    fetchedRow('HiveMQ CE', 'hivemq', inJava('hivemq', 'HiveMq')),
    fetchedRow('Moquette', 'moquette', with311(inJava('moquette', 'Moquette'))),
    fetchedRow('mochi', 'mochi', mochi),
  ].map((one) => ({ ...one, skipped: one.skipped ?? slow })),
];
