import { afterAll, describe, expect, test } from 'vitest';
import { FaultyPipeline } from '../support/faulty-pipeline.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { until } from '../support/until.ts';
import { type Fault, faults, type Side } from './faults.ts';
import { line, markdown, type Outcome } from './outcome.ts';

/**
 * Every fault of `faults.ts`, at both sides and both QoS levels, on a pipeline between two brokers. A check runs the most
 * important cases once each; `npm run soak` runs all of them, with more messages and several times.
 */

const soak = process.env.PENSTOCK_SOAK === '1';
const rounds = soak ? 2 : 1;
const perSecond = soak ? 1_000 : 400;
/** Messages before the first fault, and after each. */
const stretch = soak ? 1_500 : 200;
const patienceMs = soak ? 300_000 : 60_000;

const outcomes: Outcome[] = [];
afterAll(() => {
  if (soak) console.log(markdown(outcomes));
});

let _rig: FaultyPipeline | undefined;

const brokerOf = (options = {}): Promise<Mosquitto> => {
  const config = ['max_queued_messages 0', ...((options as { config?: string[] }).config ?? [])];
  return Mosquitto.start({ ...options, config, quiet: true });
};

interface Course {
  recoveriesMs: number[];
  /** The numbers sent before or during a fault: a broker that loses its state may lose these. */
  exposed: number;
}

/** Keeps messages flowing while the fault strikes; resolves when all are sent. */
async function endure(
  fault: Fault,
  side: Side,
  brokers: Record<Side, Mosquitto>,
  at: FaultyPipeline,
): Promise<Course> {
  const { ledger, traffic } = at;
  const course: Course = { recoveriesMs: [], exposed: 0 };
  const stop = traffic.keepPublishing(perSecond);
  await at.passed(stretch);
  for (let round = 0; round < (fault.once ? 1 : rounds); round++) {
    await fault.strike({ side, broker: brokers[side], link: at[side], rig: at, soak });
    const over = performance.now();
    // Messages that the source had received may still be in flight.
    const back = await at.passed(side === 'source' ? ledger.highestGiven : ledger.highestTaken, patienceMs);
    course.recoveriesMs.push(back - over);
    course.exposed = traffic.sent;
    // Wait for the backlog, so that the next fault starts from a clean state.
    await at.passed(traffic.sent + stretch, patienceMs);
  }
  await stop();
  return course;
}

/** Waits for late arrivals, and counts. `expected` is the number of confirmations expected from the sink's broker. */
async function account(
  fault: Fault,
  side: Side,
  qos: 1 | 2,
  course: Course,
  at: FaultyPipeline,
): Promise<Outcome> {
  const { ledger, traffic } = at;
  const forgetful = fault.forgets === true && side === 'source';
  await at.passed(traffic.sent - 2, patienceMs).catch(() => {});
  if (!forgetful)
    await until('all are confirmed', () => ledger.taken.size === traffic.sent, patienceMs).catch(() => {});
  await traffic.settle();
  const { missing } = traffic;
  const lost = missing.filter((seq) => !ledger.taken.has(seq)).length;
  return {
    fault: fault.name,
    side,
    qos,
    sent: traffic.sent,
    lost,
    lostBehind: missing.length - lost,
    duplicated: traffic.duplicated,
    recoveriesMs: fault.name === 'broker slow to answer' ? [] : course.recoveriesMs,
  };
}

const cases = faults.flatMap((fault) =>
  fault.sides.flatMap((side) =>
    ([1, 2] as const)
      .filter((qos) => soak || fault.always.includes(`${side} ${qos}`))
      .map((qos) => ({ fault, name: fault.name, side, qos })),
  ),
);

describe.each(cases)('$name, at the $side, QoS $qos', ({ fault, side, qos }) => {
  test(
    fault.forgets ? 'nothing is lost but what the broker forgets' : 'nothing is lost',
    async () => {
      const brokers = { source: await brokerOf(fault.broker), sink: await brokerOf(fault.broker) };
      // Short, so that silence is detected within seconds.
      const profile = { keepAliveSecs: soak ? 5 : 2, connectTimeoutMs: soak ? 5_000 : 2_000 };
      const parallelism = fault.tasks ?? 1;
      const at = await FaultyPipeline.start({ ...brokers, qos, profile, parallelism });
      _rig = at;
      const course = await endure(fault, side, brokers, at);
      const outcome = await account(fault, side, qos, course, at);
      outcomes.push(outcome);
      console.log(line(outcome));
      const { taken, early, disordered } = at.ledger;
      const lost = at.traffic.missing.filter((seq) => !taken.has(seq));
      expect(lost.filter((seq) => !fault.forgets || side === 'sink' || seq >= course.exposed)).toEqual([]);
      if (!fault.forgets) expect(at.traffic.missing).toEqual([]);
      expect({ early, disordered }).toEqual({ early: 0, disordered: 0 });
      await expect
        .poll(() => at.job(), { timeout: 60_000 })
        .toMatchObject({ state: 'Running', run_id: 1, failure_reason: null });
    },
    patienceMs * 10,
  );
});
