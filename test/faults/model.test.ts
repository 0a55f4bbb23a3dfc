import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { Cluster } from './cluster.ts';
import { Model, type Step, stepsOf } from './model.ts';

/**
 * Random sequences of what people do and what breaks, against a small model of what is meant to come of it: two
 * processes on one PostgreSQL, a broker, and messages through every pipeline all the time. Whatever the sequence, no task
 * has two runners, what is stopped stays stopped, what is wanted comes about once the faults are over, and every message
 * that was published while its pipeline had a session arrives. PENSTOCK_SOAK=1 tries new and longer sequences, for
 * PENSTOCK_SOAK_MINUTES, and says with which PENSTOCK_SOAK_SEED they come again.
 */

const soak = process.env.PENSTOCK_SOAK === '1';
const soakSeed = process.env.PENSTOCK_SOAK_SEED;
const soakMinutes = Number(process.env.PENSTOCK_SOAK_MINUTES ?? 10);
const processes = 2;
const slots = soak ? 3 : 2;
const length = soak ? { minLength: 1, maxLength: 40 } : { minLength: 26, maxLength: 26 };

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start(processes);
}, 120_000);

const done = new Map<string, number>();

/** What was done last, with what went before: faults have consequences. */
let log: string[] = [];

/** When no new sequence begins any more; what has begun is brought to its end. */
let end = Number.POSITIVE_INFINITY;

async function run(steps: Step[]): Promise<void> {
  if (performance.now() > end) return;
  const model = new Model(processes);
  log = [...log.slice(-100), '--'];
  try {
    for (const step of steps) {
      if (!model.allows(step)) continue;
      log.push(`${new Date().toISOString()} ${JSON.stringify(step)}`);
      if (await cluster.perform(step, model)) model.follow(step);
      done.set(step.do, (done.get(step.do) ?? 0) + 1);
    }
    await cluster.finish(model);
  } catch (error) {
    console.log(
      `These steps went before ${new Date().toISOString()}:\n${log.join('\n')}\n${error}\n${cluster.warnings}`,
    );
    // What went wrong may go on: the next sequence begins afresh.
    await cluster.stop();
    cluster = await Cluster.start(processes);
    throw error;
  }
}

test(
  'whatever is done and whatever breaks, pipelines end up as they are wanted, and lose nothing',
  async () => {
    const property = fc.asyncProperty(stepsOf(slots, processes, length), run);
    if (soak) end = performance.now() + soakMinutes * 60_000;
    const limits = soak
      ? {
          ...(soakSeed === undefined ? {} : { seed: Number(soakSeed) }),
          numRuns: 1_000,
        }
      : { seed: 413, numRuns: 1, endOnFailure: true };
    const { failed, seed, counterexamplePath, errorInstance } = await fc.check(property, limits);
    const replay = `{ seed: ${seed}, path: '${counterexamplePath}' }`;
    if (failed) throw new Error(`fails with ${replay}: ${errorInstance}`, { cause: errorInstance });
    console.log(`steps done: ${JSON.stringify(Object.fromEntries(done))}`);
    // The sequence of a check must not become one that does nothing.
    const kinds = ['create', 'stop', 'restart', 'rescale', 'edit', 'kill', 'lose database'];
    for (const kind of kinds) expect([...done.keys()]).toContain(kind);
  },
  soak ? soakMinutes * 60_000 + 1_800_000 : 600_000,
);
