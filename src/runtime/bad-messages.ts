import type { Delivery } from '../connectors/connector.ts';
import { metadataCodec } from '../connectors/metadata.ts';
import { asPenstockError, PenstockError } from '../errors.ts';
import type { Codec, Row } from '../formats/format.ts';
import { backoffMs, delay } from './backoff.ts';
import type { Failure, Part } from './batch-processor.ts';
import type { AttemptCounts } from './counts.ts';
import { letterFailure } from './dead-letter-failure.ts';
import type { DeadLetter, DeadLetterStore, Stored } from './operations.ts';
import type { TaskSpec } from './task-spec.ts';

/** Letters are stored a few at a time, so that no transaction takes long. */
const storedAtOnce = 500;
const bytesAtOnce = 8 * 1024 * 1024;

interface Letter {
  delivery: Delivery;
  letter: DeadLetter;
}

interface BadMessageTools {
  counts: AttemptCounts;
  letters: DeadLetterStore;
  warn(error: PenstockError): void;
}

/** What becomes of what a task cannot use, as its source table says. */
export class BadMessages {
  readonly #spec: TaskSpec;
  readonly #counts: AttemptCounts;
  readonly #store: DeadLetterStore;
  readonly #warn: (error: PenstockError) => void;
  readonly #metadata: Pick<Codec, 'encode'>;

  constructor(spec: TaskSpec, { counts, letters, warn }: BadMessageTools) {
    this.#spec = spec;
    this.#counts = counts;
    this.#store = letters;
    this.#warn = warn;
    this.#metadata = metadataCodec(spec.source.connector.metadata);
  }

  /** Counts and shows a failure; throws it where it is to fail the job. */
  readonly failed = ({ error }: Failure): void => {
    this.#counts.bad(error);
    if (this.#badData.behavior === 'fail') throw error;
    this.#warn(error);
  };

  /**
   * Acknowledges the messages of a part that failed, or of which some rows did: those that are kept as dead letters once
   * they are stored. While the database is away it waits; rejects with the signal's reason, and with
   * `dead_letters_full`.
   */
  async settle(part: Part<Delivery>, signal: AbortSignal): Promise<void> {
    if (part.failures.size === 0) return;
    if (this.#badData.behavior !== 'dead_letter') {
      this.#counts.dropped(part.failures.size);
      for (const index of part.failures.keys()) part.messages[index]?.ack();
      return;
    }
    for (const letters of chunks(this.#letters(part))) {
      const { stored, evicted } = await this.#stored(letters, signal);
      for (const { delivery } of letters.slice(0, stored)) delivery.ack();
      if (evicted > 0) this.#evicted(evicted);
      if (stored < letters.length) throw noRoom;
    }
  }

  get #badData() {
    return this.#spec.insert.source.schema.bad_data ?? { behavior: 'fail' as const };
  }

  *#letters(part: Part<Delivery>): Generator<Letter> {
    const { insert, source, taskIndex } = this.#spec;
    const from = { operatorId: source.operatorId, taskIndex, sourceTable: insert.source.name };
    for (const index of [...part.failures.keys()].sort((a, b) => a - b)) {
      const failure = letterFailure(part, index);
      const delivery = part.messages[index] as Delivery;
      if (!failure) continue;
      const { payload, metadata, receivedAt } = delivery;
      const written = this.#metadata.encode(metadata as Row).toString();
      const at = BigInt(Math.round(receivedAt * 1000));
      yield { delivery, letter: { ...from, ...failure, payload, metadata: written, receivedAt: at } };
    }
  }

  /** The broker keeps what is not acknowledged meanwhile, and the window bounds what waits here. */
  async #stored(some: readonly Letter[], signal: AbortSignal): Promise<Stored> {
    const letters = some.map(({ letter }) => letter);
    for (let failures = 0; ; failures += 1) {
      signal.throwIfAborted();
      try {
        return await this.#store.add(letters, this.#badData);
      } catch (error) {
        const raised = asPenstockError(error);
        if (raised.code !== 'database_unavailable') throw raised;
        this.#warn(raised);
        await delay(backoffMs(failures), signal);
      }
    }
  }

  #evicted(count: number): void {
    const message = `Dead letters are at their bound: the oldest ${count} were deleted`;
    const hint = `Repair and replay them or delete them, or ${raiseBounds}.`;
    this.#warn(new PenstockError('dead_letters_full', message, { hint }));
  }
}

const raiseBounds = 'raise max_count or max_bytes in bad_data of the source table';

const noRoom = new PenstockError('dead_letters_full', 'There is no more room for dead letters', {
  hint: `Repair and replay them or delete them, or ${raiseBounds}; then start the job again.`,
});

function* chunks(letters: Iterable<Letter>): Generator<Letter[]> {
  let chunk: Letter[] = [];
  let bytes = 0;
  for (const letter of letters) {
    const { length } = letter.letter.payload;
    if (chunk.length > 0 && (chunk.length >= storedAtOnce || bytes + length > bytesAtOnce)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(letter);
    bytes += length;
  }
  if (chunk.length > 0) yield chunk;
}
