import { PenstockError } from '../errors.ts';
import { type BadData, deadLetterDefaults } from '../formats/schema.ts';
import type { Db, Tx } from '../store/db.ts';
import { removeDeadLetters } from '../store/dead-letters.ts';
import { newId } from '../store/id.ts';
import type { Failure, Part, Passenger } from './passage.ts';
import { printable } from './record.ts';

/** So many errors of one letter are kept. */
const keptErrors = 20;
/** Oldest letters looked at together when they have to go. */
const evictedAtOnce = 500;

/** What failed of a message, as it is stored. */
export interface LetterFailure {
  stage: string;
  code: string;
  message: string;
  errors: string;
  failedRows: string | null;
  rowCount: number | null;
}

/** A message that could not be used, with what failed of it. */
export interface DeadLetter extends LetterFailure {
  operatorId: string;
  taskIndex: number;
  sourceTable: string;
  /** Unix microseconds. */
  receivedAt: bigint;
  payload: Buffer;
  /** A JSON object. */
  metadata: string;
}

/** Where the tasks of one job keep their dead letters. */
export interface DeadLetterStore {
  /**
   * Stores all of them or none, durably; answers how many of the oldest had to go. Throws `dead_letters_full` where
   * those are not to give way, and as the database does.
   */
  add(letters: readonly DeadLetter[], bounds: BadData): Promise<number>;
}

export class StoredDeadLetters implements DeadLetterStore {
  readonly #db: Db;
  readonly #jobId: string;
  #newest = 0n;

  constructor(db: Db, jobId: string) {
    this.#db = db;
    this.#jobId = jobId;
  }

  add(letters: readonly DeadLetter[], badData: BadData): Promise<number> {
    const bounds = { ...deadLetterDefaults, ...badData };
    const data = letters.map((letter) => {
      const createdAt = this.#nextTime();
      const payload = new Uint8Array(letter.payload);
      return { ...letter, payload, id: newId('dl'), jobId: this.#jobId, createdAt, bytes: payload.length };
    });
    return this.#db.$transaction(async (tx) => {
      const bytes = data.reduce((sum, letter) => sum + letter.bytes, 0);
      const job = await tx.job.update({
        where: { id: this.#jobId },
        data: { deadLetters: { increment: data.length }, deadLetterBytes: { increment: BigInt(bytes) } },
      });
      const excess = {
        count: job.deadLetters - bounds.max_count,
        bytes: Number(job.deadLetterBytes) - bounds.max_bytes,
      };
      // A letter that is larger than the bound is kept when it is the only one.
      const full = (excess.count > 0 || excess.bytes > 0) && job.deadLetters > 1;
      if (full && bounds.when_full === 'fail') throw noRoom(bounds);
      await tx.deadLetter.createMany({ data });
      return full ? this.#evict(tx, excess) : 0;
    });
  }

  /** Deletes the oldest until nothing is in excess; the newest stays. */
  async #evict(tx: Tx, excess: { count: number; bytes: number }): Promise<number> {
    let evicted = 0;
    let { count, bytes } = excess;
    while (count > 0 || bytes > 0) {
      const oldest = await tx.deadLetter.findMany({
        where: { jobId: this.#jobId },
        orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
        take: evictedAtOnce + 1,
        select: { id: true, bytes: true },
      });
      const going: string[] = [];
      for (const letter of oldest.slice(0, -1)) {
        if (count <= 0 && bytes <= 0) break;
        going.push(letter.id);
        count -= 1;
        bytes -= letter.bytes;
      }
      if (going.length === 0) break;
      evicted += await removeDeadLetters(tx, this.#jobId, { id: { in: going } });
    }
    return evicted;
  }

  /** Later than that of every letter before, so that they keep their order. */
  #nextTime(): bigint {
    const now = BigInt(Date.now()) * 1000n;
    this.#newest = now > this.#newest ? now : this.#newest + 1n;
    return this.#newest;
  }
}

const noRoom = ({ max_count, max_bytes }: { max_count: number; max_bytes: number }): PenstockError =>
  new PenstockError(
    'dead_letters_full',
    `The dead letters of the pipeline would be more than ${max_count}, or larger than ${max_bytes} bytes`,
    {
      hint: 'Repair and replay dead letters or delete them, or raise max_count or max_bytes in bad_data of the source table; then start the job again.',
    },
  );

/** What failed of the message at `index`, as it is stored; undefined when nothing did. */
export function letterFailure(part: Part<Passenger>, index: number): LetterFailure | undefined {
  const failures = part.failures.get(index);
  const [first] = failures ?? [];
  if (!failures || !first) return undefined;
  const { stage, error } = first;
  const { code } = error;
  const errors = JSON.stringify(failures.slice(0, keptErrors).flatMap(errorsOf).slice(0, keptErrors));
  const whole = failures.some(({ row }) => row === undefined);
  const { left } = part.messages[index] as Passenger;
  const count = part.rowCounts[index];
  const said = { stage, code, message: printable(error.message), errors };
  // Of what had got through before a message became unreadable, nothing is forgotten.
  if (whole || count === undefined)
    return { ...said, failedRows: left ? JSON.stringify([...left.rows]) : null, rowCount: left?.of ?? null };
  const rows = new Set(failures.map(({ row }) => row as number));
  return { ...said, failedRows: JSON.stringify([...rows].sort((a, b) => a - b)), rowCount: count };
}

const errorsOf = ({ stage, row, error }: Failure) => {
  const { code, message, errors } = error;
  const found = errors.length > 0 ? errors : [{ path: '', message }];
  return found.map((one) => ({
    stage,
    code,
    row: row ?? null,
    path: printable(one.path),
    message: printable(one.message),
  }));
};
