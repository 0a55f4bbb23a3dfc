import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { generate, type Packet } from 'mqtt-packet';
import { Api } from '../src/cli/demo/demo.ts';
import { startBroker } from './brokers.ts';
import { until } from './deadline.ts';
import { MqttSocket } from './mqtt-socket.ts';
import { checkoutsOf, runningJobs, startPenstock } from './penstock.ts';
import { cpuMicros, peakBytes, residentBytes } from './proc.ts';
import { machineFacts, median } from './report.ts';
import { Rig } from './rig.ts';
import { percentile } from './stretch.ts';

/**
 * Measures many small pipelines in one process: their start time, CPU time and memory while each carries one message
 * per second, and the delay of a message. See README.md.
 */

const usage = `usage: node scripts/run.mjs bench/many.ts [--pipelines 1000] [--seconds 20] [--query passthrough|where]
         [--before CHECKOUT] [--rounds 1]
`;

const startMs = 600_000;
/** Time for what follows a start, such as the first statistics. */
const settleMs = 20_000;
const idleMs = 20_000;
/** Number of concurrent requests while pipelines are created. */
const atOnce = 4;

interface Plan {
  pipelines: number;
  seconds: number;
  where: boolean;
  rounds: number;
  /** The folders of the versions to measure, in turn. */
  checkouts: Map<string, string>;
}

/** Shares are in percent of a core. */
interface Figures {
  name: string;
  idleShare: number;
  idleMegabytes: number;
  share: number;
  megabytes: number;
  perMessage: number;
  p50: number;
  p99: number;
}

function readArguments(args: string[]): Plan {
  const options = {
    pipelines: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '20' },
    query: { type: 'string', default: 'passthrough' },
    before: { type: 'string' },
    rounds: { type: 'string', default: '1' },
  } as const;
  const { values } = parseArgs({ args, options });
  const [pipelines, seconds, rounds] = [values.pipelines, values.seconds, values.rounds].map(Number) as [
    number,
    number,
    number,
  ];
  const valid = pipelines >= 1 && pipelines <= 10_000 && seconds >= 1 && rounds >= 1;
  const checkouts = checkoutsOf(values.before);
  if (!valid || !checkouts || !/^(passthrough|where)$/.test(values.query)) throw new Error(usage);
  return { pipelines, seconds, where: values.query === 'where', rounds, checkouts };
}

/** Publishes to each pipeline once a second, evenly over the second, and records the delay of each message. */
class Beat {
  readonly delays: number[] = [];
  sent = 0;
  arrived = 0;
  readonly #socket: MqttSocket;
  readonly #pipelines: number;
  #timer: NodeJS.Timeout | undefined;
  #startedAt = 0;
  #lastId = 0;

  private constructor(socket: MqttSocket, pipelines: number) {
    this.#socket = socket;
    this.#pipelines = pipelines;
  }

  static async open(port: number, pipelines: number, rig: Rig): Promise<Beat> {
    const beat = new Beat(await MqttSocket.open(port, 'bench_beat', rig), pipelines);
    const counter = await MqttSocket.open(port, 'bench_count', rig);
    counter.readTo({ packet: (packet) => beat.#count(packet), caughtUp() {} });
    beat.#socket.readTo({ packet() {}, caughtUp() {} });
    await counter.ask(
      { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'out/#', qos: 0 }] },
      'suback',
    );
    return beat;
  }

  start(): void {
    this.#startedAt = performance.now();
    this.#timer = setInterval(() => this.#send(), 5);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #send(): void {
    const due = ((performance.now() - this.#startedAt) / 1000) * this.#pipelines;
    const packets: Buffer[] = [];
    for (; this.sent < due; this.sent++) {
      this.#lastId = (this.#lastId % 65_535) + 1;
      const payload = JSON.stringify({ at: performance.now(), text: 'x'.repeat(60) });
      const topic = `in/${this.sent % this.#pipelines}`;
      const flags = { qos: 1, dup: false, retain: false } as const;
      packets.push(generate({ cmd: 'publish', topic, payload, messageId: this.#lastId, ...flags }));
    }
    if (packets.length > 0) this.#socket.write(Buffer.concat(packets));
  }

  #count(packet: Packet): void {
    if (packet.cmd !== 'publish') return;
    const { at } = JSON.parse(String(packet.payload)) as { at: number };
    this.arrived++;
    this.delays.push(performance.now() - at);
  }
}

async function createAll(api: Api, { pipelines, where }: Plan, signal: AbortSignal): Promise<void> {
  let next = 0;
  const some = async (): Promise<void> => {
    for (let index = next++; index < pipelines; index = next++) {
      const table = (name: string, type: string, topic: string): string =>
        `CREATE TABLE ${name} (at DOUBLE, text TEXT) WITH (connector = 'mqtt', connection_profile = 'broker', topic = '${topic}', ` +
        `type = '${type}', qos = 'AtLeastOnce', format = 'json');`;
      const query = `${table('i', 'source', `in/${index}`)} ${table('o', 'sink', `out/${index}`)}
        INSERT INTO o SELECT ${where ? 'at, text FROM i WHERE at > 0' : '* FROM i'};`;
      const body = { name: `p${index}`, query, parallelism: 1 };
      await until(startMs, 'creating a pipeline', signal, () =>
        api.post('/pipelines', body).then(
          () => true,
          // On a machine with other work: the next try may pass.
          (error: Error) => {
            if (!error.message.includes('overloaded')) throw error;
            return false;
          },
        ),
      );
    }
  };
  await Promise.all(Array.from({ length: atOnce }, some));
}

async function untilAllRun(address: string, { pipelines }: Plan, rig: Rig): Promise<void> {
  await until(
    startMs,
    'starting all pipelines',
    rig.signal,
    async () => (await runningJobs(address)) === pipelines,
  );
}

const megabytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(0);
const seconds = (since: number): string => ((performance.now() - since) / 1000).toFixed(1);

async function measure(name: string, plan: Plan, interrupted: AbortSignal): Promise<Figures> {
  await using rig = await Rig.setUp(interrupted);
  const checkout = plan.checkouts.get(name);
  const say = (line: string): unknown => process.stdout.write(`${line}\n`);
  // With Nagle's algorithm mosquitto would hold back messages for the counter for up to 20 ms.
  const { port } = await startBroker(rig, 'm', ['set_tcp_nodelay true']);
  const settings = { PENSTOCK_RATE_LIMIT: '1000000' };
  const first = await startPenstock(rig, settings, checkout);
  say(
    `${name}\n- memory before: ${megabytes(residentBytes(first.child.pid))} MB, ${plan.pipelines} pipelines, ${plan.where ? 'a WHERE' : 'copied'}`,
  );
  const api = new Api(first.address);
  const config = { url: `mqtt://127.0.0.1:${port}` };
  await api.post('/connection_profiles', { name: 'broker', connector: 'mqtt', config });
  const createdAt = performance.now();
  await createAll(api, plan, rig.signal);
  say(`- made over HTTP in ${seconds(createdAt)} s`);
  await untilAllRun(first.address, plan, rig);
  say(`- all running ${seconds(createdAt)} s after the first was asked for`);
  const stoppedAt = performance.now();
  await first.child.stop();
  say(`- stopped, every job drained, in ${seconds(stoppedAt)} s`);
  const startedAt = performance.now();
  const { child, address } = await startPenstock(rig, settings, checkout);
  await untilAllRun(address, plan, rig);
  say(`- all running ${seconds(startedAt)} s after the process was started again`);
  const { pid } = child;
  await sleep(settleMs, undefined, { signal: rig.signal });
  const idleBefore = { cpu: cpuMicros(pid), at: performance.now() };
  await sleep(idleMs, undefined, { signal: rig.signal });
  const idleShare = (cpuMicros(pid) - idleBefore.cpu) / (performance.now() - idleBefore.at) / 10;
  const idleMegabytes = residentBytes(pid) / 1024 / 1024;
  say(`- idle: ${idleShare.toFixed(1)} % of a core, ${idleMegabytes.toFixed(0)} MB`);
  const beat = await Beat.open(port, plan.pipelines, rig);
  beat.start();
  await sleep(5_000, undefined, { signal: rig.signal });
  const before = { cpu: cpuMicros(pid), arrived: beat.arrived, at: performance.now() };
  beat.delays.length = 0;
  await sleep(plan.seconds * 1000, undefined, { signal: rig.signal });
  const elapsed = (performance.now() - before.at) / 1000;
  const messages = beat.arrived - before.arrived;
  const cpu = cpuMicros(pid) - before.cpu;
  const delays = Float64Array.from(beat.delays).sort();
  beat.stop();
  await sleep(2_000, undefined, { signal: rig.signal });
  say(
    `- ${(messages / elapsed).toFixed(0)} messages a second: ${(cpu / elapsed / 10_000).toFixed(1)} % of a core, ${(cpu / messages).toFixed(0)} µs a message, ` +
      `${megabytes(residentBytes(pid))} MB (peak ${megabytes(peakBytes(pid))})`,
  );
  const [p50, p99] = [percentile(delays, 0.5), percentile(delays, 0.99)];
  say(
    `- on their way: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms; ${beat.sent - beat.arrived} of ${beat.sent} lost`,
  );
  const memory = residentBytes(pid) / 1024 / 1024;
  const load = { share: cpu / elapsed / 10_000, megabytes: memory, perMessage: cpu / messages };
  return { name, idleShare, idleMegabytes, ...load, p50, p99 };
}

const columns = [
  ['idle, % of a core', 'idleShare', 1],
  ['idle, MB', 'idleMegabytes', 0],
  ['busy, % of a core', 'share', 1],
  ['µs/message', 'perMessage', 0],
  ['MB', 'megabytes', 0],
  ['p50 ms', 'p50', 2],
  ['p99 ms', 'p99', 2],
] as const;

/** Medians over the rounds, and those of the ratios in each round. */
function table(all: readonly Figures[]): string {
  const groups = [...Map.groupBy(all, ({ name }) => name).values()];
  const [before, after] = groups;
  const cells = (values: (key: (typeof columns)[number][1]) => number[], decimals?: number): string =>
    columns.map(([, key, own]) => (median(values(key)) ?? Number.NaN).toFixed(decimals ?? own)).join(' | ');
  const ratios = (key: (typeof columns)[number][1]): number[] =>
    (after ?? []).map((one, round) => one[key] / (before?.[round]?.[key] ?? Number.NaN));
  return [
    `| | ${columns.map(([title]) => title).join(' | ')} |`,
    `| --- |${' --: |'.repeat(columns.length)}`,
    ...groups.map((group) => `| ${group[0]?.name} | ${cells((key) => group.map((one) => one[key]))} |`),
    ...(after ? [`| ratio | ${cells(ratios, 2)} |`] : []),
  ].join('\n');
}

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)));
const plan = readArguments(process.argv.slice(2));
process.stdout.write(`${machineFacts()}\n`);
const figures: Figures[] = [];
for (let round = 0; round < plan.rounds; round++)
  for (const name of plan.checkouts.keys()) figures.push(await measure(name, plan, interrupted.signal));
process.stdout.write(`\n${table(figures)}\n`);
