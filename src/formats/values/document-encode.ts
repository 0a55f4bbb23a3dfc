import type { Value } from '../format.ts';
import { isNestedWithin } from '../json/json-text.ts';
import { maxDepth } from '../json/json-value.ts';
import type { Field, ListItem } from '../schema/schema.ts';
import { type TimestampUnit, unitOf } from '../schema/sql-type.ts';
import { badRow, pathOf } from './bad.ts';
import { getterOf } from './own-property.ts';
import { rowFromObject } from './row-literal.ts';
import {
  bigintOf,
  boolOf,
  bytesOf,
  decimalOf,
  floatOf,
  integerOf,
  jsonOf,
  numberOfJson,
  orNull,
  stringOf,
  structOf,
  timestampOf,
} from './write-value.ts';

/** How a format of self-describing documents (CBOR, MessagePack) writes the types that JavaScript does not have. */
export interface DocumentWriters {
  /** Answers undefined when the format cannot write the time. */
  timestamp(value: bigint, unit: TimestampUnit): unknown;
  decimal(text: string): unknown;
}

type Writer = (value: Value) => unknown;

/** Compiles what turns a row into a document for the library to write. A null is written; metadata columns are not. */
export function documentWriter(
  fields: readonly Field[],
  path: string,
  writers: DocumentWriters,
): (value: Value) => object {
  const written = fields.filter((field) => typeof field.metadata_key !== 'string');
  const steps = written.map((field) => ({
    name: field.name,
    write: fieldWriter(field, path, writers),
  }));
  const struct = structOf(path);
  // The libraries look at `constructor` and `toJSON` of a plain object, and leave out some keys.
  if (written.some(({ name }) => name in Object.prototype || name === 'toJSON')) {
    return (value) => {
      const row = struct(value);
      return new Map(steps.map(({ name, write }) => [name, write(getterOf(name)(row) as Value)]));
    };
  }
  const make = rowFromObject(
    steps.map(({ name, write }) => ({ name, read: write as (value: unknown) => Value })),
  );
  return (value) => make(struct(value));
}

function fieldWriter(field: Field, parent: string, writers: DocumentWriters): Writer {
  const path = pathOf(parent, field.name);
  return orNull(valueWriter(field, path, writers), field.required === true, path);
}

function valueWriter(type: ListItem, path: string, writers: DocumentWriters): Writer {
  switch (type.type) {
    case 'int32':
    case 'uint32':
      return integerOf(type.type, path);
    case 'int64':
    case 'uint64':
      return smallest(bigintOf(type.type, path));
    case 'float32':
    case 'float64':
      return floatOf(path);
    case 'decimal128':
      return decimalWriter(path, writers);
    case 'bool':
      return boolOf(path);
    case 'string':
      return stringOf(path);
    case 'bytes':
      return bytesOf(path);
    case 'timestamp':
      return timestampWriter(type, path, writers);
    case 'json':
      return jsonWriter(path);
    case 'struct':
      return documentWriter(type.fields ?? [], path, writers);
    case 'list':
      return listWriter(type.items ?? { type: 'string' }, path, writers);
  }
}

/** The libraries write every bigint in nine bytes, and a number as an integer only where it has 32 bits. */
function smallest(read: (value: Value) => bigint): Writer {
  return (value) => compact(read(value));
}

function compact(value: bigint): number | bigint {
  return value >= -0x8000_0000n && value <= 0xffff_ffffn ? Number(value) : value;
}

function decimalWriter(path: string, writers: DocumentWriters): Writer {
  const text = decimalOf(path);
  return (value) => writers.decimal(text(value));
}

function timestampWriter(type: ListItem, path: string, writers: DocumentWriters): Writer {
  const unit = unitOf(type);
  const time = timestampOf(path);
  return (value) => {
    const written = writers.timestamp(time(value), unit);
    if (written === undefined) throw badRow(path, 'is a time outside the years 0000 to 9999');
    return written;
  };
}

/** Writes any JSON text as a document. */
export function jsonWriter(path: string): Writer {
  const read = jsonOf(path);
  return (value) => {
    const parsed = read(value);
    if (!isNestedWithin(parsed, maxDepth)) throw badRow(path, `is nested more than ${maxDepth} deep`);
    return documentOf(parsed);
  };
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

function listWriter(items: ListItem, path: string, writers: DocumentWriters): Writer {
  const itemPath = `${path}/*`;
  const write = orNull(valueWriter(items, itemPath, writers), items.required === true, itemPath);
  return (value) => {
    if (!Array.isArray(value)) throw badRow(path, 'is not a list');
    return value.map((item) => write(item));
  };
}
