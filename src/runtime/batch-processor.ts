import type { Delivery, Outgoing, Sink } from '../connectors/connector.ts';
import { type FillMetadata, metadataCodec, metadataFiller } from '../connectors/metadata.ts';
import { asPenstockError, PenstockError } from '../errors.ts';
import { codecFor, readRows } from '../formats/codec.ts';
import type { Codec, Row, Value } from '../formats/format.ts';
import { badData } from '../formats/values/bad.ts';
import { printable } from '../jobs/stats.ts';
import { valueSize } from '../sql/engine/size.ts';
import type { InsertPlan } from '../sql/plan.ts';
import type { Transform } from '../sql/transform.ts';
import type { AttemptCounts } from './counts.ts';
import { despiteOutages } from './delay.ts';
import type { DeadLetter, DeadLetterFailure, DeadLetterStore, RemainingRows } from './operations.ts';
import type { TaskSpec } from './task-spec.ts';

/** A batch is full at this number of rows or bytes. Messages are not divided. */
const maxBatchRows = 10_000;
const maxBatchBytes = 16 * 1024 * 1024;
/** Bytes that the rows of a batch may become. */
const maxResultBytes = 128 * 1024 * 1024;

type Stage = 'decode' | 'transform' | 'encode' | 'write';

export interface MessageFailure {
  stage: Stage;
  error: PenstockError;
  /** Number of the row in its message, from 0. Undefined if the message cannot be read at all. */
  row: number | undefined;
}

export interface InputMessage {
  readonly payload: Buffer;
  readonly metadata: Delivery['metadata'];
  /** Set if some rows of the message were written before. */
  readonly left?: RemainingRows;
}

type FailureHandler = (failure: MessageFailure, metadata?: Delivery['metadata']) => void;

export class Batch<M extends InputMessage> {
  readonly messages: M[] = [];
  readonly failures = new Map<number, MessageFailure[]>();
  /** Number of rows per message. Undefined if the message cannot be read at all. */
  readonly rowCounts: (number | undefined)[] = [];
  readonly rows: Row[] = [];
  /** For each row the index of its message, and its number in that message. */
  readonly owners: number[] = [];
  readonly numbers: number[] = [];
  readonly outgoing: Outgoing[] = [];
  /** For each outgoing message the index of the row it was made from. */
  readonly origins: number[] = [];
  readonly refused: Outgoing[] = [];
  rowsOut = 0;
  /** Share of the maximum size. The batch is full at 1. */
  weight = 0;
  readonly #failed: FailureHandler;

  constructor(failed: FailureHandler) {
    this.#failed = failed;
  }

  fail(message: number, failure: MessageFailure): void {
    const failures = this.failures.get(message);
    if (failures) failures.push(failure);
    else this.failures.set(message, [failure]);
    this.#failed(failure, this.messages[message]?.metadata);
  }

  failRow(index: number, stage: Stage, error: PenstockError): void {
    this.fail(this.owners[index] as number, { stage, error, row: this.numbers[index] });
  }
}

/** The path from source to sink: decodes messages, transforms their rows, encodes the results and writes them. */
export class BatchProcessor {
  readonly #source: Codec;
  readonly #target: Codec;
  readonly #fill: FillMetadata;
  readonly #transform: Transform;
  readonly #sink: Sink;
  readonly #unpacks: boolean;

  constructor({ source, sink: target }: InsertPlan, transform: Transform, sink: Sink) {
    this.#source = codecFor(source.schema);
    this.#target = codecFor(target.schema);
    this.#fill = metadataFiller(source.schema.fields ?? []);
    this.#transform = transform;
    this.#sink = sink;
    this.#unpacks = source.schema.format?.compression === 'gzip';
  }

  /**
   * Decodes messages into batches, each on demand: a thousand compressed messages may exceed memory. `failed` is called for
   * every failure in a batch, including later ones. If it throws, processing ends.
   */
  *batches<M extends InputMessage>(
    messages: Iterable<M>,
    failed: FailureHandler,
  ): Generator<Batch<M>, void, undefined> {
    let batch = new Batch<M>(failed);
    for (const message of messages) {
      this.#decode(message, batch);
      if (batch.weight < 1) continue;
      yield batch;
      batch = new Batch(failed);
    }
    if (batch.messages.length > 0) yield batch;
  }

  #decode<M extends InputMessage>(message: M, batch: Batch<M>): void {
    const { payload, metadata, left } = message;
    const index = batch.messages.push(message) - 1;
    const bad = new Set<number>();
    let unreadable = false;
    const rows = readRows(this.#source, payload, (error, row) => {
      const raised = badOnly(error);
      if (row === undefined) unreadable = true;
      else bad.add(row);
      if (row === undefined || (left?.rows.has(row) ?? true))
        batch.fail(index, { stage: 'decode', error: raised, row });
    });
    const count = unreadable ? undefined : rows.length + bad.size;
    batch.rowCounts.push(count);
    if (left && count !== undefined && count !== left.of) {
      const problem = `holds ${count} rows now but held ${left.of} when some of them were written, so the remaining rows are unknown`;
      batch.fail(index, { stage: 'decode', error: badData('', problem), row: undefined });
      return;
    }
    let number = 0;
    for (const row of rows) {
      this.#fill(row, metadata);
      while (bad.has(number)) number += 1;
      if (left?.rows.has(number) ?? true) {
        batch.rows.push(row);
        batch.owners.push(index);
        batch.numbers.push(number);
      }
      number += 1;
    }
    batch.weight +=
      rows.length / maxBatchRows + (this.#unpacks ? sizeOf(rows) : payload.length) / maxBatchBytes;
    for (const row of rows) batch.weight += (this.#transform.bytesFor?.(row) ?? 0) / maxResultBytes;
  }

  /** Transforms and encodes the rows of a batch. Throws errors that no single row caused. */
  async prepare(batch: Batch<InputMessage>): Promise<void> {
    const { rows, origin, bad } = await this.#transform.run(batch.rows);
    batch.rowsOut = rows.length;
    for (const { index, error } of bad) batch.failRow(index, 'transform', badOnly(error));
    for (const [index, row] of rows.entries()) {
      const from = origin[index] as number;
      try {
        batch.outgoing.push({ payload: this.#target.encode(row), row });
        batch.origins.push(from);
      } catch (error) {
        batch.failRow(from, 'encode', badOnly(error));
      }
    }
  }

  async write(batch: Batch<InputMessage>): Promise<void> {
    const { outgoing, origins } = batch;
    if (outgoing.length === 0) return;
    for (const { index, error } of await this.#sink.write(outgoing)) {
      batch.refused.push(outgoing[index] as Outgoing);
      batch.failRow(origins[index] as number, 'write', error);
    }
  }
}

/** Returns an error that a message or row caused. Throws any other. */
function badOnly(error: unknown): PenstockError {
  const raised = asPenstockError(error);
  if (raised.code !== 'bad_data' && raised.code !== 'bad_row') throw raised;
  return raised;
}

function sizeOf(rows: readonly Row[]): number {
  const { bytes, count } = valueSize(rows as Value);
  return bytes + 8 * count;
}

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
  readonly failed: FailureHandler = ({ error }, metadata) => {
    this.#tools.counts.bad(error);
    const named = withTopic(error, metadata?.topic);
    if (this.#badData.behavior === 'fail') throw named;
    this.#tools.warn(named);
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
    for (const chunk of this.#chunks(batch)) {
      const added = chunk.map(({ deadLetter }) => deadLetter);
      const store = () => this.#tools.deadLetters.add(added, this.#badData);
      // While it waits, the broker keeps the messages, and the window limits how many wait here.
      const { stored, evicted } = await despiteOutages(store, signal, this.#tools.warn);
      for (const { delivery } of chunk.slice(0, stored)) delivery.ack();
      if (evicted > 0) this.#tools.warn(limitReached(`: the oldest ${evicted} were deleted`));
      if (stored < chunk.length) throw limitReached('', ' Then start the job again.');
    }
  }

  get #badData() {
    return this.#spec.insert.source.schema.bad_data ?? { behavior: 'fail' as const };
  }

  *#chunks(batch: Batch<Delivery>): Generator<PendingDeadLetter[]> {
    const { insert, source, taskIndex } = this.#spec;
    const from = { operatorId: source.operatorId, taskIndex, sourceTable: insert.source.name };
    let chunk: PendingDeadLetter[] = [];
    let bytes = 0;
    for (const index of [...batch.failures.keys()].sort((a, b) => a - b)) {
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

const limitReached = (consequence: string, next = ''): PenstockError =>
  new PenstockError('dead_letters_full', `The limit of dead letters is reached${consequence}`, {
    hint: `Repair and replay dead letters or delete them, or raise max_count or max_bytes in bad_data of the source table.${next}`,
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
