import type { Delivery } from '../connectors/connector.ts';
import { type FillMetadata, metadataFiller } from '../connectors/metadata.ts';
import { codecFor, readRows } from '../formats/codec.ts';
import type { Codec, Row } from '../formats/format.ts';
import type { InsertPlan } from '../sql/plan.ts';

/** Between messages and rows: the codecs of both ends, and the columns that come from metadata. */
export class Codecs {
  readonly #source: Codec;
  readonly #sink: Codec;
  readonly #fill: FillMetadata;

  constructor({ source, sink }: InsertPlan) {
    this.#source = codecFor(source.schema);
    this.#sink = codecFor(sink.schema);
    this.#fill = metadataFiller(source.schema.fields ?? []);
  }

  /** The rows of a message. What cannot be read goes to `bad`: the message, or some of its rows, each with its number. */
  read(
    { payload, metadata }: Pick<Delivery, 'payload' | 'metadata'>,
    bad: (error: unknown, row?: number) => void,
  ): Row[] {
    const rows = readRows(this.#source, payload, bad);
    for (const row of rows) this.#fill(row, metadata);
    return rows;
  }

  write(row: Row): Buffer {
    return this.#sink.encode(row);
  }
}
