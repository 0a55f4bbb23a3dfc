import type { Delivery } from '../connectors/connector.ts';
import { type FillMetadata, metadataFiller } from '../connectors/metadata.ts';
import { codecFor } from '../formats/codec.ts';
import type { Codec, Row } from '../formats/format.ts';
import type { InsertPlan } from '../pipeline/plan.ts';

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

  read(delivery: Delivery): Row {
    const row = this.#source.decode(delivery.payload);
    this.#fill(row, delivery.metadata);
    return row;
  }

  write(row: Row): Buffer {
    return this.#sink.encode(row);
  }
}
