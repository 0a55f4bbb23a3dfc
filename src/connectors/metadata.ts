import { codecFor } from '../formats/codec.ts';
import type { Codec, Row, Value } from '../formats/format.ts';
import type { Field } from '../formats/schema/schema.ts';
import { setterOf } from '../formats/values/own-property.ts';
import type { MetadataColumn, Watched } from './connector.ts';

export const metadataField = ({ name, type, items }: MetadataColumn): Field => ({
  name,
  type,
  ...(type === 'timestamp' ? { unit: 'microsecond' } : {}),
  ...(items ? { items: { type: items } } : {}),
});

/** Writes the metadata of a message as a JSON object and reads it back, exactly. */
export function metadataCodec(columns: readonly MetadataColumn[]): Pick<Codec, 'encode' | 'decode'> {
  if (columns.length === 0) return { encode: () => Buffer.from('{}'), decode: () => ({}) };
  return codecFor({ format: { type: 'json' }, fields: columns.map(metadataField) });
}

export type FillMetadata = (row: Row, metadata: Watched['metadata']) => void;

/** Undefined if no column is filled with metadata. */
export function metadataFiller(fields: readonly Field[]): FillMetadata | undefined {
  const columns = fields.flatMap((field) =>
    field.metadata_key
      ? [{ set: setterOf(field.name), read: metadataReader(field, field.metadata_key) }]
      : [],
  );
  if (columns.length === 0) return undefined;
  return (row, metadata) => {
    for (const { set, read } of columns) set(row, read(metadata));
  };
}

/** Reads a metadata column. A timestamp comes in microseconds and is wanted in the unit of its field. */
function metadataReader(field: Field, key: string): (metadata: Watched['metadata']) => Value {
  if (field.type !== 'timestamp') return (metadata) => (metadata[key] ?? null) as Value;
  const unit = microsecondsIn[field.unit ?? 'millisecond'];
  return (metadata) => {
    const micros = metadata[key] as bigint | null | undefined;
    return micros == null ? null : unit > 0n ? micros / unit : micros * 1000n;
  };
}

/** 0 for what is shorter than a microsecond. */
const microsecondsIn = { second: 1_000_000n, millisecond: 1000n, microsecond: 1n, nanosecond: 0n } as const;
