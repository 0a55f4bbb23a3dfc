import type { Delivery } from '../connectors/connector.ts';
import { metadataCodec } from '../connectors/metadata.ts';
import { PenstockError } from '../errors.ts';
import type { Codec, Row } from '../formats/format.ts';
import type { BadData } from '../formats/schema/schema.ts';
import { printable } from '../jobs/stats.ts';
import type { Batch, FailureHandler, InputMessage, MessageFailure } from './batch-processor.ts';
import type { AttemptCounts } from './counts.ts';
import { despiteOutages } from './delay.ts';
import type { DeadLetter, DeadLetterFailure, DeadLetterStore } from './operations.ts';
import type { TaskSpec } from './task-spec.ts';

/** Maximum size of one transaction, to keep transactions short. */
const maxStoredTogether = 500;
const maxBytesTogether = 8 * 1024 * 1024;

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

/**
 * Handles the bad messages of a task as `bad_data` of its source table says. If the sink table has `bad_data`, that decides
 * for rows that cannot be encoded or written.
 */
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
  readonly failed: FailureHandler = ({ stage, error }, metadata) => {
    this.#tools.counts.bad(error);
    const named = withTopic(error, metadata?.topic);
    if (this.#policy(stage).behavior === 'fail') throw named;
    this.#tools.warn(named);
  };

  /**
   * Acknowledges the messages of a batch that failed wholly or partly, unless it is part of a transaction. Dead letters are stored first,
   * and storing waits while the database is unavailable. Rejects with the signal's reason, or with `dead_letters_full`.
   */
  async settle(batch: Batch<Delivery>, signal: AbortSignal): Promise<void> {
    if (batch.failures.size === 0) return;
    const kept = new Map<BadData, number[]>();
    for (const [index, failures] of batch.failures) {
      const policies = failures.map(({ stage }) => this.#policy(stage));
      const policy = policies.find(({ behavior }) => behavior === 'dead_letter');
      if (policy) {
        const indexes = kept.get(policy) ?? [];
        indexes.push(index);
        kept.set(policy, indexes);
      } else {
        this.#tools.counts.add({ dropped: 1 });
        if (!batch.part) batch.messages[index]?.ack();
      }
    }
    for (const [policy, indexes] of kept) {
      for (const chunk of this.#chunks(batch, indexes)) {
        const stored = await this.#store(chunk, policy, signal);
        if (!batch.part) for (const { delivery } of chunk.slice(0, stored)) delivery.ack();
        if (stored < chunk.length) throw limitReached('', ' Then start the job again.');
      }
    }
  }

  /** Returns the number of those that are stored. */
  async #store(chunk: readonly PendingDeadLetter[], badData: BadData, signal: AbortSignal): Promise<number> {
    const added = chunk.map(({ deadLetter }) => deadLetter);
    const store = () => this.#tools.deadLetters.add(added, badData);
    // While it waits, the broker keeps the messages, and the window limits how many wait here.
    const { stored, evicted } = await despiteOutages(store, signal, this.#tools.warn);
    if (evicted > 0) this.#tools.warn(limitReached(`: the oldest ${evicted} were deleted`));
    return stored;
  }

  #policy(stage: MessageFailure['stage']): BadData {
    const { source, sink } = this.#spec.insert;
    if (stage === 'late' && source.schema.bad_data?.behavior !== 'dead_letter') return keeping;
    const afterwards = stage === 'encode' || stage === 'write';
    return (afterwards ? sink.schema.bad_data : undefined) ?? source.schema.bad_data ?? failing;
  }

  *#chunks(batch: Batch<Delivery>, indexes: readonly number[]): Generator<PendingDeadLetter[]> {
    const { insert, source, taskIndex } = this.#spec;
    const from = { operatorId: source.operatorId, taskIndex, sourceTable: insert.source.name };
    let chunk: PendingDeadLetter[] = [];
    let bytes = 0;
    for (const index of indexes.toSorted((a, b) => a - b)) {
      const failure = deadLetterFailure(batch, index);
      const delivery = batch.messages[index] as Delivery;
      if (!failure) continue;
      const { payload } = delivery;
      const full = chunk.length >= maxStoredTogether || bytes + payload.length > maxBytesTogether;
      if (full && chunk.length > 0) {
        yield chunk;
        chunk = [];
        bytes = 0;
      }
      const metadata = this.#metadata.encode(delivery.metadata as Row).toString();
      const receivedAt = BigInt(Math.round(delivery.receivedAt * 1000));
      chunk.push({ delivery, deadLetter: { ...from, ...failure, payload, metadata, receivedAt } });
      bytes += payload.length;
    }
    if (chunk.length > 0) yield chunk;
  }
}

/** Late rows of a table whose other bad data are not kept. */
const keeping: BadData = { behavior: 'dead_letter' };

const failing: BadData = { behavior: 'fail' };

const limitReached = (consequence: string, next = ''): PenstockError =>
  new PenstockError('dead_letters_full', `The limit of dead letters is reached${consequence}`, {
    hint: `Repair and replay dead letters or delete them, or raise max_count or max_bytes in bad_data of the table.${next}`,
  });

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
  const shared = { stage, code, row: row ?? null };
  return found.map((one) => ({ ...shared, path: printable(one.path), message: printable(one.message) }));
};

/** The error with the topic of its message, so that its sender can be found. */
function withTopic(error: PenstockError, topic: unknown): PenstockError {
  if (typeof topic !== 'string') return error;
  const { message, hint, errors, facts, cause } = error;
  return new PenstockError(error, `${message} (topic ${topic.slice(0, 200)})`, {
    ...(hint === undefined ? {} : { hint }),
    errors,
    facts,
    cause,
  });
}
