import { setTimeout as sleep } from 'node:timers/promises';
import type { QoS } from 'mqtt-packet';
import { startBroker } from './brokers.ts';
import { type ContestantName, contestants, type Programs } from './contestants.ts';
import { Counter } from './counter.ts';
import { Generator } from './generator.ts';
import { ClosedLoop, type Load, PacedLoad } from './load.ts';
import { cpuMicros, peakBytes } from './proc.ts';
import { Rig } from './rig.ts';

/** Time for compilers and caches to settle before anything is measured. */
const warmUpMs = 4_000;

/** The measurements of one stretch. */
export interface Figures {
  perSecond: number;
  /** CPU time of the forwarding process, all its threads, per message that arrived. */
  cpuMicrosPerMessage: number;
  /** Delay from publishing to arrival, both brokers included: median and 99th percentile, in milliseconds. */
  delayMs: { p50: number; p99: number };
  /** Peak resident memory since its start. */
  peakBytes: number;
  /** Messages that never arrived, and duplicate arrivals, warm-up included. */
  lost: number;
  duplicates: number;
  /** Messages that arrived after a later one, warm-up included. */
  overtaken: number;
}

/** The parameters of a stretch. */
export interface Stretch {
  name: ContestantName;
  qos: QoS;
  seconds: number;
  /** Messages per second; undefined for full load. */
  rate: number | undefined;
  programs: Programs;
}

/**
 * Measures one forwarder at one QoS: new brokers, a new process, a warm-up, then `seconds` of measurement. Rejects with
 * the failure, or the reason of `interrupted`. Leaves nothing running.
 */
export async function measure(stretch: Stretch, interrupted: AbortSignal): Promise<Figures> {
  const { name, qos, seconds, rate, programs } = stretch;
  await using rig = await Rig.setUp(interrupted);
  try {
    const from = await startBroker(rig, 'a');
    const to = await startBroker(rig, 'b');
    const load = rate === undefined ? new ClosedLoop() : new PacedLoad(rate, (error) => rig.fail(error));
    await Counter.subscribe(to.port, rig, load);
    const generator = await Generator.connect(from.port, qos, rig);
    const { pid } = await contestants[name]({ fromPort: from.port, toPort: to.port, qos }, rig, programs);
    await load.start(generator, rig.signal);
    return await run(load, pid, seconds, rig.signal);
  } catch (error) {
    // The rig knows the first failure.
    throw rig.signal.aborted ? rig.signal.reason : error;
  }
}

async function run(load: Load, pid: number, seconds: number, signal: AbortSignal): Promise<Figures> {
  await sleep(warmUpMs, undefined, { signal });
  const before = sample(load, pid);
  load.delays = [];
  await sleep(seconds * 1000, undefined, { signal });
  const after = sample(load, pid);
  const delays = Float64Array.from(load.delays).sort();
  const peak = peakBytes(pid);
  await load.drain(signal);
  const counted = after.counted - before.counted;
  if (counted === 0)
    throw new Error(`nothing was forwarded while measuring; ${load.missing} messages are lost`);
  return {
    perSecond: (counted / (after.at - before.at)) * 1000,
    cpuMicrosPerMessage: (after.cpu - before.cpu) / counted,
    delayMs: { p50: percentile(delays, 0.5), p99: percentile(delays, 0.99) },
    peakBytes: peak,
    lost: load.missing,
    duplicates: load.duplicates,
    overtaken: load.overtaken,
  };
}

/** The quantile `share` of a sorted list. */
export const percentile = (sorted: Float64Array, share: number): number =>
  sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;

const sample = (load: Load, pid: number) => ({
  at: performance.now(),
  counted: load.counted,
  cpu: cpuMicros(pid),
});
