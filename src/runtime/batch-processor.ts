import { rowChecker } from '../connectors/changes.ts';
import type { Delivery, Outgoing, Sink } from '../connectors/connector.ts';
import { type FillMetadata, metadataFiller } from '../connectors/metadata.ts';
import { asPenstockError, type PenstockError } from '../errors.ts';
import { codecFor, readRows } from '../formats/codec.ts';
import type { Codec, Row, Value } from '../formats/format.ts';
import { codecsBetween, type EncodeResult } from '../formats/json/changes.ts';
import type { ConnectionSchema } from '../formats/schema/schema.ts';
import { badData } from '../formats/values/bad.ts';
import { valueSize } from '../formats/values/size.ts';
import type { InsertPlan, TableDefinition } from '../sql/plan.ts';
import type { Transform } from '../sql/transform.ts';
import type { RemainingRows } from './operations.ts';

/** A batch is full at this number of rows or bytes. Messages are not divided. */
const maxBatchRows = 10_000;
const maxBatchBytes = 16 * 1024 * 1024;
/** Bytes that the rows of a batch may become. */
const maxResultBytes = 128 * 1024 * 1024;

/** `late`: a row came after its windows had closed. */
type Stage = 'decode' | 'transform' | 'late' | 'encode' | 'write';

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

export type FailureHandler = (failure: MessageFailure, metadata?: Delivery['metadata']) => void;

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

/** Decodes messages of a source into batches of rows. */
export class BatchReader {
  readonly #source: Codec;
  readonly #fill: FillMetadata;
  readonly #bytesFor: Transform['bytesFor'];
  readonly #unpacks: boolean;

  constructor({ schema }: TableDefinition, codec: Codec, bytesFor: Transform['bytesFor']) {
    this.#source = codec;
    this.#fill = metadataFiller(schema.fields ?? []);
    this.#bytesFor = bytesFor;
    this.#unpacks = schema.format?.compression === 'gzip';
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
    for (const row of rows) batch.weight += (this.#bytesFor?.(row) ?? 0) / maxResultBytes;
  }
}

/** The path from source to sink: decodes messages, transforms their rows, encodes the results and writes them. */
export class BatchProcessor {
  readonly #reader: BatchReader;
  readonly #encode: EncodeResult;
  readonly #transform: Transform;
  readonly #sink: Sink;

  constructor({ source, sink: target }: InsertPlan, transform: Transform, sink: Sink) {
    const codecs = target.takesRows
      ? { source: codecFor(source.schema), encode: checking(target.schema) }
      : codecsBetween(source.schema, target.schema);
    this.#reader = new BatchReader(source, codecs.source, transform.bytesFor?.bind(transform));
    this.#encode = codecs.encode;
    this.#transform = transform;
    this.#sink = sink;
  }

  batches<M extends InputMessage>(
    messages: Iterable<M>,
    failed: FailureHandler,
  ): Generator<Batch<M>, void, undefined> {
    return this.#reader.batches(messages, failed);
  }

  /** Transforms and encodes the rows of a batch. Throws errors that no single row caused. */
  async prepare(batch: Batch<InputMessage>): Promise<void> {
    const result = await this.#transform.run(batch.rows);
    batch.rowsOut = result.rows.length;
    for (const { index, error } of result.bad) batch.failRow(index, 'transform', badOnly(error));
    for (const [index, row] of result.rows.entries()) {
      const from = result.origin[index] as number;
      try {
        const payload = this.#encode(batch.rows, result, index);
        if (payload) batch.origins[batch.outgoing.push({ payload, row }) - 1] = from;
      } catch (error) {
        batch.failRow(from, 'encode', badOnly(error));
      }
    }
  }

  /** Asks a sink that holds messages to confirm them. */
  flush(): void {
    this.#sink.flush?.();
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

function checking(schema: ConnectionSchema): EncodeResult {
  const check = rowChecker(schema);
  return (_, { rows }, index) => check(rows[index] as Row);
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
