import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { whyMissing } from '../../scripts/servers.ts';
import { startBroker } from '../../src/cli/demo/demo.ts';
import { atEnd } from './at-end.ts';
import type { Broker } from './faulty-pipeline.ts';
import { freePort } from './free-port.ts';
import { startRabbitmqServer } from './rabbitmq.ts';
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

/** Starts RabbitMQ with its MQTT plugin. */
export async function startRabbitmq(): Promise<Broker & Pick<ServerProcess, 'kill' | 'resume'>> {
  const port = await freePort();
  const config = [
    'listeners.tcp = none',
    `mqtt.listeners.tcp.1 = 127.0.0.1:${port}`,
    'mqtt.allow_anonymous = true',
  ];
  const { process: server } = await startRabbitmqServer(port, config, ['rabbitmq_mqtt']);
  return { url: urlOf(port), port, kill: (signal) => server.kill(signal), resume: () => server.resume() };
}

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
