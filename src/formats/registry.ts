import { avro } from './avro/avro.ts';
import { cbor } from './cbor/cbor.ts';
import { csv } from './csv/csv.ts';
import type { FormatDefinition } from './format.ts';
import { json } from './json/json.ts';
import { msgpack } from './msgpack/msgpack.ts';
import { parquet } from './parquet/parquet.ts';
import { protobuf } from './protobuf/protobuf.ts';
import { rawBytes, rawString } from './raw/raw.ts';
import type { Format, FormatType } from './schema/schema.ts';
import { senml } from './senml/senml.ts';
import { sparkplugB } from './sparkplug/sparkplug.ts';

/** Formats by type. In the built service each is a file of its own, loaded when it is first used (`scripts/package.ts`). */
const formats: Partial<Record<FormatType, () => unknown>> = {
  avro: () => avro,
  cbor: () => cbor,
  csv: () => csv,
  json: () => json,
  msgpack: () => msgpack,
  parquet: () => parquet,
  protobuf: () => protobuf,
  raw_bytes: () => rawBytes,
  raw_string: () => rawString,
  senml: () => senml,
  sparkplug_b: () => sparkplugB,
};

/** The formats of messages and of files. */
export const allFormatTypes = Object.keys(formats) as FormatType[];

/** The formats of messages. Parquet is for whole files (`filesOnly`). */
export const formatTypes = allFormatTypes.filter((type) => type !== 'parquet');

/** The definition of a format; undefined for one that Penstock does not read or write. */
export const formatOf = ({ type }: Format): FormatDefinition | undefined =>
  Object.hasOwn(formats, type) ? (formats[type]?.() as FormatDefinition) : undefined;
