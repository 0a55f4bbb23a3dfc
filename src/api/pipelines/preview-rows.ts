import type { Watched } from '../../connectors/connector.ts';
import { type FillMetadata, metadataFiller } from '../../connectors/metadata.ts';
import { asPenstockError, type PenstockError } from '../../errors.ts';
import { codecFor, readRows } from '../../formats/codec.ts';
import type { Codec, Row } from '../../formats/format.ts';
import type { Writer } from '../../formats/json/encode.ts';
import { openTransform } from '../../sql/open-transform.ts';
import type { PreviewPlan } from '../../sql/plan.ts';
import type { Transform } from '../../sql/transform.ts';
import { rowWriter } from '../connection-tables/message-event.ts';

/** So many messages wait to be transformed, and so many are taken in a second; the others are left out. */
const maxWaiting = 1000;
const maxPerSecond = 1000;
/** A larger payload is not decoded, and a row of more characters of JSON not shown. */
const maxDecoded = 1024 * 1024;
const maxText = 64 * 1024;

/** What came of some messages. */
export interface Shown {
  operatorId: string;
  /** Unix microseconds, one for each row. */
  timestamps: number[];
  /** JSON objects. */
  rows: string[];
  bad: PenstockError[];
}

interface Told {
  shown(shown: Shown): void;
  leftOut(messages: number): void;
  failed(error: unknown): void;
}

/** Turns messages of a source into the rows of one SELECT, as a pipeline would. */
export class PreviewRows {
  readonly #plan: PreviewPlan;
  readonly #told: Told;
  readonly #codec: Codec;
  readonly #fill: FillMetadata;
  readonly #write: Writer;
  readonly #transform: Transform;
  #waiting: Watched[] = [];
  #running: Promise<void> | undefined;
  #second = 0;
  #inSecond = 0;

  private constructor(plan: PreviewPlan, transform: Transform, told: Told) {
    this.#plan = plan;
    this.#told = told;
    this.#transform = transform;
    this.#codec = codecFor(plan.source.schema);
    this.#fill = metadataFiller(plan.source.schema.fields ?? []);
    this.#write = rowWriter(plan.columns);
  }

  static async open(plan: PreviewPlan, told: Told): Promise<PreviewRows> {
    const { source, select, columns } = plan;
    const transform = await openTransform({ source, select, sink: { schema: { fields: columns } } });
    return new PreviewRows(plan, transform, told);
  }

  deliver(message: Watched): void {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) this.#inSecond = 0;
    this.#second = second;
    this.#inSecond++;
    const room = this.#waiting.length < maxWaiting && this.#inSecond <= maxPerSecond;
    if (!room || message.payload.length > maxDecoded) {
      this.#told.leftOut(1);
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
      while (this.#waiting.length > 0) this.#told.shown(await this.#show(this.#waiting.splice(0)));
    } catch (error) {
      this.#told.failed(error);
    }
  }

  async #show(messages: Watched[]): Promise<Shown> {
    const bad: PenstockError[] = [];
    const rows: Row[] = [];
    const times: number[] = [];
    for (const { payload, metadata, receivedAt } of messages) {
      for (const row of readRows(this.#codec, payload, (error) => bad.push(badData(error)))) {
        this.#fill(row, metadata);
        rows.push(row);
        times.push(Math.round(receivedAt * 1000));
      }
    }
    const result = await this.#transform.run(rows);
    for (const { error } of result.bad) bad.push(error);
    const shown: Shown = { operatorId: this.#plan.operatorIds.transform, timestamps: [], rows: [], bad };
    for (const [index, row] of result.rows.entries()) {
      const text = this.#write(row);
      if (text.length > maxText) {
        this.#told.leftOut(1);
        continue;
      }
      shown.rows.push(text);
      shown.timestamps.push(times[result.origin[index] ?? 0] ?? 0);
    }
    return shown;
  }
}

/** What a message is not to blame for ends the preview. */
function badData(error: unknown): PenstockError {
  const raised = asPenstockError(error);
  if (raised.code !== 'bad_data' && raised.code !== 'bad_row') throw raised;
  return raised;
}
