import type { FaultyLink } from '../support/faulty-link.ts';
import type { FaultyPipeline } from '../support/faulty-pipeline.ts';
import type { Mosquitto, MosquittoOptions } from '../support/mosquitto.ts';
import { until } from '../support/until.ts';

/** A fault at one side of a pipeline. */

export type Side = 'source' | 'sink';

/** The target of a fault: a broker, and the link to it. */
export interface Target {
  side: Side;
  broker: Mosquitto;
  link: FaultyLink;
  rig: FaultyPipeline;
  soak: boolean;
}

export interface Fault {
  name: string;
  sides: readonly Side[];
  /** Cases that run in every check: `source 1` is the source at QoS 1. */
  always: readonly string[];
  /** Number of tasks; 1 by default. */
  tasks?: number;
  /** The broker loses messages that it had confirmed. */
  forgets?: true;
  /** Whether it happens only once: it ends on its own, or takes long. */
  once?: true;
  broker?: MosquittoOptions;
  /** Causes the fault; resolves when it is over. */
  strike(target: Target): Promise<void>;
}

const both: readonly Side[] = ['source', 'sink'];

const away =
  (signal: 'SIGKILL' | 'SIGTERM', meanwhile: (target: Target) => Promise<void> = async () => {}) =>
  async (target: Target): Promise<void> => {
    target.link.refuse();
    await target.broker.kill(signal);
    await meanwhile(target);
    await target.broker.resume();
    await target.link.heal();
  };

/** Waits until the publisher has sent the messages of this many seconds. */
const whileSending =
  (seconds: { soak: number; check: number }) =>
  async ({ rig, soak }: Target): Promise<void> => {
    const end = performance.now() + (soak ? seconds.soak : seconds.check) * 1000;
    const before = rig.traffic.sent;
    await until(
      'messages are sent meanwhile',
      () => performance.now() > end && rig.traffic.sent > before,
      120_000,
    );
  };

async function cutSilently({ link }: Target): Promise<void> {
  const before = link.accepted;
  link.blackhole();
  await until('the silence is noticed', () => link.accepted > before, 120_000);
  await link.heal();
}

async function slowDown({ link, rig, soak }: Target): Promise<void> {
  const mark = Math.max(rig.ledger.highestTaken, rig.ledger.highestGiven);
  link.delayAnswers(soak ? 2_000 : 300);
  await rig.passed(mark + 100);
  link.delayAnswers(0);
}

async function reset({ link, side }: Target): Promise<void> {
  const before = link.resets;
  const cut = (): boolean => {
    if (link.resets > before) return true;
    // It may have no connection yet, or lose it to another fault.
    link.resetMidPacket(side === 'source' ? 'down' : 'up');
    return false;
  };
  await until('a packet is cut', cut, 120_000);
}

export const faults: readonly Fault[] = [
  {
    name: 'broker killed',
    sides: both,
    // At the sink, a broker that is away for long covers more.
    always: ['source 1'],
    forgets: true,
    strike: away('SIGKILL'),
  },
  {
    name: 'broker restarted, persistent',
    sides: both,
    // kill.test.ts does this to both sides at once.
    always: [],
    strike: away('SIGTERM'),
  },
  {
    name: 'broker restarted, not persistent',
    sides: both,
    always: [],
    forgets: true,
    broker: { config: ['persistence false'] },
    strike: away('SIGTERM'),
  },
  {
    name: 'broker restarted, persistent, 3 tasks',
    sides: both,
    always: ['source 1'],
    tasks: 3,
    strike: away('SIGTERM'),
  },
  { name: 'link cut silently', sides: both, always: ['sink 2'], strike: cutSilently },
  {
    name: 'broker slow to answer',
    sides: both,
    always: ['sink 1'],
    once: true,
    strike: slowDown,
  },
  {
    name: 'reset in the middle of a packet',
    sides: both,
    always: ['source 2'],
    strike: reset,
  },
  {
    name: 'broker away for long',
    sides: ['sink'],
    always: ['sink 1'],
    once: true,
    strike: away('SIGTERM', whileSending({ soak: 60, check: 3 })),
  },
];
