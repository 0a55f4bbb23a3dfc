import { maxDepth } from '../json/json-value.ts';
import { badData } from '../values/bad.ts';
import { type AvroInput, branchOf } from './bytes.ts';
import type { AvroType } from './schema.ts';

/** Moves past one value. */
type Skip = (input: AvroInput, depth: number) => void;

/** Compiles what moves past a value that nobody wants. */
export function skipper(type: AvroType, known: Map<AvroType, Skip> = new Map()): Skip {
  const before = known.get(type);
  if (before) return before;
  let compiled: Skip = () => {};
  known.set(type, (input, depth) => {
    if (depth > maxDepth) throw badData('', `is nested more than ${maxDepth} deep`);
    compiled(input, depth + 1);
  });
  compiled = nestedSkipper(type, known) ?? leafSkipper(type);
  return known.get(type) as Skip;
}

function nestedSkipper(type: AvroType, known: Map<AvroType, Skip>): Skip | undefined {
  if (type.kind === 'union') {
    const branches = type.types.map((branch) => skipper(branch, known));
    return (input, depth) => branchOf(branches, input)(input, depth);
  }
  if (type.kind === 'record') {
    const members = type.fields.map((member) => skipper(member.type, known));
    return (input, depth) => {
      for (const skip of members) skip(input, depth);
    };
  }
  if (type.kind !== 'array' && type.kind !== 'map') return undefined;
  const skip = skipper(type.items, known);
  const keyed = type.kind === 'map';
  return (input, depth) =>
    input.blocks(() => {
      if (keyed) input.take(input.int());
      skip(input, depth);
    });
}

function leafSkipper(type: AvroType): Skip {
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
      return () => {};
  }
}
