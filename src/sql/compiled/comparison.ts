import type { Value } from '../../formats/format.ts';
import { type EngineType, isFloating, isInteger, isSameEngineType, isTimestamp } from './engine-type.ts';
import { type Compiled, constantValue, type Evaluate, refuse, strict } from './evaluate.ts';

/** Negative, zero or positive, in DuckDB's order. Neither value is null. */
type Compare = (one: never, other: never) => number;

const naturally = (one: bigint, other: bigint): number => (one < other ? -1 : one > other ? 1 : 0);

/** NaN equals itself and is greater than any other value; the zeros are equal. */
function floats(one: number, other: number): number {
  if (one < other) return -1;
  if (one > other) return 1;
  if (one === other) return 0;
  return Number(Number.isNaN(one)) - Number(Number.isNaN(other));
}

/** By code point, which is the order of the bytes in UTF-8. */
function texts(one: string, other: string): number {
  if (one === other) return 0;
  const length = Math.min(one.length, other.length);
  for (let index = 0; index < length; index += 1) {
    const [a, b] = [one.charCodeAt(index), other.charCodeAt(index)];
    if (a !== b) return rank(a) - rank(b);
  }
  return one.length - other.length;
}

/** Surrogates represent code points above all others. */
const rank = (unit: number): number => (unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800);

export function orderOf(type: EngineType): Compare {
  if (isFloating(type)) return floats;
  if (type.id === 'VARCHAR') return texts;
  if (type.id === 'BLOB') return (one: Buffer, other: Buffer) => Buffer.compare(one, other);
  if (isInteger(type) || isTimestamp(type) || ['DECIMAL', 'DATE', 'BOOLEAN', 'INTERVAL'].includes(type.id))
    return naturally;
  return refuse(`comparing values of type ${type.id}`);
}

/** Faster than the order, for texts. */
function equalityOf(type: EngineType): (one: never, other: never) => boolean {
  const order = orderOf(type);
  const plain = type.id === 'VARCHAR' || isInteger(type) || type.id === 'BOOLEAN';
  return plain ? (one, other) => one === other : (one, other) => order(one, other) === 0;
}

/** Compiles a comparison, e.g. `=`, `<` or IS DISTINCT FROM, by its name in DuckDB's plans. */
export function comparison(kind: string, left: Compiled, right: Compiled): Evaluate {
  if (!isSameEngineType(left.type, right.type))
    return refuse(`comparing ${left.type.id} with ${right.type.id}`);
  const equal = equalityOf(left.type);
  const both = [left, right];
  if (kind === 'COMPARE_EQUAL') return strict(both, equal);
  if (kind === 'COMPARE_NOTEQUAL') return strict(both, (a, b) => !equal(a, b));
  if (kind === 'COMPARE_DISTINCT_FROM' || kind === 'COMPARE_NOT_DISTINCT_FROM') {
    const wanted = kind === 'COMPARE_DISTINCT_FROM';
    return (row) => {
      const [one, other] = [left.evaluate(row), right.evaluate(row)];
      const differ = one === null || other === null ? one !== other : !equal(one as never, other as never);
      return differ === wanted;
    };
  }
  const order = orderOf(left.type);
  const accepts = orderings[kind] ?? refuse(`the comparison ${kind}`);
  return strict(both, (a, b) => accepts(order(a, b)));
}

const orderings: Readonly<Record<string, (order: number) => boolean>> = {
  COMPARE_LESSTHAN: (order) => order < 0,
  COMPARE_GREATERTHAN: (order) => order > 0,
  COMPARE_LESSTHANOREQUALTO: (order) => order <= 0,
  COMPARE_GREATERTHANOREQUALTO: (order) => order >= 0,
};

/** `x IN (…)`: NULL if nothing equals x but something is NULL. */
export function membership([needle, ...rest]: readonly Compiled[], negated: boolean): Evaluate {
  if (!needle || rest.some(({ type }) => !isSameEngineType(type, needle.type)))
    return refuse('IN over several types');
  const equal = equalityOf(needle.type);
  // A Set compares all other types as DuckDB does: NaN equals itself, and the zeros are equal.
  if (rest.every(({ isConstant }) => isConstant) && needle.type.id !== 'BLOB') {
    const values = new Set<Value>(rest.map((item) => constantValue(item, 'IN')));
    const absent = values.delete(null) ? null : negated;
    return strict([needle], (value) => (values.has(value) ? !negated : absent));
  }
  return (row) => {
    const wanted = needle.evaluate(row);
    const values = rest.map(({ evaluate }) => evaluate(row));
    if (wanted === null) return null;
    if (values.some((value) => value !== null && equal(wanted as never, value as never))) return !negated;
    return values.includes(null) ? null : negated;
  };
}
