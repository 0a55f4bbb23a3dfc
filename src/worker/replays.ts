import { asPenstockError, PenstockError } from '../errors.ts';
import type { LetterFailure } from '../runtime/dead-letter-failure.ts';
import type { Replayed } from '../runtime/operations.ts';
import type { TaskSpec } from '../runtime/task-spec.ts';
import type { Db } from '../store/db.ts';
import { removeDeadLetters } from '../store/dead-letters.ts';
import type { WorkerDeps } from './deps.ts';
import type { Task } from './task.ts';

/** Letters that are replayed together, of which there may be fewer when they are large. */
const atOnce = 100;
const bytesAtOnce = 16 * 1024 * 1024;

interface ReplayTools {
  deps: WorkerDeps;
  jobId: string;
  /** The tasks that are connected. */
  tasks(): { spec: TaskSpec; task: Task }[];
  /** So many have got through. */
  replayed(count: number): void;
}

type Row = Awaited<ReturnType<Db['deadLetter']['findMany']>>[number];

/** What became of one: undefined when all of it has got through. */
type Outcome = { id: string; failure: LetterFailure | undefined };

/**
 * Sends the dead letters of a job that are to be replayed through its tasks, the oldest first: what gets through goes,
 * what fails stays with what is wrong now. What a crash cuts short is replayed again.
 */
export class Replays {
  readonly #tools: ReplayTools;
  #running: Promise<void> | undefined;

  constructor(tools: ReplayTools) {
    this.#tools = tools;
  }

  /** Begins, unless it is at it. It ends when there are none left or none can be replayed now. */
  begin(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async ended(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      for (let going = true; going; ) going = await this.#some();
    } catch (error) {
      const { logger } = this.#tools.deps;
      logger.warn({ err: error, job: this.#tools.jobId }, 'dead letters could not be replayed; they wait');
    }
  }

  /** Replays the oldest few; answers whether to go on. */
  async #some(): Promise<boolean> {
    const tasks = this.#tools.tasks();
    if (tasks.length === 0) return false;
    const letters = await this.#next();
    const groups = Map.groupBy(letters, (letter) => taskFor(tasks, letter));
    for (const [member, group] of groups) {
      const outcomes = member ? await replayBy(member.task, group) : group.map(withoutTask);
      if (!outcomes) return false;
      await this.#settle(outcomes);
    }
    return letters.length > 0;
  }

  async #next(): Promise<Row[]> {
    const { deadLetter } = this.#tools.deps.db;
    const order = { orderBy: [{ createdAt: 'asc' as const }, { id: 'asc' as const }] };
    const where = { jobId: this.#tools.jobId, state: 'replaying' };
    const oldest = await deadLetter.findMany({
      where,
      ...order,
      take: atOnce,
      select: { id: true, bytes: true },
    });
    let sum = 0;
    const few = oldest.filter(({ bytes }, index) => {
      sum += bytes;
      return index === 0 || sum <= bytesAtOnce;
    });
    return deadLetter.findMany({ where: { id: { in: few.map(({ id }) => id) } }, ...order });
  }

  async #settle(outcomes: readonly Outcome[]): Promise<void> {
    const { deps, jobId, replayed } = this.#tools;
    const gone = outcomes.filter(({ failure }) => !failure).map(({ id }) => id);
    const replayedAt = BigInt(Date.now()) * 1000n;
    await deps.db.$transaction(async (tx) => {
      await removeDeadLetters(tx, jobId, { id: { in: gone } });
      for (const { id, failure } of outcomes) {
        if (!failure) continue;
        const data = { ...failure, state: 'waiting', replays: { increment: 1 }, replayedAt };
        await tx.deadLetter.updateMany({ where: { id }, data });
      }
    });
    if (gone.length > 0) replayed(gone.length);
  }
}

/** The task whose source it came from, or another one that reads the same table. */
function taskFor(tasks: readonly { spec: TaskSpec; task: Task }[], letter: Row) {
  const same = tasks.filter(({ spec }) => spec.source.operatorId === letter.operatorId);
  return (
    same.find(({ spec }) => spec.taskIndex === letter.taskIndex) ??
    same[0] ??
    tasks.find(({ spec }) => spec.insert.source.name === letter.sourceTable)
  );
}

/** Undefined when the task is not connected any more; a passing error leaves all of them for another time. */
async function replayBy(task: Task, letters: readonly Row[]): Promise<Outcome[] | undefined> {
  try {
    const failures = await task.replay(letters.map(replayed));
    return failures && letters.map(({ id }, index) => ({ id, failure: failures[index] }));
  } catch (error) {
    const raised = asPenstockError(error);
    if (raised.passing) throw raised;
    return letters.map((letter) => failedWith(letter, raised));
  }
}

/** A payload may be a view of much more, all of which would go to the thread. */
const replayed = ({ payload, metadata, failedRows, rowCount }: Row): Replayed => ({
  payload: new Uint8Array(payload),
  metadata,
  ...(failedRows !== null && rowCount !== null
    ? { left: { rows: new Set(JSON.parse(failedRows) as number[]), of: rowCount } }
    : {}),
});

/** One that fails before any of it was tried keeps what is known of its rows. */
function failedWith(letter: Row, { code, message }: PenstockError): Outcome {
  const { id, stage, failedRows, rowCount } = letter;
  const errors = JSON.stringify([{ stage, code, row: null, path: '', message }]);
  return { id, failure: { stage, code, message, errors, failedRows, rowCount } };
}

const withoutTask = (letter: Row): Outcome =>
  failedWith(
    letter,
    new PenstockError('not_found', `The pipeline does not read ${letter.sourceTable} any more`),
  );
