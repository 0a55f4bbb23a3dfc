import type { Codec, FormatDefinition, Row, Value } from '../format.ts';
import { jsonText } from '../json/text.ts';
import { type Field, type ListItem, messageFields } from '../schema/schema.ts';
import { type TimestampUnit, unitOf } from '../schema/sql-type.ts';
import { badData, badRow, pathOf } from './bad.ts';
import { getterOf, setterOf } from './own-property.ts';
import {
  bigintFrom,
  decimalFrom,
  floatFrom,
  integerFrom,
  listFrom,
  plainFrom,
  type Reader,
  structFrom,
} from './read.ts';
import { messageOfRow, rowFromMessage, rowFromObject } from './row.ts';
import { textOrProblem, Unreadable } from './text-check.ts';
import { checkOf, jsonOf, numberOfJson, orNull, structOf } from './write.ts';
import { type ReadTime, timeReader } from './zone.ts';

/** The library of a format of self-describing documents (CBOR, MessagePack), and the types that JavaScript lacks. */
interface DocumentLibrary {
  /**
   * Throws `bad_data` for what is no document, or would be read slowly. Returns whether the document is unusual: whether
   * the library would refuse it, or read a part of it with another meaning.
   */
  check(payload: Buffer): boolean;
  /** Reads maps as plain objects. */
  decode(payload: Buffer): unknown;
  /** The same for an unusual document, with an `Unreadable` in the place of a value that no column can take. */
  decodeUnusual(payload: Buffer): unknown;
  encode(document: unknown): Buffer;
  /** Returns the time as a count of the unit; undefined when the value is none that fits. */
  timestampFrom(value: object, unit: TimestampUnit): bigint | undefined;
  /** Returns the text of a decimal; undefined when the value is none. */
  decimalFrom(value: object): string | undefined;
  /** Converts a value of a type of its own into one that JSON has. */
  jsonFrom(value: object): unknown;
  /** Returns undefined when the format cannot write the time. */
  timestampOf(value: bigint, unit: TimestampUnit): unknown;
  decimalOf(text: string): unknown;
}

/** A library, and the reader of times that are texts. */
interface ZonedLibrary extends DocumentLibrary {
  readTime: ReadTime;
}

/** A format whose message is one map with the fields by name, or any document in one json column. */
export function documentFormat(library: DocumentLibrary): Omit<FormatDefinition<'cbor' | 'msgpack'>, 'type'> {
  return {
    wholeMessage: (format) => (format.into_unstructured_json ? 'json' : undefined),
    codec({ fields = [], format }) {
      return format.into_unstructured_json
        ? unstructuredCodec(fields, library)
        : structuredCodec(fields, { ...library, readTime: timeReader(format.timezone) });
    },
  };
}

function structuredCodec(fields: readonly Field[], library: ZonedLibrary): Codec {
  const read = mapReader(fields, '', library);
  const write = mapWriter(fields, '', library);
  // Most messages are plain: only for others does every reader look for what cannot be read.
  let careful: typeof read | undefined;
  return {
    decode(payload) {
      const { document, unusual } = parse(payload, library);
      if (!unusual) return read(document);
      careful ??= mapReader(fields, '', library, true);
      return careful(document);
    },
    encode: (row) => library.encode(write(row)),
  };
}

function unstructuredCodec(fields: readonly Field[], library: DocumentLibrary): Codec {
  const make = rowFromMessage(fields);
  const write = jsonWriter('/value');
  const toJson = jsonReader('/value', library);
  return {
    decode: (payload) => make(toJson(parse(payload, library).document)),
    encode: (row) => library.encode(write(messageOfRow(row))),
  };
}

/** The library's own error is dropped: it quotes the payload. */
function parse(payload: Buffer, library: DocumentLibrary): { document: unknown; unusual: boolean } {
  if (payload.length === 0) throw badData('', 'is empty');
  const unusual = library.check(payload);
  try {
    return { document: unusual ? library.decodeUnusual(payload) : library.decode(payload), unusual };
  } catch {
    throw badData('', 'is not a well-formed document');
  }
}

/** Adds a member to a map. A key that is bytes is its text, or base64; a later member of the same name counts. */
export function setMember(object: Row, key: unknown, value: unknown): void {
  let name: unknown = key;
  if (key instanceof Uint8Array) {
    const text = textOrProblem(Buffer.from(key), 0, key.length);
    name = typeof text === 'string' ? text : Buffer.from(key).toString('base64');
  }
  if (typeof name !== 'object' || name === null) setterOf(String(name))(object, value as Value);
  // No column has this name, and no JSON such a key.
  else object['\0'] = new Unreadable('holds a map key that is not a text, a number or bytes') as never;
}

function mapReader(
  fields: readonly Field[],
  path: string,
  library: ZonedLibrary,
  careful = false,
): (value: unknown) => Row {
  const read = structFrom(fields, path, readerIn(library, careful), isMap, 'is not a map');
  return careful ? readable(read, path) : read;
}

/** Refuses a value that no column can take. */
function readable<T>(read: (value: unknown) => T, path: string): (value: unknown) => T {
  return (value) => {
    if (value instanceof Unreadable) throw badData(path, value.problem);
    return read(value);
  };
}

const isMap = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;

const readerIn =
  (library: ZonedLibrary, careful: boolean) =>
  (item: ListItem, path: string): Reader => {
    const read = valueReader(item, path, library, careful);
    return careful ? readable(read, path) : read;
  };

function valueReader(type: ListItem, path: string, library: ZonedLibrary, careful: boolean): Reader {
  switch (type.type) {
    case 'int32':
    case 'uint32':
      return integerFrom(type.type, path);
    case 'int64':
    case 'uint64':
      return bigintFrom(type.type, path);
    case 'float32':
    case 'float64':
      return floatFrom(type.type, path);
    case 'decimal128':
      return decimalReader(type, path, library);
    case 'bool':
    case 'string':
      return plainFrom(type.type, path);
    case 'bytes':
      return bytesReader(path);
    case 'timestamp':
      return timestampReader(type, path, library);
    case 'json':
      return jsonReader(path, library);
    case 'struct':
      return mapReader(type.fields ?? [], path, library, careful);
    case 'list':
      return listFrom(type.items, path, readerIn(library, careful));
  }
}

function jsonReader(path: string, library: DocumentLibrary): (value: unknown) => string {
  const special = readable((value) => library.jsonFrom(value as object), path);
  return (value) => jsonText(value, path, special);
}

/** The bytes are a view of the payload, which outlives the row. */
function bytesReader(path: string): Reader {
  return (value) => {
    if (!(value instanceof Uint8Array)) throw badData(path, 'is not a byte string');
    return Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  };
}

/** Also takes any number and the digits as a string. */
function decimalReader(type: ListItem, path: string, library: DocumentLibrary): Reader {
  const read = decimalFrom(type, path);
  return (value) => {
    if (typeof value === 'object' && value !== null) return read(library.decimalFrom(value));
    return read(['string', 'number', 'bigint'].includes(typeof value) ? String(value) : undefined);
  };
}

/** Also takes an RFC 3339 text, and a whole number as a count of the unit of the field. */
function timestampReader(type: ListItem, path: string, library: ZonedLibrary): Reader {
  const unit = unitOf(type);
  return (value) => {
    let time: bigint | undefined;
    if (typeof value === 'object' && value !== null) time = library.timestampFrom(value, unit);
    else if (typeof value === 'string') time = library.readTime(value, unit);
    else if (Number.isInteger(value)) time = BigInt(value as number);
    else if (typeof value === 'bigint') time = value;
    if (time === undefined || BigInt.asIntN(64, time) !== time) throw badData(path, 'is not a time');
    return time;
  };
}

type DocumentWriter = (value: Value) => unknown;

/** Converts a row into a document for the library to write. A null is written. */
function mapWriter(
  fields: readonly Field[],
  path: string,
  library: DocumentLibrary,
): (value: Value) => object {
  const steps = messageFields(fields).map((field) => {
    const at = pathOf(path, field.name);
    return { name: field.name, write: orNull(valueWriter(field, at, library), field.required, at) };
  });
  const struct = structOf(path);
  // The libraries look at `constructor` and `toJSON` of a plain object, and leave out some keys.
  if (steps.some(({ name }) => name in Object.prototype || name === 'toJSON'))
    return (value) => {
      const row = struct(value);
      return new Map(steps.map(({ name, write }) => [name, write(getterOf(name)(row) as Value)]));
    };
  const make = rowFromObject(steps.map(({ name, write }) => ({ name, read: write as Reader })));
  return (value) => make(struct(value));
}

function valueWriter(type: ListItem, path: string, library: DocumentLibrary): DocumentWriter {
  switch (type.type) {
    case 'int64':
    case 'uint64': {
      const check = checkOf(type.type, path);
      return (value) => compact(check(value));
    }
    case 'decimal128': {
      const check = checkOf(type.type, path);
      return (value) => library.decimalOf(check(value));
    }
    case 'timestamp':
      return timestampWriter(type, path, library);
    case 'json':
      return jsonWriter(path);
    case 'struct':
      return mapWriter(type.fields ?? [], path, library);
    case 'list':
      return listWriter(type.items ?? { type: 'string' }, path, library);
    default:
      return checkOf(type.type, path);
  }
}

/** The libraries write every bigint in nine bytes, and a number as an integer only where it has 32 bits. */
function compact(value: bigint): number | bigint {
  return value >= -0x8000_0000n && value <= 0xffff_ffffn ? Number(value) : value;
}

function timestampWriter(type: ListItem, path: string, library: DocumentLibrary): DocumentWriter {
  const unit = unitOf(type);
  const time = checkOf('timestamp', path);
  return (value) => {
    const written = library.timestampOf(time(value), unit);
    if (written === undefined) throw badRow(path, 'is a time outside the years 0000 to 9999');
    return written;
  };
}

function jsonWriter(path: string): DocumentWriter {
  const parse = jsonOf(path);
  return (value) => documentOf(parse(value));
}

function documentOf(value: unknown): unknown {
  const number = numberOfJson(value);
  if (typeof number === 'bigint') return compact(number);
  if (number !== undefined) return Number.isSafeInteger(number) ? compact(BigInt(number)) : number;
  if (typeof value === 'string') return value.toWellFormed();
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(documentOf);
  return new Map(Object.entries(value).map(([key, member]) => [key.toWellFormed(), documentOf(member)]));
}

function listWriter(items: ListItem, path: string, library: DocumentLibrary): DocumentWriter {
  const itemPath = `${path}/*`;
  const write = orNull(valueWriter(items, itemPath, library), items.required, itemPath);
  return (value) => {
    if (!Array.isArray(value)) throw badRow(path, 'is not a list');
    return value.map((item) => write(item));
  };
}
