import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FaultyPipeline } from '../support/faulty-pipeline.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { until } from '../support/until.ts';
import { type Fault, faults, type Side } from './faults.ts';

/**
 * Simulates months of a job: one process, and fault after fault at both sides of its pipeline while messages flow. In the
 * check one strikes at each side at once, and it recovers before the next. In the soak the faults continue for a minute without waiting. Nothing may be
 * lost, and neither memory nor open files may grow with the number of faults.
 */

const soak = process.env.PENSTOCK_SOAK === '1';
const durationMs = soak ? Number(process.env.PENSTOCK_SOAK_MINUTES ?? 20) * 60_000 : 0;
const burstMs = 60_000;
/** Time between the end of a fault and the next one at the same side. */
const pauseMs = 500;
const perSecond = soak ? 500 : 200;
const seed = soak ? Date.now() % 1_000_000 : 5115;

const megabytes = (bytes: number): number => Math.round(bytes / 2 ** 20);
const median = (numbers: number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

/** Short faults after which the brokers still have their state. */
const usual = faults.filter(({ forgets, once }) => !forgets && !once);
const sides: readonly Side[] = ['source', 'sink'];
const at = (side: Side): Fault[] => usual.filter((fault) => fault.sides.includes(side));

test(
  'a job lives through fault after fault: nothing is lost, memory and handles stay flat',
  async () => {
    const broker = () => Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true });
    const brokers = { source: await broker(), sink: await broker() };
    const profile = { keepAliveSecs: 2, connectTimeoutMs: 2_000 };
    const rig = await FaultyPipeline.start({ ...brokers, qos: 1, profile });
    const { traffic, penstock } = rig;
    const resident: number[] = [];
    const handles: number[] = [];
    let struck = 0;
    const strike = async (fault: Fault, side: Side): Promise<void> => {
      await fault.strike({ side, broker: brokers[side], link: rig[side], rig, soak });
      struck += 1;
      await sleep(pauseMs);
    };
    const recovered = async (): Promise<void> => {
      await rig.passed(traffic.sent);
      resident.push(penstock.residentBytes);
      handles.push(penstock.openFiles);
    };
    const next: Record<Side, Iterator<Fault>> = {
      source: fc.sample(fc.constantFrom(...at('source')), { numRuns: 10_000, seed }).values(),
      sink: fc.sample(fc.constantFrom(...at('sink')), { numRuns: 10_000, seed: seed + 1 }).values(),
    };
    const strikeUntil = async (end: number, side: Side): Promise<void> => {
      while (performance.now() < end) await strike(next[side].next().value as Fault, side);
    };
    const stop = traffic.keepPublishing(perSecond);
    const begun = performance.now();
    await rig.passed(perSecond);
    while (performance.now() < begun + durationMs) {
      const end = performance.now() + burstMs;
      await Promise.all(sides.map((side) => strikeUntil(end, side)));
      await recovered();
    }
    const loud = (side: Side) => (soak ? [] : at(side)).filter(({ name }) => name !== 'link cut silently');
    const faultsOf = { source: loud('source'), sink: loud('sink') };
    for (const nth of faultsOf.source.keys()) {
      await Promise.all(sides.map((side) => strike(faultsOf[side][nth] as Fault, side)));
      await recovered();
    }
    await stop();
    await until('all have arrived', () => traffic.arrived === traffic.sent, 120_000).catch(() => {});
    const half = Math.floor(resident.length / 2);
    const [early, late] = [resident.slice(half / 2, half), resident.slice(-Math.ceil(half / 2))].map(median);
    console.log(
      `seed ${seed}: ${struck} faults in ${Math.round((performance.now() - begun) / 1000)} s, ${traffic.sent} sent, ${traffic.missing.length} lost, ${traffic.duplicated} twice; ` +
        `resident ${resident.map(megabytes).join(' ')} MB; ` +
        `${Math.min(...handles)} to ${Math.max(...handles)} open files, ${handles.at(-1)} at the end`,
    );
    expect(traffic.missing).toEqual([]);
    expect(rig.ledger).toMatchObject({ early: 0, disordered: 0 });
    await expect
      .poll(() => rig.job(), { timeout: 60_000 })
      .toMatchObject({ state: 'Running', run_id: 1, failure_reason: null });
    // A leak of one handle per fault would be many more.
    await until('no more files are open than before', () => penstock.openFiles <= (handles[0] ?? 0) + 4);
    if (soak) expect(megabytes(late ?? 0)).toBeLessThan(megabytes(early ?? 0) + 48);
  },
  durationMs + 300_000,
);
