import type { Row, Value } from '../format.ts';
import { jsonText } from '../json/json-value.ts';
import type { Field, ListItem } from '../schema/schema.ts';
import { type TimestampUnit, unitOf } from '../schema/sql-type.ts';
import { badData, pathOf } from './bad.ts';
import { bigintFrom, decimalFrom, floatFrom, integerFrom, withNull } from './read-value.ts';
import { rowFromObject } from './row-literal.ts';
import { parseTimestamp } from './timestamp.ts';

/** How a format of self-describing documents (CBOR, MessagePack) brings the types that JavaScript does not have. */
export interface DocumentTypes {
  /** The time that the value is, as a count of the unit; undefined when it is none that fits. */
  timestamp(value: object, unit: TimestampUnit): bigint | undefined;
  /** The text of the decimal that the value is; undefined when it is none. */
  decimal(value: object): string | undefined;
  /** The value as JSON has it. */
  json(value: object): unknown;
}

type Reader = (value: unknown) => Value;

/** Compiles the reader of a document that is a map with these fields. Keys that no field names are ignored. */
export function documentReader(
  fields: readonly Field[],
  path: string,
  types: DocumentTypes,
): (value: unknown) => Row {
  const make = rowFromObject(
    fields.map((field) => ({
      name: field.name,
      read: typeof field.metadata_key === 'string' ? () => null : fieldReader(field, path, types),
    })),
  );
  return (value) => {
    if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) {
      throw badData(path, 'is not a map');
    }
    return make(value);
  };
}

function fieldReader(field: Field, parent: string, types: DocumentTypes): Reader {
  const path = pathOf(parent, field.name);
  return withNull(valueReader(field, path, types), field.required === true, path);
}

function valueReader(type: ListItem, path: string, types: DocumentTypes): Reader {
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
      return decimalReader(type, path, types);
    case 'bool':
    case 'string':
      return plainReader(type.type, path);
    case 'bytes':
      return bytesReader(path);
    case 'timestamp':
      return timestampReader(type, path, types);
    case 'json':
      return (value) => jsonText(value, path, types.json);
    case 'struct':
      return documentReader(type.fields ?? [], path, types);
    case 'list':
      return listReader(type.items ?? { type: 'string' }, path, types);
  }
}

function plainReader(type: 'bool' | 'string', path: string): Reader {
  const kind = type === 'bool' ? 'boolean' : 'string';
  const problem = type === 'bool' ? 'is not true or false' : 'is not a string';
  return (value) => {
    if (typeof value !== kind) throw badData(path, problem);
    return value as boolean | string;
  };
}

/** The bytes are a view of the payload, which outlives the row. */
function bytesReader(path: string): Reader {
  return (value) => {
    if (!(value instanceof Uint8Array)) throw badData(path, 'is not a byte string');
    return Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  };
}

/** Also takes any number and the digits as a string. */
function decimalReader(type: ListItem, path: string, types: DocumentTypes): Reader {
  const read = decimalFrom(type, path);
  return (value) => {
    if (typeof value === 'object' && value !== null) return read(types.decimal(value));
    return read(['string', 'number', 'bigint'].includes(typeof value) ? String(value) : undefined);
  };
}

/** Also takes an RFC 3339 text, and a whole number as a count of the unit of the field. */
function timestampReader(type: ListItem, path: string, types: DocumentTypes): Reader {
  const unit = unitOf(type);
  return (value) => {
    let time: bigint | undefined;
    if (typeof value === 'object' && value !== null) time = types.timestamp(value, unit);
    else if (typeof value === 'string') time = parseTimestamp(value, unit);
    else if (Number.isInteger(value)) time = BigInt(value as number);
    else if (typeof value === 'bigint') time = value;
    if (time === undefined || BigInt.asIntN(64, time) !== time) throw badData(path, 'is not a time');
    return time;
  };
}

function listReader(items: ListItem, path: string, types: DocumentTypes): Reader {
  const itemPath = `${path}/*`;
  const read = withNull(valueReader(items, itemPath, types), items.required === true, itemPath);
  return (value) => {
    if (!Array.isArray(value)) throw badData(path, 'is not a list');
    return value.map((item) => read(item));
  };
}

/** A document that was read with Maps as one of plain objects, whatever its keys are called. */
export function plainDocument(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plainDocument);
  if (!(value instanceof Map)) return value;
  const object: Record<string, unknown> = {};
  for (const [key, member] of value) {
    const property = { value: plainDocument(member), enumerable: true, configurable: true, writable: true };
    Object.defineProperty(object, String(key), property);
  }
  return object;
}
