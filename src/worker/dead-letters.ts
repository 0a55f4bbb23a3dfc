import { type BadData, deadLetterDefaults } from '../formats/schema/schema.ts';
import type { DeadLetter, DeadLetterStore, Stored } from '../runtime/operations.ts';
import type { Db, Tx } from '../store/db.ts';
import { removeDeadLetters } from '../store/dead-letters.ts';
import { newId } from '../store/id.ts';

/** Oldest letters looked at together when they have to go. */
const evictedAtOnce = 500;

type Bounds = Required<Omit<BadData, 'behavior'>>;

export class StoredDeadLetters implements DeadLetterStore {
  readonly #db: Db;
  readonly #jobId: string;
  #newest = 0n;
  #last: Promise<unknown> = Promise.resolve();

  constructor(db: Db, jobId: string) {
    this.#db = db;
    this.#jobId = jobId;
  }

  /** One call after the other, so that letters keep the order in which they are handed over. */
  add(letters: readonly DeadLetter[], badData: BadData): Promise<Stored> {
    const result = this.#last.then(() => this.#add(letters, { ...deadLetterDefaults, ...badData }));
    this.#last = result.catch(() => undefined);
    return result;
  }

  #add(letters: readonly DeadLetter[], bounds: Bounds): Promise<Stored> {
    return this.#db.$transaction(async (tx) => {
      // Locks the row, so that the letters of a job change one change at a time.
      const job = await tx.job.update({
        where: { id: this.#jobId },
        data: { deadLetters: { increment: 0 } },
      });
      const held = { count: job.deadLetters, bytes: Number(job.deadLetterBytes) };
      const some = bounds.when_full === 'fail' ? fitting(letters, held, bounds) : letters;
      const bytes = some.reduce((sum, { payload }) => sum + payload.length, 0);
      await tx.job.update({
        where: { id: this.#jobId },
        data: { deadLetters: { increment: some.length }, deadLetterBytes: { increment: BigInt(bytes) } },
      });
      await tx.deadLetter.createMany({ data: some.map((letter) => this.#row(letter)) });
      const count = held.count + some.length - bounds.max_count;
      const evicted = await this.#evict(tx, count, held.bytes + bytes - bounds.max_bytes);
      return { stored: some.length, evicted };
    });
  }

  #row(letter: DeadLetter) {
    const { payload, ...rest } = letter;
    return {
      ...rest,
      id: newId('dl'),
      jobId: this.#jobId,
      createdAt: this.#nextTime(),
      payload: new Uint8Array(payload),
      bytes: payload.length,
    };
  }

  /** Deletes the oldest until there are no more letters and bytes too many; the newest stays, however large. */
  async #evict(tx: Tx, tooMany: number, tooManyBytes: number): Promise<number> {
    let evicted = 0;
    let bytes = tooManyBytes;
    while (tooMany - evicted > 0 || bytes > 0) {
      const oldest = await tx.deadLetter.findMany({
        where: { jobId: this.#jobId },
        orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
        take: evictedAtOnce + 1,
        select: { id: true, bytes: true },
      });
      const going: string[] = [];
      for (const letter of oldest.slice(0, -1)) {
        if (tooMany - evicted - going.length <= 0 && bytes <= 0) break;
        going.push(letter.id);
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

/** As many of the first as there is room for. One that is larger than the bound has room when it is the only one. */
function fitting(
  letters: readonly DeadLetter[],
  held: { count: number; bytes: number },
  { max_count, max_bytes }: Bounds,
): readonly DeadLetter[] {
  let { count, bytes } = held;
  const end = letters.findIndex(({ payload }) => {
    count += 1;
    bytes += payload.length;
    return count > 1 && (count > max_count || bytes > max_bytes);
  });
  return end === -1 ? letters : letters.slice(0, end);
}
