import { type LabelMap, mayRun } from '../jobs/placement.ts';

/**
 * Who takes a task, and who gives one away. Every worker decides for itself, from the same rows. Workers are compared by the
 * sum of the weights of their tasks: 1 for each, and 1 more for every 100 messages a second.
 */

export const weightOf = (messagesPerSecond: number): number => 1 + messagesPerSecond / 100;

/** A worker as its row shows it. */
export interface WorkerLoad {
  id: string;
  load: number;
  tasks: number;
  /** Maximum number of tasks. */
  slots: number;
  /** Whether it gives its work away. */
  leaving: boolean;
  labels: LabelMap;
  /** Whether it runs only what asks for one of its labels. */
  exclusive: boolean;
}

export interface HeldTask {
  id: string;
  weight: number;
  /** JSON: the labels that a worker must have. */
  placement: string;
}

/** Maximum number of tasks that a worker takes in one round. */
const maxTaken = 25;
/** Distance to the least busy worker from which on a worker gives tasks away, as a share of the average. */
const tolerance = 0.1;
/** The same, as a weight. */
const leastGap = 1.5;
/** Share of its surplus that a worker gives away in one round, so that others can show what they took. */
const givenShare = 0.5;

/** Whether a worker may run what has this placement. */
export const fits = (worker: Pick<WorkerLoad, 'labels' | 'exclusive'>, placement: string): boolean =>
  mayRun(worker, JSON.parse(placement) as LabelMap);

const free = ({ slots, tasks, leaving }: WorkerLoad): boolean => !leaving && tasks < slots;

/**
 * Maximum number of tasks of a placement that the worker `own` may take now. `workers` are those that live, with itself, and
 * `waiting` is the number of tasks of this placement that nobody has. The least busy one may always take some.
 */
export function mayTake(
  own: WorkerLoad,
  workers: readonly WorkerLoad[],
  placement: string,
  waiting: number,
): number {
  if (!free(own) || !fits(own, placement)) return 0;
  const able = workers.filter((worker) => free(worker) && fits(worker, placement));
  // Their weights are not known. A few go to the least busy workers, one for each.
  const lessBusy = able.filter(({ id, load }) => load < own.load || (load === own.load && id < own.id));
  if (waiting <= able.length) return lessBusy.length < waiting ? 1 : 0;
  const sum = able.reduce((total, { load }) => total + load, waiting);
  const share = Math.ceil(sum / able.length - own.load);
  return Math.max(0, Math.min(share, waiting, own.slots - own.tasks, maxTaken));
}

/** The tasks that the worker `own` should give to others now: all if it leaves, otherwise a part of its surplus. */
export function toGiveAway(
  own: WorkerLoad,
  workers: readonly WorkerLoad[],
  tasks: readonly HeldTask[],
): string[] {
  const others = workers.filter(({ id }) => id !== own.id);
  return [...Map.groupBy(tasks, (task) => task.placement)].flatMap(([placement, same]) => {
    const able = others.filter((worker) => free(worker) && fits(worker, placement));
    if (own.leaving || !fits(own, placement)) return able.length > 0 ? same.map(({ id }) => id) : [];
    return surplusOf(own, able, same);
  });
}

function surplusOf(own: WorkerLoad, able: readonly WorkerLoad[], tasks: readonly HeldTask[]): string[] {
  const lowest = Math.min(...able.map(({ load }) => load));
  const average = (own.load + able.reduce((sum, { load }) => sum + load, 0)) / (1 + able.length);
  // Without another worker the gap is -Infinity.
  if (own.load - lowest <= Math.max(leastGap, tolerance * average) || own.load <= average) return [];
  let left = (own.load - average) * givenShare;
  const given: string[] = [];
  const byWeight = tasks.toSorted((a, b) => b.weight - a.weight);
  for (const { id, weight } of byWeight) {
    if (weight > left) continue;
    given.push(id);
    left -= weight;
  }
  const lightest = byWeight.at(-1);
  // It would only change places with the others if its new worker became as busy.
  if (given.length === 0 && lightest && lowest + lightest.weight < own.load) given.push(lightest.id);
  return given;
}
