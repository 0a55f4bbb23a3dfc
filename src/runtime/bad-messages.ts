import type { Delivery } from '../connectors/connector.ts';
import { metadataCodec } from '../connectors/metadata.ts';
import { asPenstockError, PenstockError } from '../errors.ts';
import type { Codec, Row } from '../formats/format.ts';
import { printable } from '../jobs/stats.ts';
import type { Batch, InputMessage, MessageFailure } from './batch-processor.ts';
import type { AttemptCounts } from './counts.ts';
import { backoffMs, delay } from './delay.ts';
import type { DeadLetter, DeadLetterFailure, DeadLetterStore, DeadLettersStored } from './operations.ts';
import type { TaskSpec } from './task-spec.ts';

/** Maximum size of one transaction, to keep transactions short. */
const maxStoredTogether = 500;
const maxBytesTogether = 8 * 1024 * 1024;

/** Maximum number of errors kept per dead letter. */
const maxErrors = 20;

interface PendingDeadLetter {
  delivery: Delivery;
  deadLetter: DeadLetter;
}

interface BadMessageTools {
  counts: AttemptCounts;
  deadLetters: DeadLetterStore;
  warn(error: PenstockError): void;
}

/** Handles the bad messages of a task as `bad_data` of its source table says. */
export class BadMessages {
  readonly #spec: TaskSpec;
  readonly #tools: BadMessageTools;
  readonly #metadata: Pick<Codec, 'encode'>;

  constructor(spec: TaskSpec, tools: BadMessageTools) {
    this.#spec = spec;
    this.#tools = tools;
    this.#metadata = metadataCodec(spec.source.connector.metadata);
  }

  /** Counts and reports a failure. Throws it if it must fail the job. */
  readonly failed = ({ error }: MessageFailure): void => {
    this.#tools.counts.bad(error);
    if (this.#badData.behavior === 'fail') throw error;
    this.#tools.warn(error);
  };

  /**
   * Acknowledges the messages of a batch that failed wholly or partly. Dead letters are stored first, and storing waits while
   * the database is unavailable. Rejects with the signal's reason, or with `dead_letters_full`.
   */
  async settle(batch: Batch<Delivery>, signal: AbortSignal): Promise<void> {
    if (batch.failures.size === 0) return;
    if (this.#badData.behavior !== 'dead_letter') {
      this.#tools.counts.add({ dropped: batch.failures.size });
      for (const index of batch.failures.keys()) batch.messages[index]?.ack();
      return;
    }
    for (const chunk of chunks(this.#deadLetters(batch))) {
      const { stored, evicted } = await this.#store(chunk, signal);
      for (const { delivery } of chunk.slice(0, stored)) delivery.ack();
      if (evicted > 0) this.#tools.warn(evictedOldest(evicted));
      if (stored < chunk.length) throw noRoom;
    }
  }

  get #badData() {
    return this.#spec.insert.source.schema.bad_data ?? { behavior: 'fail' as const };
  }

  *#deadLetters(batch: Batch<Delivery>): Generator<PendingDeadLetter> {
    const { insert, source, taskIndex } = this.#spec;
    const from = { operatorId: source.operatorId, taskIndex, sourceTable: insert.source.name };
    for (const index of [...batch.failures.keys()].sort((a, b) => a - b)) {
      const failure = deadLetterFailure(batch, index);
      const delivery = batch.messages[index] as Delivery;
      if (!failure) continue;
      const { payload } = delivery;
      const metadata = this.#metadata.encode(delivery.metadata as Row).toString();
      const receivedAt = BigInt(Math.round(delivery.receivedAt * 1000));
      yield { delivery, deadLetter: { ...from, ...failure, payload, metadata, receivedAt } };
    }
  }

  /** Waits for the database. Meanwhile the broker keeps the messages, and the window limits how many wait here. */
  async #store(chunk: readonly PendingDeadLetter[], signal: AbortSignal): Promise<DeadLettersStored> {
    const { deadLetters, warn } = this.#tools;
    const added = chunk.map(({ deadLetter }) => deadLetter);
    for (let failures = 0; ; failures += 1) {
      signal.throwIfAborted();
      try {
        return await deadLetters.add(added, this.#badData);
      } catch (error) {
        const raised = asPenstockError(error);
        if (raised.code !== 'database_unavailable') throw raised;
        warn(raised);
        await delay(backoffMs(failures), signal);
      }
    }
  }
}

const makeRoom =
  'Repair and replay dead letters or delete them, or raise max_count or max_bytes in bad_data of the source table';

const evictedOldest = (count: number): PenstockError =>
  new PenstockError(
    'dead_letters_full',
    `The limit of dead letters is reached: the oldest ${count} were deleted`,
    {
      hint: `${makeRoom}.`,
    },
  );

const noRoom = new PenstockError('dead_letters_full', 'The limit of dead letters is reached', {
  hint: `${makeRoom}. Then start the job again.`,
});

function* chunks(deadLetters: Iterable<PendingDeadLetter>): Generator<PendingDeadLetter[]> {
  let chunk: PendingDeadLetter[] = [];
  let bytes = 0;
  for (const pending of deadLetters) {
    const { length } = pending.deadLetter.payload;
    if (chunk.length > 0 && (chunk.length >= maxStoredTogether || bytes + length > maxBytesTogether)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(pending);
    bytes += length;
  }
  if (chunk.length > 0) yield chunk;
}

/** The failure of the message at `index`, as its dead letter stores it. Undefined if nothing failed. */
export function deadLetterFailure(batch: Batch<InputMessage>, index: number): DeadLetterFailure | undefined {
  const failures = batch.failures.get(index);
  const [first] = failures ?? [];
  if (!failures || !first) return undefined;
  const { stage, error } = first;
  const errors = JSON.stringify(failures.slice(0, maxErrors).flatMap(errorsOf).slice(0, maxErrors));
  const unreadable = failures.some(({ row }) => row === undefined);
  const { left } = batch.messages[index] as InputMessage;
  const count = batch.rowCounts[index];
  const failure = { stage, code: error.code, message: printable(error.message), errors };
  // Rows that were written before the message became unreadable stay recorded as written.
  if (unreadable || count === undefined)
    return {
      ...failure,
      failedRows: left ? JSON.stringify([...left.rows]) : null,
      rowCount: left?.of ?? null,
    };
  const rows = new Set(failures.map(({ row }) => row as number));
  return { ...failure, failedRows: JSON.stringify([...rows].sort((a, b) => a - b)), rowCount: count };
}

const errorsOf = ({ stage, row, error }: MessageFailure) => {
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
