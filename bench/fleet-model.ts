import { parseArgs } from 'node:util';
import { type HeldTask, mayTake, toGiveAway, type WorkerLoad } from '../src/worker/balance.ts';

/**
 * Simulates how workers share tasks, with the functions that they use, and computes what the database then has to do. The
 * constants were measured with fleet.ts. See README.md.
 */

const usage = 'usage: node scripts/run.mjs bench/fleet-model.ts [--workers 100] [--pipelines 100000]\n';

/** Rounds of one second. A worker shows its load, and reads those of the others, this often. */
const readEvery = 3;
/** The same while tasks wait. */
const readEveryWaiting = 1;
const balanceEvery = 5;
/** Draining a task and giving it back takes a round. */
const drainRounds = 1;

interface Member {
  worker: WorkerLoad;
  tasks: Map<string, HeldTask>;
  draining: { at: number; tasks: HeldTask[] }[];
  /** The others as it last read them. */
  seen: WorkerLoad[];
  /** Shifts its rounds of reading and balancing against those of the others. */
  phase: number;
}

/** A generator of the same numbers in each run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

class Simulation {
  readonly members: Member[] = [];
  waiting: HeldTask[];
  moves = 0;
  round = 0;
  readonly #random = random(1);

  constructor(tasks: HeldTask[]) {
    this.waiting = tasks;
  }

  join(id: string): void {
    const limits = { slots: Number.POSITIVE_INFINITY, leaving: false, labels: {}, exclusive: false };
    const worker = { id, load: 0, tasks: 0, ...limits };
    this.members.push({
      worker,
      tasks: new Map(),
      draining: [],
      seen: [],
      phase: Math.floor(this.#random() * 15),
    });
  }

  /** Its tasks wait after the time in which a worker counts as alive. */
  kill(): number {
    const [dead] = this.members.splice(0, 1) as [Member];
    this.waiting.push(...dead.tasks.values());
    return dead.tasks.size;
  }

  step(): void {
    const shown = this.members.map((member) => ({ ...member.worker }));
    const shuffled = this.members.toSorted(() => this.#random() - 0.5);
    for (const member of shuffled) this.#stepOf(member, shown);
    this.round++;
  }

  #stepOf(member: Member, shown: readonly WorkerLoad[]): void {
    const every = this.waiting.length > 0 ? readEveryWaiting : readEvery;
    const now = this.round + member.phase;
    this.#giveBack(member);
    if (now % every === 0 || member.seen.length === 0) {
      member.worker = { ...member.worker, ...loadOf(member) };
      member.seen = shown.map((other) => (other.id === member.worker.id ? member.worker : other));
    }
    const own = { ...member.worker, ...loadOf(member) };
    const all = member.seen.map((other) => (other.id === own.id ? own : other));
    const max = this.waiting.length > 0 ? mayTake({ own, all, alone: false }, '{}', this.waiting.length) : 0;
    for (const task of this.waiting.splice(0, max)) member.tasks.set(task.id, task);
    if (now % balanceEvery === 0) this.#balance(member, own, all);
  }

  #balance(member: Member, own: WorkerLoad, all: readonly WorkerLoad[]): void {
    const leaving = new Set(member.draining.flatMap(({ tasks }) => tasks.map(({ id }) => id)));
    const held = [...member.tasks.values()].filter(({ id }) => !leaving.has(id));
    const given = toGiveAway(own, all, held, this.waiting).flatMap((id) => member.tasks.get(id) ?? []);
    this.moves += given.length;
    if (given.length > 0) member.draining.push({ at: this.round + drainRounds, tasks: given });
  }

  #giveBack(member: Member): void {
    for (const { tasks } of member.draining.filter(({ at }) => at <= this.round))
      for (const task of tasks) {
        member.tasks.delete(task.id);
        this.waiting.push(task);
      }
    member.draining = member.draining.filter(({ at }) => at > this.round);
  }

  /** Steps until nothing waits. Returns the number of rounds. */
  untilHeld(): number {
    const since = this.round;
    while (this.waiting.length > 0 && this.round - since < 10_000) this.step();
    return this.round - since;
  }

  /** Steps until nothing was moved for a minute. Returns the number of rounds before. */
  untilCalm(): number {
    const since = this.round;
    let [moves, calmSince] = [this.moves, this.round];
    while (this.round - calmSince < 60) {
      this.step();
      if (this.moves !== moves || this.waiting.length > 0) [moves, calmSince] = [this.moves, this.round];
    }
    return calmSince - since;
  }

  /** The difference of the largest and the least load, as a share of the average. */
  get spread(): number {
    const loads = this.members.map((member) => loadOf(member).load);
    const average = loads.reduce((sum, load) => sum + load, 0) / loads.length;
    return (Math.max(...loads) - Math.min(...loads)) / average;
  }
}

const loadOf = ({ tasks }: Member) => ({
  load: tasks.values().reduce((sum, { weight }) => sum + weight, 0),
  tasks: tasks.size,
});

/** One task in fifty carries 500 messages a second, the others next to nothing. */
const tasksOf = (count: number): HeldTask[] =>
  Array.from({ length: count }, (_, nth) => ({
    id: `t${nth}`,
    weight: nth % 50 === 0 ? 6 : 1,
    placement: '{}',
  }));

const say = (line: string): unknown => process.stdout.write(`${line}\n`);
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

function simulate(workers: number, pipelines: number): void {
  const fleet = new Simulation(tasksOf(pipelines));
  for (let nth = 0; nth < workers; nth++) fleet.join(`w${String(nth).padStart(4, '0')}`);
  say(`\n## ${workers} workers, ${pipelines} tasks\n`);
  say('| event | rounds until all tasks have a worker | rounds until nothing moves | moves | spread |');
  say('| --- | --: | --: | --: | --: |');
  const row = (event: string, more = 0): void => {
    const before = fleet.moves;
    const held = fleet.untilHeld();
    const calm = fleet.untilCalm();
    say(
      `| ${event} | ${held} | ${held + calm} | ${fleet.moves - before + more} | ${percent(fleet.spread)} |`,
    );
  };
  row('all workers start');
  fleet.join('w9999');
  row('a worker joins');
  row('a worker dies', fleet.kill());
  for (let nth = 0; nth < Math.ceil(workers / 10); nth++) fleet.join(`x${nth}`);
  row('a tenth joins');
}

/** Measured by fleet.ts with 4 workers, 1,000 running jobs of one task and 10,000 definitions: see docs/scale-out.md. */
const measured = { workers: 4, jobs: 1_000, definitions: 10_000 };
type Growth = 'constant' | 'tasks' | 'workers x tasks' | 'workers x definitions' | 'workers^2';

/** Statements a second, all of them in proportion to the workers, and milliseconds of PostgreSQL a second. */
const costs: { what: string; statements: number; ms: number; grows: Growth }[] = [
  { what: 'look for jobs that nobody has', statements: 3.47, ms: 17, grows: 'workers x definitions' },
  { what: 'look for tasks that nobody has', statements: 3.47, ms: 4.3, grows: 'workers x tasks' },
  { what: 'read own jobs, their tasks, and own tasks', statements: 10.4, ms: 12.5, grows: 'tasks' },
  { what: 'heartbeats of every job and task', statements: 2.67, ms: 12.6, grows: 'tasks' },
  { what: 'look for late heartbeats', statements: 8.6, ms: 5.6, grows: 'tasks' },
  { what: 'heartbeats of workers', statements: 2.86, ms: 0.12, grows: 'workers^2' },
  { what: 'dead letters to replay, orphaned sessions, clock', statements: 5.1, ms: 0.1, grows: 'constant' },
];

/** How much more PostgreSQL has to do than in the measurement. All pipelines run. */
function growth(grows: Growth, workers: number, tasks: number): number {
  const [byWorkers, byTasks] = [workers / measured.workers, tasks / measured.jobs];
  if (grows === 'tasks') return byTasks;
  if (grows === 'workers x tasks') return byWorkers * byTasks;
  if (grows === 'workers x definitions') return (byWorkers * tasks) / measured.definitions;
  return grows === 'workers^2' ? byWorkers ** 2 : byWorkers;
}

function compute(workers: number, pipelines: number): void {
  say('\n| what | statements/s | grows with | ms of PostgreSQL/s |');
  say('| --- | --: | --- | --: |');
  let [statements, ms] = [0, 0];
  for (const cost of costs) {
    const [each, time] = [
      (cost.statements * workers) / measured.workers,
      cost.ms * growth(cost.grows, workers, pipelines),
    ];
    [statements, ms] = [statements + each, ms + time];
    say(`| ${cost.what} | ${each.toFixed(0)} | ${cost.grows} | ${time.toFixed(0)} |`);
  }
  say(`| all | ${statements.toFixed(0)} | | ${ms.toFixed(0)} |`);
  // Prisma opens up to 10 in each process, and the placement up to 2 more. At rest three or fewer are used.
  say(`\n- connections: at most ${workers * 12}`);
  say(
    `- rows: ${pipelines} each of Pipeline, Job, Task, TaskStats and SourceSession, ${2 * pipelines} of pg-boss, at most ` +
      `${pipelines * 1000} of JobMessage, ${workers} of Worker`,
  );
  say(`- rows of pg-boss updated by heartbeats: ${((2 * pipelines) / readEvery).toFixed(0)} a second`);
  say(`- rows of Worker read: ${(workers ** 2 / readEvery).toFixed(0)} a second`);
}

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '100' },
    pipelines: { type: 'string', default: '100000' },
  },
});
const [workers, pipelines] = [Number(values.workers), Number(values.pipelines)];
if (!(Number.isInteger(workers) && workers >= 2 && Number.isInteger(pipelines) && pipelines >= workers))
  throw new Error(usage);
simulate(workers, pipelines);
compute(workers, pipelines);
