import { setTimeout as sleep } from 'node:timers/promises';
import type { QoS } from 'mqtt-packet';
import { startBroker } from './brokers.ts';
import { ClosedLoop } from './closed-loop.ts';
import { type ContestantName, contestants } from './contestants.ts';
import { Counter } from './counter.ts';
import { Generator } from './generator.ts';
import { cpuMicros, peakBytes } from './proc.ts';
import { Rig } from './rig.ts';

/** Time for compilers and caches to settle before anything is measured. */
const warmUpMs = 4_000;

/** What one stretch measured. */
export interface Figures {
  perSecond: number;
  /** CPU time of the forwarding process, all its threads, per message that arrived. */
  cpuMicrosPerMessage: number;
  /** The most memory it had resident at once, since its start. */
  peakBytes: number;
  /** Messages that never arrived, and arrivals beyond the first; the warm-up counts too. */
  lost: number;
  duplicates: number;
}

/**
 * Measures one forwarder at one QoS: new brokers, a new process, a warm-up, then `seconds` of measuring. Rejects with
 * what went wrong, or the reason of `interrupted`; nothing is left running either way.
 */
export async function measure(
  name: ContestantName,
  qos: QoS,
  seconds: number,
  interrupted: AbortSignal,
): Promise<Figures> {
  await using rig = await Rig.setUp(interrupted);
  try {
    const from = await startBroker(rig, 'a');
    const to = await startBroker(rig, 'b');
    const loop = new ClosedLoop();
    await Counter.subscribe(to.port, rig, loop);
    const generator = await Generator.connect(from.port, qos, rig);
    const { pid } = await contestants[name]({ fromPort: from.port, toPort: to.port, qos }, rig);
    await loop.start(generator, rig.signal);
    return await run(loop, pid, seconds, rig.signal);
  } catch (error) {
    // Whatever was being waited for, the rig knows what broke first.
    throw rig.signal.aborted ? rig.signal.reason : error;
  }
}

async function run(loop: ClosedLoop, pid: number, seconds: number, signal: AbortSignal): Promise<Figures> {
  await sleep(warmUpMs, undefined, { signal });
  const before = sample(loop, pid);
  await sleep(seconds * 1000, undefined, { signal });
  const after = sample(loop, pid);
  const peak = peakBytes(pid);
  await loop.drain(signal);
  const counted = after.counted - before.counted;
  if (counted === 0)
    throw new Error(`nothing was forwarded while measuring; ${loop.missing} messages are lost`);
  return {
    perSecond: (counted / (after.at - before.at)) * 1000,
    cpuMicrosPerMessage: (after.cpu - before.cpu) / counted,
    peakBytes: peak,
    lost: loop.missing,
    duplicates: loop.duplicates,
  };
}

const sample = (loop: ClosedLoop, pid: number) => ({
  at: performance.now(),
  counted: loop.counted,
  cpu: cpuMicros(pid),
});
