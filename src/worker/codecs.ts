import type { Delivery } from '../connectors/connector.ts';
import { codecFor } from '../formats/codec.ts';
import type { Codec, Row, Value } from '../formats/format.ts';
import { type SetProperty, setterOf } from '../formats/own-property.ts';
import type { Field } from '../formats/schema.ts';
import type { InsertPlan } from '../pipeline/plan.ts';

/** Between messages and rows: the codecs of both ends, and the columns that come from metadata. */
export class Codecs {
  readonly #source: Codec;
  readonly #sink: Codec;
  readonly #metadata: { set: SetProperty; read: (metadata: Delivery['metadata']) => Value }[];

  constructor({ source, sink }: InsertPlan) {
    this.#source = codecFor(source.schema);
    this.#sink = codecFor(sink.schema);
    this.#metadata = (source.schema.fields ?? []).flatMap((field) =>
      field.metadata_key
        ? [{ set: setterOf(field.name), read: metadataReader(field, field.metadata_key) }]
        : [],
    );
  }

  /** The rows of a message. What cannot be read goes to `bad`: the message, or only some of its rows. */
  read({ payload, metadata }: Delivery, bad: (error: unknown) => void): Row[] {
    const rows = this.#decoded(payload, bad);
    for (const row of rows) for (const { set, read } of this.#metadata) set(row, read(metadata));
    return rows;
  }

  #decoded(payload: Buffer, bad: (error: unknown) => void): Row[] {
    const errors: unknown[] = [];
    let rows: Row[] = [];
    try {
      rows = this.#source.decodeAll?.(payload, (error) => errors.push(error)) ?? [
        this.#source.decode(payload),
      ];
    } catch (error) {
      errors.push(error);
    }
    // Only now: it throws where bad data fails the job.
    for (const error of errors) bad(error);
    return rows;
  }

  write(row: Row): Buffer {
    return this.#sink.encode(row);
  }
}

/** Reads a metadata column. A timestamp comes in microseconds and is wanted in the unit of its field. */
function metadataReader(field: Field, key: string): (metadata: Delivery['metadata']) => Value {
  if (field.type !== 'timestamp') return (metadata) => (metadata[key] ?? null) as Value;
  const unit = microsecondsIn[field.unit ?? 'millisecond'];
  return (metadata) => {
    const micros = metadata[key] as bigint | null | undefined;
    return micros == null ? null : unit > 0n ? micros / unit : micros * 1000n;
  };
}

/** 0 for what is shorter than a microsecond. */
const microsecondsIn = { second: 1_000_000n, millisecond: 1000n, microsecond: 1n, nanosecond: 0n } as const;
