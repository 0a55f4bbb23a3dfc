import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startBroker } from './brokers.ts';
import { topic } from './message.ts';
import { MqttSocket } from './mqtt-socket.ts';
import { PacketSplitter, payloadOf, publish } from './packets.ts';
import { assertProc, familyMicros, peakBytes } from './proc.ts';
import { Readings } from './readings.ts';
import { machineFacts, median } from './report.ts';
import { Rig } from './rig.ts';
import { Tap } from './tap.ts';
import { type WindowContestant, type WindowContestantName, windowContestants } from './window-contestants.ts';
import { measureState } from './window-state.ts';

/**
 * Measures windows: count and average by 1,000 devices over a second, beside what only forwards the messages. With --state: a job
 * with many open keys. See README.md.
 */

const usage =
  'usage: node scripts/run.mjs bench/windows.ts [--rounds 3] [--seconds 10] [--in-flight 10000] [--only NAMES] [--telegraf PATH]\n' +
  '       node scripts/run.mjs bench/windows.ts --state [--keys 1000000]\n';

const warmUpMs = 4_000;
const readyMs = 15_000;
const drainMs = 20_000;

interface Figures {
  perSecond: number;
  cpuMicrosPerMessage: number;
  peakBytes: number;
  /** Published messages that are in no count; negative if some count twice. */
  missing: number;
}

interface Plan {
  rounds: number;
  seconds: number;
  inFlight: number;
}

async function measure({ start, count, needsTime }: WindowContestant, plan: Plan, interrupted: AbortSignal) {
  await using rig = await Rig.setUp(interrupted);
  const limit = [`max_inflight_messages ${plan.inFlight}`];
  const from = await startBroker(rig, 'a', limit);
  const to = await startBroker(rig, 'b', limit);
  const tap = await Tap.open(from.port, rig);
  const total = await countArrivals(to.port, count, rig);
  const readings = await Readings.connect(from.port, rig);
  const { pid } = await start({ fromPort: tap.port, toPort: to.port, qos: 1 }, rig);
  await untilTaken(tap, readings, rig.signal);

  const missing = () => readings.published - total();
  const probes = tap.acknowledged;
  let flowing = true;
  tap.onAcknowledged = () => {
    const free = plan.inFlight - (readings.published + probes - tap.acknowledged);
    if (flowing && free > 0) readings.publish(free);
  };
  tap.onAcknowledged();
  await sleep(warmUpMs, undefined, { signal: rig.signal });
  const sample = () => ({ at: performance.now(), taken: tap.acknowledged, cpu: familyMicros(pid) });
  const before = sample();
  await sleep(plan.seconds * 1000, undefined, { signal: rig.signal });
  const after = sample();
  flowing = false;
  const deadline = performance.now() + drainMs;
  while (missing() !== 0 && performance.now() < deadline) {
    if (needsTime) readings.close();
    await sleep(100, undefined, { signal: rig.signal });
  }
  const taken = after.taken - before.taken;
  if (taken === 0) throw new Error('nothing was taken in while measuring');
  return {
    perSecond: (taken * 1000) / (after.at - before.at),
    cpuMicrosPerMessage: (after.cpu - before.cpu) / taken,
    peakBytes: peakBytes(pid),
    missing: missing(),
  };
}

/** Returns the sum of what has come out so far. */
async function countArrivals(
  port: number,
  count: WindowContestant['count'],
  rig: Rig,
): Promise<() => number> {
  let total = 0;
  const socket = await MqttSocket.open(port, 'bench_counter', rig);
  await socket.ask({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 0 }] }, 'suback');
  const packets = new PacketSplitter((type, packet) => {
    if (type === publish) total += count(payloadOf(packet));
  });
  socket.readBytesTo((chunk) => packets.push(chunk));
  return () => total;
}

/** A message that comes before the subscription is lost, so these are not counted. */
async function untilTaken(tap: Tap, readings: Readings, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + readyMs;
  while (tap.acknowledged === 0) {
    if (performance.now() > deadline) throw new Error(`nothing was taken in for ${readyMs} ms`);
    readings.close();
    await sleep(100, undefined, { signal });
  }
  // Until all probes are.
  await sleep(1_000, undefined, { signal });
}

type Results = Map<WindowContestantName, Map<number, Figures>>;

function report(results: Results): string {
  const middle = (name: WindowContestantName, read: (figures: Figures) => number) =>
    median([...(results.get(name)?.values() ?? [])].map(read));
  /** In the same round, so that a slow round affects both. */
  const ratio = (
    name: WindowContestantName,
    other: WindowContestantName,
    read: (figures: Figures) => number,
  ) =>
    median(
      [...(results.get(name) ?? [])].flatMap(([round, figures]) => {
        const against = results.get(other)?.get(round);
        return against ? [read(figures) / read(against)] : [];
      }),
    );
  const rate = ({ perSecond }: Figures) => perSecond;
  const cpu = ({ cpuMicrosPerMessage }: Figures) => cpuMicrosPerMessage;
  const lines = [...results.keys()].map((name) => {
    const cells = [
      text(middle(name, rate), 0),
      text(ratio(name, 'pass-through', rate), 2),
      text(middle(name, cpu), 1),
      text(ratio(name, 'bridge', cpu), 2),
      text(ratio(name, 'telegraf', rate), 2),
      text(ratio(name, 'telegraf', cpu), 2),
      text(
        middle(name, (figures) => figures.peakBytes / 1e6),
        0,
      ),
      [...(results.get(name)?.values() ?? [])].map(({ missing }) => missing).join(' '),
    ];
    return `| ${name} | ${cells.join(' | ')} |`;
  });
  const titles = [
    ...['', 'messages/s', 'of pass-through', 'CPU µs/message', 'of the bridge'],
    ...['rate, of Telegraf', 'CPU, of Telegraf', 'peak RSS MB', 'missing'],
  ];
  return [`| ${titles.join(' | ')} |`, `| --- |${' --: |'.repeat(titles.length - 1)}`, ...lines].join('\n');
}

const text = (value: number | undefined, decimals: number): string =>
  value === undefined ? '–' : value.toFixed(decimals);

const rotated = <T>(items: readonly T[], by: number): T[] => {
  const first = by % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
};

async function measureAll(
  contestants: ReadonlyMap<WindowContestantName, WindowContestant>,
  plan: Plan,
  interrupted: AbortSignal,
): Promise<Results> {
  const results: Results = new Map([...contestants.keys()].map((name) => [name, new Map()]));
  for (let round = 0; round < plan.rounds; round++)
    for (const [name, contestant] of rotated([...contestants], round)) {
      const figures = await measure(contestant, plan, interrupted);
      results.get(name)?.set(round, figures);
      process.stderr.write(`round ${round + 1}/${plan.rounds}, ${name}: ${JSON.stringify(figures)}\n`);
    }
  return results;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '10' },
      'in-flight': { type: 'string', default: '10000' },
      only: { type: 'string' },
      telegraf: { type: 'string' },
      state: { type: 'boolean', default: false },
      keys: { type: 'string', default: '1000000' },
    },
  });
  assertProc();
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)));
  if (values.state) {
    process.stdout.write(`${machineFacts()}\n\n`);
    process.stdout.write(`${await measureState(Number(values.keys), interrupted.signal)}\n`);
    return;
  }
  const contestants = windowContestants(values.telegraf);
  const only = values.only?.split(',');
  for (const name of contestants.keys()) if (only && !only.includes(name)) contestants.delete(name);
  const leftOut = values.telegraf === undefined ? '\n- without Telegraf: no path was given (--telegraf)' : '';
  process.stdout.write(`${machineFacts()}${leftOut}\n\n`);
  const [rounds, seconds, inFlight] = [values.rounds, values.seconds, values['in-flight']].map(Number);
  const plan = { rounds, seconds, inFlight } as Plan;
  process.stdout.write(`${report(await measureAll(contestants, plan, interrupted.signal))}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n${usage}`);
  process.exitCode = 1;
});
