import type { Delivery, Outgoing, Sink } from '../connectors/connector.ts';
import { asPenstockError, type PenstockError } from '../errors.ts';
import type { Row, Value } from '../formats/format.ts';
import { badData } from '../formats/values/bad.ts';
import type { InsertPlan } from '../sql/plan.ts';
import type { Transform } from '../sql/transform.ts';
import { Codecs } from './codecs.ts';

/** Rows and bytes that go through together; messages are not divided. */
const partRows = 10_000;
const partBytes = 16 * 1024 * 1024;

export type Stage = 'decode' | 'transform' | 'encode' | 'write';

/** What is wrong with a message, or with one of its rows. */
export interface Failure {
  stage: Stage;
  error: PenstockError;
  /** The number of the row in its message, from 0; undefined when the message cannot be read at all. */
  row: number | undefined;
}

/** A message that is to get through. */
export interface Passenger {
  readonly payload: Buffer;
  readonly metadata: Delivery['metadata'];
  /** When some of its rows have got through before: the numbers of those that have not, and of how many. */
  readonly left?: { rows: ReadonlySet<number>; of: number };
}

/** Messages that go through together, and what becomes of them on the way. */
export class Part<M extends Passenger> {
  readonly messages: M[] = [];
  /** By the index of the message. */
  readonly failures = new Map<number, Failure[]>();
  /** How many rows each message has; undefined when it cannot be read at all. */
  readonly rowCounts: (number | undefined)[] = [];
  readonly rows: Row[] = [];
  /** For each row the index of its message, and its number there. */
  readonly owners: number[] = [];
  readonly numbers: number[] = [];
  readonly outgoing: Outgoing[] = [];
  /** For each outgoing message the index of the row it was made of. */
  readonly origins: number[] = [];
  /** Which of the outgoing messages were refused. */
  readonly refused: Outgoing[] = [];
  /** How many rows came of them. */
  made = 0;
  /** Of what a part may hold; it is full at 1. */
  weight = 0;
  readonly #failed: (failure: Failure) => void;

  constructor(failed: (failure: Failure) => void) {
    this.#failed = failed;
  }

  fail(message: number, failure: Failure): void {
    const failures = this.failures.get(message);
    if (failures) failures.push(failure);
    else this.failures.set(message, [failure]);
    this.#failed(failure);
  }

  /** As `fail`, of the row at `index`. */
  failRow(index: number, stage: Stage, error: PenstockError): void {
    this.fail(this.owners[index] as number, { stage, error, row: this.numbers[index] });
  }
}

/** The way from source to sink: messages are decoded, their rows transformed and encoded, and what comes of it written. */
export class Passage {
  readonly #codecs: Codecs;
  readonly #transform: Transform;
  readonly #sink: Sink;
  readonly #unpacks: boolean;

  constructor(insert: InsertPlan, transform: Transform, sink: Sink) {
    this.#codecs = new Codecs(insert);
    this.#transform = transform;
    this.#sink = sink;
    this.#unpacks = insert.source.schema.format?.compression === 'gzip';
  }

  /**
   * Decodes messages, a part at a time, each when it is asked for: a thousand packed messages may come to more than
   * memory holds. `failed` hears of everything that fails in them, also later; what it throws ends the whole.
   */
  *parts<M extends Passenger>(
    messages: Iterable<M>,
    failed: (failure: Failure) => void,
  ): Generator<Part<M>, void, undefined> {
    let part = new Part<M>(failed);
    for (const message of messages) {
      this.#decode(message, part);
      if (part.weight < 1) continue;
      yield part;
      part = new Part(failed);
    }
    if (part.messages.length > 0) yield part;
  }

  #decode<M extends Passenger>(message: M, part: Part<M>): void {
    const { left } = message;
    const index = part.messages.push(message) - 1;
    const bad = new Set<number>();
    let whole = false;
    const rows = this.#codecs.read(message, (error, row) => {
      const raised = badOnly(error);
      if (row === undefined) whole = true;
      else bad.add(row);
      if (row === undefined || (left?.rows.has(row) ?? true))
        part.fail(index, { stage: 'decode', error: raised, row });
    });
    const count = whole ? undefined : rows.length + bad.size;
    part.rowCounts.push(count);
    if (left && count !== undefined && count !== left.of) {
      const problem = `holds ${count} rows now and held ${left.of} when some of them were written, so that nobody can tell which are left`;
      part.fail(index, { stage: 'decode', error: badData('', problem), row: undefined });
      return;
    }
    let number = 0;
    for (const row of rows) {
      while (bad.has(number)) number += 1;
      if (left?.rows.has(number) ?? true) {
        part.rows.push(row);
        part.owners.push(index);
        part.numbers.push(number);
      }
      number += 1;
    }
    part.weight +=
      rows.length / partRows + (this.#unpacks ? sizeOf(rows) : message.payload.length) / partBytes;
  }

  /** Transforms and encodes the rows of a part. Throws what is not the fault of one of them. */
  async prepare(part: Part<Passenger>): Promise<void> {
    const { rows, origin, bad } = await this.#transform.run(part.rows);
    part.made = rows.length;
    for (const { index, error } of bad) part.failRow(index, 'transform', badOnly(error));
    for (const [index, row] of rows.entries()) {
      const from = origin[index] as number;
      try {
        part.outgoing.push({ payload: this.#codecs.write(row), row });
        part.origins.push(from);
      } catch (error) {
        part.failRow(from, 'encode', badOnly(error));
      }
    }
  }

  /** Writes what came of a part; rejects as a sink does. */
  async write(part: Part<Passenger>): Promise<void> {
    const { outgoing, origins } = part;
    if (outgoing.length === 0) return;
    for (const { index, error } of await this.#sink.write(outgoing)) {
      part.refused.push(outgoing[index] as Outgoing);
      part.failRow(origins[index] as number, 'write', error);
    }
  }
}

/** An error that a message or a row is to blame for; throws any other. */
function badOnly(error: unknown): PenstockError {
  const raised = asPenstockError(error);
  if (raised.code !== 'bad_data' && raised.code !== 'bad_row') throw raised;
  return raised;
}

/** About the bytes of memory that a value takes. */
function sizeOf(value: Value): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 8;
  if (Buffer.isBuffer(value)) return value.length;
  let sum = 0;
  for (const member of Array.isArray(value) ? value : Object.values(value)) sum += 8 + sizeOf(member);
  return sum;
}
