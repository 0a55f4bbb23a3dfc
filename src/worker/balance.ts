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

/** Maximum number of tasks that a worker takes in one round, so that others get their share. */
const maxTaken = 50;
/** The same for a worker that is alone: a round costs the more the more tasks wait, and what connects at once takes memory. */
const maxTakenAlone = 100;
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

/** The workers that live: this one as it is now, and the others as they were at their last heartbeat. */
export interface Fleet {
  own: WorkerLoad;
  all: readonly WorkerLoad[];
  /** Whether no other worker lives for sure: one that starts at the same time may not be known yet. */
  alone: boolean;
}

/**
 * Maximum number of tasks of a placement that the worker `own` may take now. `waiting` is the number of tasks of this
 * placement that nobody has. The least busy one may always take some.
 */
export function mayTake({ own, all, alone }: Fleet, placement: string, waiting: number): number {
  if (!free(own) || !fits(own, placement)) return 0;
  const able = all.filter((worker) => free(worker) && fits(worker, placement));
  return Math.min(shareOf(own, able, waiting), own.slots - own.tasks, alone ? maxTakenAlone : maxTaken);
}

/** How many of the waiting ones come to `own` if each goes to the worker that is then the least busy. Each counts as 1. */
function shareOf(own: WorkerLoad, able: readonly WorkerLoad[], waiting: number): number {
  const sorted = able.toSorted((a, b) => a.load - b.load || (a.id < b.id ? -1 : 1));
  let [level, sum] = [0, waiting];
  for (const [nth, { load }] of sorted.entries()) {
    if (nth > 0 && load >= level) break;
    sum += load;
    level = sum / (nth + 1);
  }
  const whole = ({ load }: WorkerLoad): number => Math.max(0, Math.floor(level - load));
  const rest = waiting - able.reduce((total, worker) => total + whole(worker), 0);
  const rank = sorted.findIndex(({ id }) => id === own.id);
  return whole(own) + (rank < rest ? 1 : 0);
}

/**
 * The tasks that the worker `own` should give to others now: all if it leaves, otherwise a part of its surplus. `waiting` are
 * those that nobody has. Others will take them, so they are no reason to give more away.
 */
export function toGiveAway(
  own: WorkerLoad,
  workers: readonly WorkerLoad[],
  tasks: readonly HeldTask[],
  waiting: readonly { placement: string }[] = [],
): string[] {
  const others = workers.filter(({ id }) => id !== own.id);
  return [...Map.groupBy(tasks, (task) => task.placement)].flatMap(([placement, same]) => {
    const able = others.filter((worker) => free(worker) && fits(worker, placement));
    if (own.leaving || !fits(own, placement)) return able.length > 0 ? same.map(({ id }) => id) : [];
    const soon = waiting.filter((item) => item.placement === placement).length;
    return surplusOf(own, able, same, soon);
  });
}

function surplusOf(
  own: WorkerLoad,
  able: readonly WorkerLoad[],
  tasks: readonly HeldTask[],
  waiting: number,
): string[] {
  const loads = able.map(({ load }) => load);
  const lowest = Math.min(...loads);
  const average = loads.reduce((sum, load) => sum + load, own.load) / (1 + able.length);
  // Without another worker the gap is -Infinity.
  if (own.load - lowest <= Math.max(leastGap, tolerance * average) || own.load <= average) return [];
  const missing = loads.reduce((sum, load) => sum + Math.max(0, average - load), 0);
  if (waiting >= missing) return [];
  let left = (own.load - average) * givenShare * (1 - waiting / missing);
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
