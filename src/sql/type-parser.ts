import type { Field, FieldTypeName, ListItem } from '../formats/schema/schema.ts';
import { suggestion } from './closest.ts';
import type { TokenReader } from './token-reader.ts';

/**
 * Names of types in `CREATE TABLE`: all that `sqlType` writes, and their common synonyms. Arroyo's meaning holds
 * where the name has one: `FLOAT` has 32 bits, `TIMESTAMP` counts nanoseconds and `DECIMAL` is `DECIMAL(38, 10)`.
 * Types smaller than 32 bits, which no field has, are widened.
 */
const plainTypes = new Map<string, FieldTypeName>([
  ...['tinyint', 'smallint', 'int2', 'int', 'integer', 'int4'].map((name) => [name, 'int32'] as const),
  ...['bigint', 'int8'].map((name) => [name, 'int64'] as const),
  ...['utinyint', 'usmallint', 'uinteger'].map((name) => [name, 'uint32'] as const),
  ['ubigint', 'uint64'],
  ...['float', 'real', 'float4'].map((name) => [name, 'float32'] as const),
  ...['double', 'float8'].map((name) => [name, 'float64'] as const),
  ...['boolean', 'bool'].map((name) => [name, 'bool'] as const),
  ...['text', 'varchar', 'string', 'char'].map((name) => [name, 'string'] as const),
  ...['bytea', 'binary', 'varbinary', 'blob', 'bytes'].map((name) => [name, 'bytes'] as const),
  ['json', 'json'],
]);
const unsignedTypes = new Map<FieldTypeName, FieldTypeName>([
  ['int32', 'uint32'],
  ['int64', 'uint64'],
]);
const sized = new Set([
  'text',
  'varchar',
  'string',
  'char',
  'binary',
  'varbinary',
  'int',
  'integer',
  'bigint',
]);
const parsedTypes = ['timestamp', 'datetime', 'decimal', 'numeric', 'struct', 'array'];

const timestampUnits = new Map<number, ListItem['unit']>([
  [0, 'second'],
  [3, 'millisecond'],
  [6, 'microsecond'],
  [9, 'nanosecond'],
]);

const maxDepth = 32;

/** Reads a type, e.g. `BIGINT`, `DECIMAL(10, 2)`, `STRUCT<a INT, b TEXT[]>` or `JSON[]`. */
export function readType(tokens: TokenReader, depth = 1): ListItem {
  if (depth > maxDepth) tokens.refuse(`Types may be nested ${maxDepth} deep at most`);
  let type = readElement(tokens, depth);
  while (tokens.takes('[')) {
    tokens.expect(']', 'after [');
    type = { type: 'list', items: { name: 'item', ...type } };
  }
  return type;
}

function readElement(tokens: TokenReader, depth: number): ListItem {
  const name = tokens.identifier('The type');
  const word = name.text.toLowerCase();
  if (word === 'timestamp' || word === 'datetime') return readTimestamp(tokens);
  if (word === 'decimal' || word === 'numeric') return readDecimal(tokens);
  if (word === 'struct') return readStruct(tokens, depth);
  if (word === 'array') return readArray(tokens, depth);
  const type = plainTypes.get(word);
  if (!type || name.exact) {
    const known = suggestion(word, [...plainTypes.keys(), ...parsedTypes]);
    return tokens.refuse(`There is no type ${name.text}${known}`, name);
  }
  if (word === 'double') tokens.takes('precision');
  if (sized.has(word)) skipSize(tokens);
  return { type: (tokens.takes('unsigned') && unsignedTypes.get(type)) || type };
}

/** A length, as in `VARCHAR(20)`, is allowed and not enforced, as in Arroyo. */
function skipSize(tokens: TokenReader): void {
  if (!tokens.takes('(')) return;
  tokens.count('The length');
  tokens.expect(')', 'after the length');
}

function readTimestamp(tokens: TokenReader): ListItem {
  if (tokens.takes('(')) {
    const range = tokens.here;
    const digits = tokens.count('The precision of a timestamp');
    tokens.expect(')', 'after the precision');
    const unit = timestampUnits.get(digits);
    if (!unit) tokens.refuse('The precision of a timestamp is 0, 3, 6 or 9', range);
    return { type: 'timestamp', unit };
  }
  if (tokens.sees('with', 'time')) {
    tokens.refuse('Timestamps are in UTC and have no zone of their own; write TIMESTAMP');
  }
  if (tokens.takes('without')) {
    tokens.expect('time', 'after WITHOUT');
    tokens.expect('zone', 'after WITHOUT TIME');
  }
  return { type: 'timestamp', unit: 'nanosecond' };
}

function readDecimal(tokens: TokenReader): ListItem {
  if (!tokens.takes('(')) return { type: 'decimal128', precision: 38, scale: 10 };
  const range = tokens.here;
  const precision = tokens.count('The precision of a decimal');
  const scale = tokens.takes(',') ? tokens.count('The scale of a decimal') : 0;
  tokens.expect(')', 'after the precision and the scale');
  if (precision < 1 || precision > 38 || scale > precision) {
    tokens.refuse('A decimal has 1 to 38 digits, and not more of them behind the point', range);
  }
  return { type: 'decimal128', precision, scale };
}

/** `STRUCT<a INT, …>`, or with round brackets. */
function readStruct(tokens: TokenReader, depth: number): ListItem {
  const close = tokens.takes('(') ? ')' : '>';
  if (close === '>') tokens.expect('<', 'after STRUCT');
  const fields: Field[] = [];
  do {
    const name = tokens.identifier('The name of a member');
    const type = readType(tokens, depth + 1);
    if (fields.some((field) => field.name.toLowerCase() === name.text.toLowerCase())) {
      tokens.refuse(`The struct has two members called ${name.text}`, name);
    }
    fields.push({ ...type, name: name.text, required: readNotNull(tokens) });
  } while (tokens.takes(','));
  tokens.expect(close, 'after the last member');
  return { type: 'struct', fields };
}

function readArray(tokens: TokenReader, depth: number): ListItem {
  tokens.expect('<', 'after ARRAY');
  const items = readType(tokens, depth + 1);
  tokens.expect('>', 'after the type of the items');
  return { type: 'list', items: { name: 'item', ...items } };
}

/** Reads `NOT NULL` or `NULL`; answers whether a value is required. */
export function readNotNull(tokens: TokenReader): boolean {
  if (tokens.takes('not', 'null')) return true;
  tokens.takes('null');
  return false;
}
