import type { Watched } from '../../connectors/connector.ts';
import { asPenstockError, type PenstockError } from '../../errors.ts';
import type { Row } from '../../formats/format.ts';
import type { Writer } from '../../formats/json/encode.ts';
import { openTransform } from '../../sql/open-transform.ts';
import type { PreviewPlan } from '../../sql/plan.ts';
import type { Transform } from '../../sql/transform.ts';
import { MessageReader, maxDecoded, maxText, rowWriter } from '../connection-tables/message-event.ts';
import { PerSecond } from '../live.ts';

/** Maximum number of messages that wait for the transform, and that are taken per second. Others are left out. */
const maxWaiting = 1000;
const maxPerSecond = 1000;

export interface PreviewBatch {
  operatorId: string;
  /** Unix microseconds, one for each row. */
  timestamps: number[];
  rows: string[];
  bad: PenstockError[];
}

interface PreviewListener {
  onBatch(batch: PreviewBatch): void;
  onLeftOut(messages: number): void;
  onError(error: unknown): void;
}

/** Turns messages of a source into the rows of one SELECT, as a pipeline would. */
export class PreviewRows {
  readonly #plan: PreviewPlan;
  readonly #listener: PreviewListener;
  readonly #reader: MessageReader;
  readonly #write: Writer;
  readonly #transform: Transform;
  readonly #rate = new PerSecond(maxPerSecond);
  #waiting: Watched[] = [];
  #running: Promise<void> | undefined;

  private constructor(plan: PreviewPlan, transform: Transform, listener: PreviewListener) {
    this.#plan = plan;
    this.#listener = listener;
    this.#transform = transform;
    this.#reader = new MessageReader(plan.source.schema);
    this.#write = rowWriter(plan.columns);
  }

  static async open(plan: PreviewPlan, listener: PreviewListener): Promise<PreviewRows> {
    const { source, select, columns } = plan;
    const transform = await openTransform({ source, select, sink: { schema: { fields: columns } } });
    return new PreviewRows(plan, transform, listener);
  }

  deliver(message: Watched): void {
    const granted = this.#rate.take() === 1 && this.#waiting.length < maxWaiting;
    if (!granted || message.payload.length > maxDecoded) {
      this.#listener.onLeftOut(1);
      return;
    }
    this.#waiting.push(message);
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async close(): Promise<void> {
    this.#waiting = [];
    await this.#running;
    await this.#transform.close();
  }

  async #run(): Promise<void> {
    try {
      while (this.#waiting.length > 0) this.#listener.onBatch(await this.#batchOf(this.#waiting.splice(0)));
    } catch (error) {
      this.#listener.onError(error);
    }
  }

  async #batchOf(messages: Watched[]): Promise<PreviewBatch> {
    const bad: PenstockError[] = [];
    const rows: Row[] = [];
    const times: number[] = [];
    for (const message of messages)
      for (const row of this.#reader.read(message, (error) => bad.push(badData(error)))) {
        rows.push(row);
        times.push(Math.round(message.receivedAt * 1000));
      }
    const result = await this.#transform.run(rows);
    for (const { error } of result.bad) bad.push(error);
    const { transform: operatorId } = this.#plan.operatorIds;
    const batch: PreviewBatch = { operatorId, timestamps: [], rows: [], bad };
    for (const [index, row] of result.rows.entries()) {
      const text = this.#write(row);
      if (text.length > maxText) {
        this.#listener.onLeftOut(1);
        continue;
      }
      batch.rows.push(text);
      batch.timestamps.push(times[result.origin[index] ?? 0] ?? 0);
    }
    return batch;
  }
}

/** An error that is not the fault of a message ends the preview. */
function badData(error: unknown): PenstockError {
  const raised = asPenstockError(error);
  if (raised.code !== 'bad_data' && raised.code !== 'bad_row') throw raised;
  return raised;
}
