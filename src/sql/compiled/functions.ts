import type { Row, Value } from '../../formats/format.ts';
import { getterOf, setterOf } from '../../formats/values/own-property.ts';
import { numberFunctions } from './arithmetic.ts';
import { orderOf } from './comparison.ts';
import { type EngineType, fromRow, isSameEngineType, toRow } from './engine-type.ts';
import { type Build, type Compiled, constantValue, type Evaluate, refuse, strict } from './evaluate.ts';
import { jsonFunctions } from './json.ts';
import { textContains, textFunctions, textLength } from './strings.ts';
import { timeFunctions } from './times.ts';

/** Types that rows can hold inside a list or a struct. */
const holdable = new Set([
  ...['TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT'],
  ...['FLOAT', 'DOUBLE', 'DECIMAL', 'BOOLEAN', 'VARCHAR', 'BLOB'],
  ...['TIMESTAMP', 'TIMESTAMP_S', 'TIMESTAMP_MS', 'TIMESTAMP_NS', 'LIST', 'STRUCT'],
]);

function inside(type: EngineType | undefined): EngineType {
  return type && holdable.has(type.id) ? type : refuse(`${type?.id ?? 'nothing'} inside a list or struct`);
}

function structMember(struct: Compiled | undefined, index: number): Evaluate {
  const member = struct?.type.members?.[index];
  if (!struct || !member) return refuse('this member of a struct');
  const get = getterOf(member.name);
  const convert = fromRow(inside(member.type));
  return strict([struct], (row: Row) => {
    const value = (get(row) ?? null) as Value;
    return convert ? convert(value) : value;
  });
}

const structExtract: Build = ([struct, key]) => {
  const name = String(constantValue(key, 'a computed member')).toLowerCase();
  const index = struct?.type.members?.findIndex((member) => member.name.toLowerCase() === name) ?? -1;
  return structMember(struct, index);
};

const structAt: Build = ([struct, position]) =>
  structMember(struct, Number(constantValue(position, 'a computed member')) - 1);

const structPack: Build = (args, { members = [] }) => {
  if (members.length !== args.length) return refuse('this struct');
  const steps = members.map(({ name, type }, index) => ({
    set: setterOf(name),
    evaluate: args[index]?.evaluate ?? refuse('this struct'),
    convert: toRow(inside(type)),
  }));
  return (row) => {
    const struct: Row = {};
    for (const { set, evaluate, convert } of steps) {
      const value = evaluate(row);
      set(struct, convert ? convert(value) : value);
    }
    return struct;
  };
};

const listValue: Build = (args, { item }) => {
  const convert = toRow(inside(item));
  if (!item || args.some(({ type }) => !isSameEngineType(type, item))) return refuse('this list');
  const items = args.map(({ evaluate }) => evaluate);
  return (row) => items.map((evaluate) => (convert ? convert(evaluate(row)) : evaluate(row)));
};

/** Counts from 1, and from the end if negative; NULL outside the list. */
const listExtract: Build = (args) => {
  const [list, index] = args;
  const item = inside(list?.type.item);
  if (index?.type.id !== 'BIGINT') return refuse('this position in a list');
  const convert = fromRow(item);
  return strict(args, (values: Value[], position: bigint) => {
    const at = Number(position);
    const value = (at === 0 ? undefined : values.at(at > 0 ? at - 1 : at)) ?? null;
    return convert ? convert(value) : value;
  });
};

const length: Build = (args, type) =>
  args[0]?.type.id === 'LIST'
    ? strict(args, (values: Value[]) => BigInt(values.length))
    : textLength(args, type);

const contains: Build = (args, type) => {
  const [list, needle] = args;
  if (list?.type.id !== 'LIST') return textContains(args, type);
  const item = inside(list.type.item);
  if (!needle || !isSameEngineType(needle.type, item)) return refuse('this search of a list');
  const order = orderOf(item);
  const convert = fromRow(item) ?? ((value: Value) => value);
  return strict(args, (values: Value[], wanted: Value) =>
    values.some((value) => value !== null && order(convert(value) as never, wanted as never) === 0),
  );
};

const nestedFunctions: Readonly<Record<string, Build>> = {
  struct_extract: structExtract,
  struct_extract_at: structAt,
  struct_pack: structPack,
  list_value: listValue,
  list_extract: listExtract,
  list_element: listExtract,
  array_extract: (args, type) =>
    args[0]?.type.id === 'STRUCT' ? structExtract(args, type) : listExtract(args, type),
  len: length,
  length,
  array_length: length,
  contains,
  list_contains: contains,
  list_has: contains,
  array_contains: contains,
  array_has: contains,
};

/** Every compiled function, by its name in DuckDB's plans. */
export const functions: ReadonlyMap<string, Build> = new Map([
  ...Object.entries(numberFunctions),
  ...Object.entries(textFunctions),
  ...Object.entries(jsonFunctions),
  ...Object.entries(nestedFunctions),
  ...Object.entries(timeFunctions),
]);
