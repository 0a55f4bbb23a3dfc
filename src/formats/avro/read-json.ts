import type { Row, Value } from '../format.ts';
import { isNestedWithin, parseExactly } from '../json/json-text.ts';
import { exactNumber, maxDepth } from '../json/json-value.ts';
import type { ListItem } from '../schema/schema.ts';
import type { TimestampUnit } from '../schema/sql-type.ts';
import { badData } from '../values/bad.ts';
import { formatDecimal } from '../values/decimal.ts';
import { setterOf } from '../values/own-property.ts';
import { formatTimestamp } from '../values/timestamp.ts';
import { type AvroInput, branchOf } from './bytes.ts';
import { timeUnitOf } from './fields.ts';
import { numberOf, type Read, stringReader, timestampReader, unscaledOf } from './read-leaf.ts';
import type { AvroType } from './schema.ts';

export function jsonTextReader(type: AvroType, field: ListItem, path: string): Read<Value> {
  const read = jsonReader(type, path, new Map());
  return (input) => {
    const value = read(input, 0);
    if (value === null && field.required) throw badData(path, 'is required but null');
    return value === null ? null : JSON.stringify(value);
  };
}

/** The text of a JSON document: any value of any schema. */
export function documentReader(type: AvroType): Read<string> {
  const read = jsonReader(type, '', new Map());
  return (input) => JSON.stringify(read(input, 0));
}

type ReadJson = (input: AvroInput, depth: number) => unknown;

/** Values as in a json message: all digits of integers and decimals, bytes as base64, times as RFC 3339. */
function jsonReader(type: AvroType, path: string, known: Map<AvroType, ReadJson>): ReadJson {
  const before = known.get(type);
  if (before) return before;
  // A record may hold itself, so its reader has to be there before those of its fields.
  let compiled: ReadJson = () => undefined;
  known.set(type, (input, depth) => {
    if (depth > maxDepth) throw badData(path, `is nested more than ${maxDepth} deep`);
    return compiled(input, depth);
  });
  compiled = nestedJsonReader(type, path, known) ?? leafJsonReader(type, path);
  return known.get(type) as ReadJson;
}

function nestedJsonReader(
  type: AvroType,
  path: string,
  known: Map<AvroType, ReadJson>,
): ReadJson | undefined {
  if (type.kind === 'union') {
    const branches = type.types.map((branch) => jsonReader(branch, path, known));
    return (input, depth) => branchOf(branches, input)(input, depth);
  }
  if (type.kind === 'record') {
    const steps = type.fields.map(({ name, type: member }) => ({
      set: setterOf(name),
      read: jsonReader(member, path, known),
    }));
    return (input, depth) => {
      const object: Row = {};
      for (const { set, read } of steps) set(object, read(input, depth + 1) as Value);
      return object;
    };
  }
  if (type.kind !== 'array' && type.kind !== 'map') return undefined;
  const read = jsonReader(type.items, path, known);
  if (type.kind === 'array') {
    return (input, depth) => {
      const list: unknown[] = [];
      input.blocks(() => list.push(read(input, depth + 1)));
      return list;
    };
  }
  return (input, depth) => {
    const object: Row = {};
    input.blocks(() => setterOf(input.string(path))(object, read(input, depth + 1) as Value));
    return object;
  };
}

function leafJsonReader(type: AvroType, path: string): ReadJson {
  const field: ListItem = { type: 'string' };
  const unit = timeUnitOf(type);
  if (unit) return timeJsonReader(type, unit, path);
  const digits = unscaledOf(type, path);
  if (digits) return (input) => exactNumber(formatDecimal(digits.read(input), digits.scale));
  switch (type.kind) {
    case 'null':
      return () => null;
    case 'boolean':
      return (input) => input.boolean();
    case 'float':
    case 'double':
      return numberOf(type, field, path);
    case 'int':
      return (input) => input.int();
    case 'long':
      return (input) => exactNumber(input.long());
    case 'string':
      if (isJsonText(type)) return (input) => jsonTextIn(input, path).value;
      return (input) => input.string(path);
    case 'bytes':
      return (input) => input.view(input.int()).toString('base64');
    case 'fixed':
      if (type.logical?.name !== 'uuid') return (input) => input.view(type.size).toString('base64');
      return stringReader(type, field, path);
    default:
      return stringReader(type, field, path);
  }
}

function timeJsonReader(type: AvroType, unit: TimestampUnit, path: string): ReadJson {
  const read = timestampReader(type, { type: 'timestamp', unit }, path);
  return (input) => {
    const text = formatTimestamp(read(input), unit);
    if (text === undefined) throw badData(path, 'is a time outside the years 0000 to 9999');
    return text;
  };
}

/** Whether the type is the one of ours that holds a JSON text. */
export function isJsonText(type: AvroType): boolean {
  return type.kind === 'string' && type.logical?.name === 'json';
}

export function jsonTextIn(input: AvroInput, path: string): { text: string; value: unknown } {
  const text = input.string(path);
  try {
    const value = parseExactly(text);
    if (isNestedWithin(value, maxDepth)) return { text, value };
  } catch {
    throw badData(path, 'is not a JSON text');
  }
  throw badData(path, `is nested more than ${maxDepth} deep`);
}
