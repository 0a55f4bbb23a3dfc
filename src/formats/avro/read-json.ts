import type { Row, Value } from '../format.ts';
import { exactNumber, maxDepth, tooDeep } from '../json/text.ts';
import { unitOf } from '../schema/sql-type.ts';
import { badData } from '../values/bad.ts';
import { formatDecimal } from '../values/decimal.ts';
import { setterOf } from '../values/own-property.ts';
import { formatTimestamp } from '../values/timestamp.ts';
import { type AvroInput, branchOf } from './bytes.ts';
import { isJsonText, leafOf } from './fields.ts';
import { jsonTextIn, leafReader, type Read, unscaledOf } from './read-leaf.ts';
import type { AvroType } from './schema.ts';

/** Compiles the reader of any value of any schema, as an object that JSON.stringify can write. */
export function jsonReader(type: AvroType, path: string): Read<unknown> {
  const read = treeReader(type, path, jsonLeaf, new Map());
  return (input) => read(input, 0);
}

/** Compiles a reader that skips a value without a column. */
export function skipper(type: AvroType): Read<void> {
  const skip = treeReader(type, '', skipLeaf, new Map());
  return (input) => void skip(input, 0);
}

type ReadTree = (input: AvroInput, depth: number) => unknown;
type LeafOf = (type: AvroType, path: string) => Read<unknown>;

function treeReader(type: AvroType, path: string, leaf: LeafOf, known: Map<AvroType, ReadTree>): ReadTree {
  const before = known.get(type);
  if (before) return before;
  // A record may contain itself, so its reader must exist before those of its fields.
  let compiled: ReadTree = () => undefined;
  const read: ReadTree = (input, depth) => {
    if (depth > maxDepth) throw badData(path, tooDeep);
    return compiled(input, depth);
  };
  known.set(type, read);
  compiled = nestedReader(type, path, leaf, known) ?? leaf(type, path);
  return read;
}

function nestedReader(
  type: AvroType,
  path: string,
  leaf: LeafOf,
  known: Map<AvroType, ReadTree>,
): ReadTree | undefined {
  if (type.kind === 'union') {
    const branches = type.types.map((branch) => treeReader(branch, path, leaf, known));
    return (input, depth) => branchOf(branches, input)(input, depth);
  }
  if (type.kind === 'record') {
    const steps = type.fields.map((member) => ({
      set: setterOf(member.name),
      read: treeReader(member.type, path, leaf, known),
    }));
    return (input, depth) => {
      const object: Row = {};
      for (const { set, read } of steps) set(object, read(input, depth + 1) as Value);
      return object;
    };
  }
  if (type.kind !== 'array' && type.kind !== 'map') return undefined;
  const read = treeReader(type.items, path, leaf, known);
  if (type.kind === 'array') {
    return (input, depth) => {
      const list: unknown[] = [];
      input.blocks(() => list.push(read(input, depth + 1)));
      return list;
    };
  }
  const readKey = leaf({ kind: 'string' }, path);
  return (input, depth) => {
    const object: Row = {};
    input.blocks(() => setterOf(String(readKey(input)))(object, read(input, depth + 1) as Value));
    return object;
  };
}

/** Values as in a json message: all digits of integers and decimals, bytes as base64, times as RFC 3339. */
function jsonLeaf(type: AvroType, path: string): Read<unknown> {
  if (type.kind === 'null') return () => null;
  if (isJsonText(type)) return (input) => jsonTextIn(input, path).value;
  const digits = unscaledOf(type, path);
  if (digits) return (input) => exactNumber(formatDecimal(digits.read(input), digits.scale));
  const field = leafOf(type);
  const read = leafReader(type, field, path);
  if (field.type === 'bytes') return (input) => (read(input) as Buffer).toString('base64');
  if (field.type === 'int64') return (input) => exactNumber(read(input) as bigint);
  if (field.type !== 'timestamp') return read;
  return (input) => {
    const text = formatTimestamp(read(input) as bigint, unitOf(field));
    if (text === undefined) throw badData(path, 'is a time outside the years 0000 to 9999');
    return text;
  };
}

function skipLeaf(type: AvroType): Read<unknown> {
  switch (type.kind) {
    case 'boolean':
      return (input) => input.take(1);
    case 'int':
    case 'long':
    case 'enum':
      return (input) => input.long();
    case 'float':
      return (input) => input.take(4);
    case 'double':
      return (input) => input.take(8);
    case 'fixed':
      return (input) => input.take(type.size);
    case 'bytes':
    case 'string':
      return (input) => input.take(input.int());
    default:
      return () => undefined;
  }
}
