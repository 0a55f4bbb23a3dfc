import { rowChecker } from '../connectors/changes.ts';
import type { Delivery, Outgoing, Sink, TransactionPart } from '../connectors/connector.ts';
import { type FillMetadata, metadataFiller } from '../connectors/metadata.ts';
import { asPenstockError, type PenstockError } from '../errors.ts';
import { codecFor, readRows } from '../formats/codec.ts';
import type { Codec, Row, Value } from '../formats/format.ts';
import { codecsBetween, type EncodeResult } from '../formats/json/changes.ts';
import type { RegisteredSchemas } from '../formats/registered.ts';
import { type ConnectionSchema, isMetadata } from '../formats/schema/schema.ts';
import { badData } from '../formats/values/bad.ts';
import { valueSize } from '../formats/values/size.ts';
import type { InsertPlan, TableDefinition } from '../sql/plan.ts';
import type { Transform, Transformed } from '../sql/transform.ts';
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
  /** Set by `begin` if the sink writes in transactions. */
  part: TransactionPart | undefined;
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
  readonly #fill: FillMetadata | undefined;
  readonly #bytesFor: Transform['bytesFor'];
  readonly #unpacks: boolean;

  constructor({ schema }: TableDefinition, codec: Codec, bytesFor: Transform['bytesFor']) {
    this.#source = codec;
    this.#fill = metadataFiller(schema.fields ?? []);
    this.#bytesFor = bytesFor;
    this.#unpacks = schema.format?.compression === 'gzip';
  }

  /** Loads what decoding these messages needs; undefined if it is there. Await it before. */
  ready(messages: readonly InputMessage[]): Promise<void> | undefined {
    return this.#source.prepare?.(payloadsOf(messages));
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

  /** Decodes messages from index `from` on into one batch. The next one begins behind the messages in it. */
  batch<M extends InputMessage>(messages: readonly M[], from: number, failed: FailureHandler): Batch<M> {
    const batch = new Batch<M>(failed);
    for (let index = from; index < messages.length && batch.weight < 1; index++)
      this.#decode(messages[index] as M, batch);
    return batch;
  }

  #decode<M extends InputMessage>(message: M, batch: Batch<M>): void {
    const index = batch.messages.push(message) - 1;
    if (this.#source.decodeAll === undefined && message.left === undefined)
      this.#decodeOnly(message, index, batch);
    else this.#decodeRows(message, index, batch);
  }

  /** A message of one row. */
  #decodeOnly<M extends InputMessage>(message: M, index: number, batch: Batch<M>): void {
    const { payload } = message;
    let row: Row;
    try {
      row = this.#source.decode(payload);
    } catch (error) {
      batch.fail(index, { stage: 'decode', error: badOnly(error), row: undefined });
      batch.rowCounts.push(undefined);
      batch.weight += payload.length / maxBatchBytes;
      return;
    }
    this.#fill?.(row, message.metadata);
    batch.rowCounts.push(1);
    batch.rows.push(row);
    batch.owners.push(index);
    batch.numbers.push(0);
    batch.weight += 1 / maxBatchRows + (this.#unpacks ? sizeOf([row]) : payload.length) / maxBatchBytes;
    if (this.#bytesFor !== undefined) batch.weight += this.#bytesFor(row) / maxResultBytes;
  }

  #decodeRows<M extends InputMessage>(message: M, index: number, batch: Batch<M>): void {
    const { payload, left } = message;
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
      this.#fill?.(row, message.metadata);
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
  /** Whether a message is written with the bytes that were read. */
  readonly #asIs: boolean;
  readonly #transform: Transform;
  readonly #sink: Sink;

  /** `schemas` are those of the source, if they are in a registry. */
  constructor(
    { source, sink: target, select }: InsertPlan,
    transform: Transform,
    sink: Sink,
    schemas?: RegisteredSchemas,
  ) {
    this.#asIs = select.kind === 'passthrough' && !target.takesRows && isText(source) && isText(target);
    const codecs = target.takesRows
      ? { source: codecFor(source.schema, schemas), encode: checking(target.schema) }
      : codecsBetween(source.schema, target.schema, schemas);
    const isUnread = this.#asIs && target.uses?.length === 0 && !hasMetadata(source);
    const codec = isUnread ? unread(codecs.source) : codecs.source;
    this.#reader = new BatchReader(source, codec, transform.bytesFor?.bind(transform));
    this.#encode = codecs.encode;
    this.#transform = transform;
    this.#sink = sink;
  }

  /** See `BatchReader.ready`. */
  ready(messages: readonly InputMessage[]): Promise<void> | undefined {
    return this.#reader.ready(messages);
  }

  batches<M extends InputMessage>(
    messages: Iterable<M>,
    failed: FailureHandler,
  ): Generator<Batch<M>, void, undefined> {
    return this.#reader.batches(messages, failed);
  }

  /** See `BatchReader.batch`. */
  batch<M extends InputMessage>(messages: readonly M[], from: number, failed: FailureHandler): Batch<M> {
    return this.#reader.batch(messages, from, failed);
  }

  /**
   * Transforms and encodes the rows of a batch. Throws or rejects with errors that no single row caused. Without DuckDB it is done
   * when it returns, and returns undefined.
   */
  prepare(batch: Batch<InputMessage>): Promise<void> | undefined {
    const result = this.#transform.run(batch.rows);
    if (result instanceof Promise) return result.then((transformed) => this.#encodeRows(batch, transformed));
    this.#encodeRows(batch, result);
    return undefined;
  }

  #encodeRows(batch: Batch<InputMessage>, result: Transformed): void {
    batch.rowsOut = result.rows.length;
    for (const { index, error } of result.bad) batch.failRow(index, 'transform', badOnly(error));
    for (let index = 0; index < result.rows.length; index++) {
      const row = result.rows[index] as Row;
      const from = result.origin[index] as number;
      try {
        const payload = this.#asIs
          ? batch.messages[batch.owners[from] as number]?.payload
          : this.#encode(batch.rows, result, index);
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

  /** Call it before `write`, in the order of the source; `positions` are those of the messages. */
  begin(batch: Batch<InputMessage>, positions: () => readonly unknown[]): void {
    batch.part = this.#sink.transactions?.begin(positions());
  }

  /** Resolves when the sink has confirmed or refused every message. With transactions they count after the commit of `batch.part`. */
  async write(batch: Batch<InputMessage>): Promise<void> {
    const { outgoing, origins } = batch;
    if (outgoing.length === 0) return;
    for (const { index, error } of await (batch.part ?? this.#sink).write(outgoing)) {
      batch.refused.push(outgoing[index] as Outgoing);
      batch.failRow(origins[index] as number, 'write', error);
    }
  }
}

const hasMetadata = ({ schema: { fields = [] } }: TableDefinition): boolean => fields.some(isMetadata);

/** The same codec, whose rows have no values: nobody looks at them. */
function unread(codec: Codec): Codec {
  const check = codec.check;
  if (check === undefined) return codec;
  return {
    ...codec,
    decode(payload) {
      check(payload);
      return noValues;
    },
  };
}

const noValues: Row = Object.freeze({});

function* payloadsOf(messages: readonly InputMessage[]): Generator<Buffer> {
  for (const { payload } of messages) yield payload;
}

/** Whether a message of the table is one text and nothing else. */
const isText = ({ schema: { format, framing } }: TableDefinition): boolean =>
  format?.type === 'raw_string' && !framing && format.compression !== 'gzip';

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
