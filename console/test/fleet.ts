import type { Db } from '../../src/store/db.ts';

/** Many pipelines that seem to run: rows in the database, without a worker. */

const states = ['Running', 'Running', 'Running', 'Running', 'Running', 'Running', 'Running', 'Stopped'];
const sites = ['north', 'south', 'east', 'west'];
const worker = { id: 'fleet', name: 'fleet-1', version: '1', startedAt: 1n };
/** Pipelines whose number leaves the same remainder are a group. */
const beatGroups = 20;
const second = 1_000_000;

const numbers = (count: number): number[] => Array.from({ length: count }, (_, nth) => nth);
const kinds = ['press', 'oven', 'boiler', 'pump', 'chiller', 'conveyor'];
export const nameOf = (nth: number): string => `line ${nth} ${kinds[nth % kinds.length]}`;
/** Some report errors. */
const isTroubled = (nth: number): boolean => nth % 260 === 0;
const idOf = (nth: number): string => `pl_fleet${nth}`;

/** Statistics as a worker writes them: the messages of each of the last 120 seconds. */
function statsOf(group: number, beat: number, at: number, troubled = false): string {
  const rate = (nth: number): number =>
    Math.round((1 + Math.sin((nth + beat * 2 + group * 7) / (5 + group))) * (90 + group * 37));
  const samples = numbers(120).map((nth) => {
    const rows = rate(nth);
    return [rows, rows * 120, rows, rows / 2, rows / 2, rows * 60, 0];
  });
  const latency = { p50: 1, p95: 3, p99: 4 + group };
  const totals = { bad: troubled ? beat : 0 };
  const counts = { at, totals, in_flight: (group * 13 + beat) % 900, reconnects: 0, latency, samples };
  const error = troubled ? { code: 'bad_data', message: 'The payload is not JSON', at } : null;
  return JSON.stringify({ ...counts, last_error: error, waiting_since: at - (group % 3) * 2000 });
}

/** Number of pipelines by state. */
export const statesOf = (count: number): Map<string, number> => {
  const found = new Map<string, number>();
  for (const nth of numbers(count)) {
    const state = stateOf(nth);
    found.set(state, (found.get(state) ?? 0) + 1);
  }
  return found;
};
const stateOf = (nth: number): string => (nth === 3 ? 'Failed' : (states[nth % states.length] as string));

type Beat = (beat: number, groups?: readonly number[]) => Promise<void>;

/** Adds that many pipelines, and returns a function that lets those that run count on: all, or some groups. */
export async function seedFleet(db: Db, count: number): Promise<Beat> {
  const now = BigInt(Date.now()) * 1000n;
  const times = { createdAt: now, updatedAt: now };
  const all = numbers(count);
  const common = { query: 'q', parallelism: 1, checkpointIntervalMicros: 1n, tags: '{}', graph: '{}' };
  const data = all.map((nth) => ({
    ...{ id: idOf(nth), name: nameOf(nth), ...common, ...times },
    labels: JSON.stringify({ site: sites[nth % sites.length], line: `${nth}` }),
  }));
  const failure = { failureCode: 'mqtt_bad_credentials', failureMessage: 'The broker refuses the password' };
  const jobs = all.map((nth) => {
    const state = stateOf(nth);
    const more = state === 'Failed' ? failure : {};
    const job = { stateSince: now, startTime: 1n, worker: worker.id, deadLetters: nth % 50 === 0 ? 7 : 0 };
    const stop = state === 'Stopped' ? 'graceful' : 'none';
    return { id: idOf(nth), pipelineId: idOf(nth), state, stop, ...job, ...more, ...times };
  });
  const operator = { id: 'x', node: 0 };
  const place = { index: 0, source: operator, transform: null, sink: operator, window: 1000 };
  const running = all.filter((nth) => stateOf(nth) === 'Running');
  const task = {
    state: 'running',
    stateSince: 1n,
    worker: worker.id,
    work: '',
    place: JSON.stringify(place),
  };
  const stats = { updatedAt: 1n, stats: statsOf(0, 0, 1) };
  const heartbeatAt = now;
  await db.worker.create({ data: { ...worker, heartbeatAt } });
  await db.pipeline.createMany({ data });
  await db.job.createMany({ data: jobs });
  await db.task.createMany({ data: running.map((nth) => ({ ...task, id: idOf(nth), jobId: idOf(nth) })) });
  await db.taskStats.createMany({
    data: running.map((nth) => ({ ...stats, taskId: idOf(nth), jobId: idOf(nth) })),
  });
  return async (beat, groups = numbers(beatGroups)) => {
    const at = Date.now() * 1000;
    const alive = { heartbeatAt: BigInt(at + 600 * second) };
    await db.worker.update({ where: { id: worker.id }, data: alive });
    for (const group of groups) {
      const taskId = { in: running.filter((nth) => nth % beatGroups === group).map(idOf) };
      const updated = { updatedAt: BigInt(at), stats: statsOf(group, beat, at) };
      await db.taskStats.updateMany({ where: { taskId }, data: updated });
    }
    const troubled = running.filter((nth) => isTroubled(nth) && groups.includes(nth % beatGroups));
    const updated = { updatedAt: BigInt(at), stats: statsOf(0, beat, at, true) };
    await db.taskStats.updateMany({ where: { taskId: { in: troubled.map(idOf) } }, data: updated });
  };
}
