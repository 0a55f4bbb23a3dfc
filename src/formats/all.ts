/** Every format, one line each. */
export { avro } from './avro/avro.ts';
export { cbor } from './cbor/cbor.ts';
export { csv } from './csv/csv.ts';
export { json } from './json/json.ts';
export { msgpack } from './msgpack/msgpack.ts';
export { protobuf } from './protobuf/protobuf.ts';
export { rawBytes } from './raw/raw-bytes.ts';
export { rawString } from './raw/raw-string.ts';
export { sparkplugB } from './sparkplug/sparkplug.ts';
