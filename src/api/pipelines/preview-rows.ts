import type { Watched } from '../../connectors/connector.ts';
import { asPenstockError, PenstockError } from '../../errors.ts';
import { codecFor } from '../../formats/codec.ts';
import type { Row } from '../../formats/format.ts';
import type { Change } from '../../formats/json/changes.ts';
import type { Writer } from '../../formats/json/encode.ts';
import type { RegisteredSchemas } from '../../formats/registered.ts';
import { openTransform } from '../../sql/open-transform.ts';
import type { PreviewPlan } from '../../sql/plan.ts';
import type { Transform } from '../../sql/transform.ts';
import { MessageReader, maxDecoded, rowWriter, textOf } from '../connection-tables/message-event.ts';
import { PerSecond } from '../live.ts';

/** Maximum number of messages that wait for the transform, and that are taken per second. Others are left out. */
const maxWaiting = 1000;
const maxPerSecond = 1000;

export interface PreviewBatch {
  operatorId: string;
  /** Unix microseconds, one for each row. */
  timestamps: number[];
  /** As JSON. */
  rows: string[];
  /** The same rows. */
  values: Change[];
  bad: PenstockError[];
  /** Whether rows may be missing in the windows of these results. */
  partial?: boolean;
}

/** State of the windows of one SELECT. */
export interface PreviewState {
  watermark: number | null;
  open_windows: number;
  late_rows: number;
  state_bytes: number;
}

export interface PreviewListener {
  onBatch(batch: PreviewBatch): void;
  onLeftOut(messages: number): void;
  onState?(state: PreviewState): void;
  onError(error: unknown): void;
}

/** Makes rows of the messages of the sources of one SELECT. */
export interface PreviewInput {
  /** `source` is the number of the source. */
  deliver(message: Watched, source: number): void;
  /** No message of that source comes any more. */
  ended?(source: number): void;
  /** Shows what is in open windows, and closes them. */
  closeWindows?(): Promise<void>;
  close(): Promise<void>;
}

interface Waiting {
  message: Watched;
  source: number;
}

/** Messages that wait for work, which takes all at once and runs once at a time. */
export class PreviewInbox {
  readonly #listener: PreviewListener;
  readonly #work: (waiting: Waiting[]) => Promise<void>;
  readonly #rate = new PerSecond(maxPerSecond);
  #waiting: Waiting[] = [];
  #isDue = false;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(listener: PreviewListener, work: (waiting: Waiting[]) => Promise<void>) {
    this.#listener = listener;
    this.#work = work;
  }

  add(message: Watched, source: number): void {
    const granted = this.#rate.take() === 1 && this.#waiting.length < maxWaiting;
    if (!granted || message.payload.length > maxDecoded) {
      this.#listener.onLeftOut(1);
      return;
    }
    this.#waiting.push({ message, source });
    this.wake();
  }

  /** Runs the work soon, also without messages. */
  wake(): void {
    if (this.#closed) return;
    this.#isDue = true;
    this.#running ??= this.#run();
  }

  /** Waits for work that runs, and drops the rest. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting = [];
    this.#isDue = false;
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      while (this.#isDue) {
        this.#isDue = false;
        await this.#work(this.#waiting.splice(0));
      }
    } catch (error) {
      this.#closed = true;
      this.#listener.onError(error);
    } finally {
      this.#running = undefined;
    }
  }
}

/** A batch of rows to show. Rows that cannot be shown are reported in `bad`. */
export function shownBatch(
  operatorId: string,
  changes: readonly { change: Change; timestamp: number }[],
  write: (change: Change) => string,
  bad: PenstockError[],
): PreviewBatch {
  const batch: PreviewBatch = { operatorId, timestamps: [], rows: [], values: [], bad };
  for (const { change, timestamp } of changes) {
    const { text, problem } = textOf(() => write(change));
    if (text === null) {
      bad.push(new PenstockError('bad_row', `The row is computed; ${problem}`));
      continue;
    }
    batch.rows.push(text);
    batch.values.push(change);
    batch.timestamps.push(timestamp);
  }
  return batch;
}

/** Turns messages of a source into the rows of one SELECT, as a pipeline would. */
export class PreviewRows implements PreviewInput {
  readonly #operatorId: string;
  readonly #reader: MessageReader;
  readonly #write: Writer;
  readonly #transform: Transform;
  readonly #inbox: PreviewInbox;

  private constructor(
    plan: PreviewPlan,
    transform: Transform,
    listener: PreviewListener,
    schemas: RegisteredSchemas | undefined,
  ) {
    this.#operatorId = plan.operatorIds.transform;
    this.#transform = transform;
    this.#reader = new MessageReader(plan.source.schema, codecFor(plan.source.schema, schemas));
    this.#write = rowWriter(plan.columns);
    this.#inbox = new PreviewInbox(listener, async (waiting) => {
      if (waiting.length > 0) listener.onBatch(await this.#batchOf(waiting));
    });
  }

  static async open(
    plan: PreviewPlan,
    listener: PreviewListener,
    schemas?: RegisteredSchemas,
  ): Promise<PreviewRows> {
    const { source, select, columns } = plan;
    const transform = await openTransform({ source, select, sink: { schema: { fields: columns } } });
    return new PreviewRows(plan, transform, listener, schemas);
  }

  deliver(message: Watched): void {
    this.#inbox.add(message, 0);
  }

  async close(): Promise<void> {
    await this.#inbox.close();
    await this.#transform.close();
  }

  async #batchOf(waiting: readonly Waiting[]): Promise<PreviewBatch> {
    const bad: PenstockError[] = [];
    const rows: Row[] = [];
    const times: number[] = [];
    await this.#reader.ready(waiting.map(({ message }) => message));
    for (const { message } of waiting)
      for (const row of this.#reader.read(message, (error) => bad.push(asPenstockError(error)))) {
        rows.push(row);
        times.push(Math.round(message.receivedAt * 1000));
      }
    const result = await this.#transform.run(rows);
    for (const { error } of result.bad) bad.push(error);
    const changes = result.rows.map((after, index) => ({
      change: { after },
      timestamp: times[result.origin[index] ?? 0] ?? 0,
    }));
    return shownBatch(this.#operatorId, changes, ({ after }) => this.#write(after as Row), bad);
  }
}
