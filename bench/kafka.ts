import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Admin, Producer } from '@platformatic/kafka';
import { kafkaFolder } from '../scripts/kafka.ts';
import { Api } from '../src/cli/demo/demo.ts';
import { startBento } from './bento.ts';
import { freePort, startBroker } from './brokers.ts';
import type { Child } from './child.ts';
import { Counter } from './counter.ts';
import { until } from './deadline.ts';
import { Generator } from './generator.ts';
import { encodePayload, kafkaTopic, topic } from './message.ts';
import { rawString, startPenstock } from './penstock.ts';
import { assertProc, cpuMicros } from './proc.ts';
import { machineFacts, median } from './report.ts';
import { Rig } from './rig.ts';

/** Measures what a message costs from MQTT to Kafka and back, beside the bare loop that acknowledges early and beside Bento. See README.md. */

const usage = 'usage: node scripts/run.mjs bench/kafka.ts [--messages 200000] [--rounds 3] [--bento PATH]\n';

const directions = ['to kafka', 'to mqtt'] as const;
type Direction = (typeof directions)[number];

/** Maximum number of messages that are on their way. */
const inTransit = 5_000;
const warmUp = 20_000;
const readyMs = 60_000;
const maxMs = 300_000;

interface Ends {
  rig: Rig;
  direction: Direction;
  port: number;
  kafka: string;
}

type Start = (ends: Ends) => Promise<Child>;

interface Figures {
  perSecond: number;
  cpuMicrosPerMessage: number;
}

const bare: Start = async ({ rig, direction, port, kafka }) =>
  rig.run({
    name: 'the bare loop',
    command: process.execPath,
    args: [join(import.meta.dirname, 'kafka-bare.ts'), direction, String(port), kafka],
  });

const penstock: Start = async ({ rig, direction, port, kafka }) => {
  const { child, address } = await startPenstock(rig);
  const api = new Api(address);
  const table = async (name: string, connector: string, profile: object, config: object) => {
    const { id } = await api.post('/connection_profiles', { name, connector, config: profile });
    const body = { name, connector, connection_profile_id: id, config, schema: rawString };
    await api.post('/connection_tables', body);
  };
  const [atMqtt, atKafka] = [
    { url: `mqtt://127.0.0.1:${port}` },
    { bootstrapServers: kafka, authentication: {} },
  ];
  const mqttTable = (type: object) => ({ topic, qos: 'AtLeastOnce', type });
  const kafkaTable = (type: object) => ({ topic: kafkaTopic, type });
  if (direction === 'to kafka') {
    await table('source', 'mqtt', atMqtt, mqttTable({}));
    await table('sink', 'kafka', atKafka, kafkaTable({ commit_mode: 'at_least_once' }));
  } else {
    await table('source', 'kafka', atKafka, kafkaTable({ offset: 'earliest' }));
    await table('sink', 'mqtt', atMqtt, mqttTable({ retain: false }));
  }
  const query = 'INSERT INTO sink SELECT * FROM source;';
  const { id } = await api.post('/pipelines', { name: 'bench', query, parallelism: 1 });
  await api.untilRunning(id, readyMs);
  return child;
};

const bento =
  (program: string): Start =>
  ({ rig, direction, port, kafka }) => {
    const client = { urls: [`tcp://127.0.0.1:${port}`], client_id: 'bench_bento' };
    const franz = { seed_brokers: [kafka] };
    const mqtt = { ...client, qos: 1 };
    return startBento(program, rig, {
      ...(direction === 'to kafka'
        ? {
            input: { mqtt: { ...mqtt, topics: [topic], clean_session: false } },
            output: {
              kafka_franz: { ...franz, topic: kafkaTopic, batching: { count: 500, period: '5ms' } },
            },
          }
        : {
            input: { kafka_franz: { ...franz, topics: [kafkaTopic], consumer_group: 'bento' } },
            output: { mqtt: { ...mqtt, topic, max_in_flight: 1_000 } },
          }),
    });
  };

/** Starts a Kafka of one node. Returns its address. */
async function startKafka(rig: Rig): Promise<string> {
  const jars = kafkaFolder();
  if (jars === undefined) throw new Error('Kafka is not there: node scripts/kafka.ts');
  const [port, controller] = [await freePort(), await freePort()];
  const folder = join(rig.folder, 'kafka');
  await mkdir(folder);
  const properties = join(folder, 'server.properties');
  const lines = [
    'process.roles=broker,controller',
    'node.id=1',
    `controller.quorum.voters=1@127.0.0.1:${controller}`,
    `listeners=CONTROLLER://127.0.0.1:${controller},PLAINTEXT://127.0.0.1:${port}`,
    'controller.listener.names=CONTROLLER',
    `log.dirs=${join(folder, 'data')}`,
    'offsets.topic.replication.factor=1',
    'offsets.topic.num.partitions=1',
    'group.initial.rebalance.delay.ms=0',
    'auto.create.topics.enable=false',
  ];
  await writeFile(properties, `${lines.join('\n')}\n`);
  const java = (...args: string[]): string[] => ['-Xmx512m', '-cp', join(jars, '*'), ...args];
  const id = randomBytes(16).toString('base64url').replace(/^-/, 'A');
  const format = ['kafka.tools.StorageTool', 'format', '-t', id, '-c', properties];
  execFileSync('java', java(...format), { cwd: folder, stdio: 'pipe' });
  rig.run({
    name: 'Kafka',
    command: 'java',
    args: java('kafka.Kafka', properties),
    options: { cwd: folder },
  });
  return `127.0.0.1:${port}`;
}

async function openTopic(address: string, rig: Rig): Promise<Admin> {
  const admin = new Admin({ clientId: 'bench', bootstrapBrokers: [address], retries: 0, timeout: 5_000 });
  rig.defer(() => admin.close());
  const create = () => admin.createTopics({ topics: [kafkaTopic], partitions: 1, replicas: 1 });
  const isThere = () =>
    create().then(
      () => true,
      () => false,
    );
  await until(readyMs, 'starting Kafka', rig.signal, isThere);
  const led = () =>
    ended(admin).then(
      () => true,
      () => false,
    );
  await until(readyMs, 'electing a leader', rig.signal, led);
  return admin;
}

/** Number of messages in the topic. */
async function ended(admin: Admin): Promise<number> {
  const partitions = [{ partitionIndex: 0, timestamp: -1n }];
  const [found] = await admin.listOffsets({ topics: [{ name: kafkaTopic, partitions }] });
  return Number(found?.partitions[0]?.offset ?? 0);
}

/** One end that messages come from, and one that counts them. */
interface Flow {
  send(first: number, count: number): Promise<void> | void;
  arrived(): Promise<number> | number;
}

async function openFlow(
  direction: Direction,
  port: number,
  kafka: string,
  admin: Admin,
  rig: Rig,
): Promise<Flow> {
  if (direction === 'to kafka') {
    const generator = await Generator.connect(port, 1, rig);
    return { send: (first, count) => generator.publish(first, count), arrived: () => ended(admin) };
  }
  let arrived = 0;
  const count = () => {
    arrived += 1;
  };
  await Counter.subscribe(port, rig, { arrived: count, caughtUp: () => {} });
  const producer = new Producer({ clientId: 'bench', bootstrapBrokers: [kafka] });
  rig.defer(() => producer.close());
  const message = (seq: number) => ({ topic: kafkaTopic, partition: 0, value: encodePayload(seq) });
  const send = async (first: number, wanted: number) => {
    const messages = Array.from({ length: wanted }, (_, nth) => message(first + nth));
    await producer.send({ acks: 1, messages });
  };
  return { send, arrived: () => arrived };
}

/** Sends messages, as many as may be in transit, until this number has arrived since. */
async function pass(flow: Flow, first: number, count: number, { signal }: Rig): Promise<void> {
  const [before, deadline] = [await flow.arrived(), performance.now() + maxMs];
  let sent = 0;
  for (let arrived = 0; arrived < count; arrived = (await flow.arrived()) - before) {
    if (performance.now() > deadline)
      throw new Error(`${arrived} of ${count} messages arrived in ${maxMs} ms`);
    const free = Math.min(inTransit - (sent - arrived), count - sent);
    if (free > 0) await flow.send(first + sent, free);
    sent += Math.max(0, free);
    await sleep(5, undefined, { signal });
  }
}

async function measure(
  start: Start,
  direction: Direction,
  messages: number,
  interrupted: AbortSignal,
): Promise<Figures> {
  await using rig = await Rig.setUp(interrupted);
  const [{ port }, kafka] = await Promise.all([startBroker(rig, 'bench'), startKafka(rig)]);
  const admin = await openTopic(kafka, rig);
  const flow = await openFlow(direction, port, kafka, admin, rig);
  const { pid } = await start({ rig, direction, port, kafka });
  // A message that comes before the subscription is lost.
  let probes = 0;
  await until(readyMs, 'the first message', rig.signal, async () => {
    if ((await flow.arrived()) > 0) return true;
    await flow.send(++probes, 1);
    return false;
  });
  await sleep(1_000, undefined, { signal: rig.signal });
  await pass(flow, 1_000, warmUp, rig);
  const before = { at: performance.now(), cpu: cpuMicros(pid) };
  await pass(flow, 1_000_000, messages, rig);
  return {
    perSecond: (messages * 1_000) / (performance.now() - before.at),
    cpuMicrosPerMessage: (cpuMicros(pid) - before.cpu) / messages,
  };
}

function report(results: Map<string, Figures[]>, names: readonly string[]): string {
  const lines = directions.flatMap((direction) =>
    names.map((name) => {
      const own = results.get(`${direction} ${name}`) ?? [];
      const ratios = (other: string) =>
        own.map(
          ({ cpuMicrosPerMessage }, round) =>
            cpuMicrosPerMessage /
            (results.get(`${direction} ${other}`)?.[round]?.cpuMicrosPerMessage ?? Number.NaN),
        );
      const cells = [
        [median(own.map(({ perSecond }) => perSecond)), 0],
        [median(own.map(({ cpuMicrosPerMessage }) => cpuMicrosPerMessage)), 1],
        [median(ratios('bare')), 2],
        ...(names.includes('bento') ? [[median(ratios('bento')), 2] as const] : []),
      ] as const;
      const texts = cells.map(([value, decimals]) => (value ?? Number.NaN).toFixed(decimals));
      return `| ${direction} | ${name} | ${texts.join(' | ')} |`;
    }),
  );
  const peer = names.includes('bento') ? [' of Bento |', ' --: |'] : ['', ''];
  return [
    `| | | messages/s | CPU µs/message | of the bare loop |${peer[0]}`,
    `| --- | --- | --: | --: | --: |${peer[1]}`,
    ...lines,
  ].join('\n');
}

function contestantsWith(path: string | undefined): Map<string, Start> {
  const contestants = new Map([
    ['bare', bare],
    ['penstock', penstock],
  ]);
  if (path === undefined) return contestants;
  const program = resolve(path);
  if (!existsSync(program)) throw new Error(`there is no ${program}`);
  return contestants.set('bento', bento(program));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      messages: { type: 'string', default: '200000' },
      rounds: { type: 'string', default: '3' },
      bento: { type: 'string' },
    },
  });
  assertProc();
  const contestants = contestantsWith(values.bento);
  const results = new Map<string, Figures[]>();
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)));
  const leftOut = values.bento === undefined ? '\n- without Bento: no path was given (--bento)' : '';
  process.stdout.write(`${machineFacts()}${leftOut}\n\n`);
  for (let round = 0; round < Number(values.rounds); round += 1)
    for (const direction of directions)
      for (const [name, start] of contestants) {
        const figures = await measure(start, direction, Number(values.messages), interrupted.signal);
        process.stderr.write(`${round} ${direction} ${name}: ${JSON.stringify(figures)}\n`);
        const key = `${direction} ${name}`;
        results.set(key, [...(results.get(key) ?? []), figures]);
      }
  process.stdout.write(`${report(results, [...contestants.keys()])}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n${usage}`);
  process.exitCode = 1;
});
