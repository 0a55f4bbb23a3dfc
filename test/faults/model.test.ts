import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { Cluster } from './cluster.ts';
import { Model, type Step, stepsOf } from './model.ts';

/**
 * Random sequences of user actions and faults, against a small model of the expected result: two processes on one
 * PostgreSQL, a broker, and a constant stream of messages through every pipeline. After any sequence, no task has two
 * runners, stopped pipelines stay stopped, the desired state is reached once the faults are over, and every message that
 * was published while its pipeline had a session arrives. PENSTOCK_SOAK=1 runs new and longer sequences, for
 * PENSTOCK_SOAK_MINUTES, and prints the PENSTOCK_SOAK_SEED that repeats them.
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
}, 300_000);

const done = new Map<string, number>();

/** The last steps. Earlier faults have consequences. */
let log: string[] = [];

/** After this time no new sequence begins. */
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
    // A failure may persist, so the next sequence starts from scratch.
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
    // Ensures that the sequence of a check does something.
    const kinds = ['create', 'stop', 'restart', 'rescale', 'edit', 'kill', 'lose database'];
    for (const kind of kinds) expect([...done.keys()]).toContain(kind);
  },
  soak ? soakMinutes * 60_000 + 1_800_000 : 600_000,
);
