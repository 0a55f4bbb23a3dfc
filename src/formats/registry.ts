import { avro } from './avro/avro.ts';
import { cbor } from './cbor/cbor.ts';
import { csv } from './csv/csv.ts';
import type { FormatDefinition } from './format.ts';
import { json } from './json/json.ts';
import { msgpack } from './msgpack/msgpack.ts';
import { parquet } from './parquet/parquet.ts';
import { protobuf } from './protobuf/protobuf.ts';
import { rawBytes, rawString } from './raw/raw.ts';
import type { Format } from './schema/schema.ts';
import { senml } from './senml/senml.ts';
import { sparkplugB } from './sparkplug/sparkplug.ts';

const formats = [
  avro,
  cbor,
  csv,
  json,
  msgpack,
  parquet,
  protobuf,
  rawBytes,
  rawString,
  senml,
  sparkplugB,
] as unknown as readonly FormatDefinition[];

/** The formats of messages. */
export const formatTypes = formats.filter(({ filesOnly }) => !filesOnly).map(({ type }) => type);

/** The same with the formats of files. */
export const allFormatTypes = formats.map(({ type }) => type);

/** The definition of a format; undefined for one that Penstock does not read or write. */
export const formatOf = (format: Format): FormatDefinition | undefined =>
  formats.find(({ type }) => type === format.type);
