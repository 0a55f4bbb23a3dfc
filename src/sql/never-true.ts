import { isJson } from '../formats/json/text.ts';
import { isCast, isIntegerType, literalOf, typeOf, uncast } from './bound.ts';
import { children, isNode, type TreeNode } from './parse-tree.ts';

export const isMembership = ({ type }: TreeNode): boolean =>
  type === 'COMPARE_IN' || type === 'COMPARE_NOT_IN';

/** How to compare a JSON expression with a text. */
export function asText(json: TreeNode): string {
  const inner = uncast(json);
  if (inner.expression_class === 'BOUND_REF')
    return `write (${String(inner.alias)} ->> '$') for the text of a JSON string`;
  if (inner.name === '->' || inner.name === 'json_extract')
    return 'write ->> instead of ->, in brackets, for the text of a JSON string';
  return "write (… ->> '$') for the text of a JSON string";
}

/** Why a comparison has the same result for every row; undefined if it may differ. */
export function neverTrue(node: TreeNode): string | undefined {
  if (node.expression_class === 'BOUND_FUNCTION') return neverMatches(node);
  if (node.expression_class === 'BOUND_BETWEEN') return neverBetween(node);
  if (isMembership(node)) return neverMember(node);
  if (node.expression_class !== 'BOUND_COMPARISON' || !isNode(node.left) || !isNode(node.right))
    return undefined;
  return (
    neverEqual(String(node.type), node.left, node.right) ??
    neverEqual(mirrored[String(node.type)] ?? String(node.type), node.right, node.left)
  );
}

/** One item that may match is enough: lists often hold several spellings. */
function neverMember(node: TreeNode): string | undefined {
  const [needle, ...items] = children(node.children);
  if (!needle) return undefined;
  const negated = node.type === 'COMPARE_NOT_IN';
  const hasNull = items.some((item) => literalOf(item)?.text === null);
  if (hasNull && negated) return nullNote;
  const kind = negated ? 'COMPARE_NOTEQUAL' : 'COMPARE_EQUAL';
  const problems = items.map((item) => neverEqual(kind, needle, item));
  return problems.every((problem) => problem !== undefined) ? problems[0] : undefined;
}

const nullNote = 'A comparison with NULL is never true; write IS NULL or IS NOT NULL';

const mirrored: Readonly<Record<string, string>> = {
  COMPARE_LESSTHAN: 'COMPARE_GREATERTHAN',
  COMPARE_GREATERTHAN: 'COMPARE_LESSTHAN',
  COMPARE_LESSTHANOREQUALTO: 'COMPARE_GREATERTHANOREQUALTO',
  COMPARE_GREATERTHANOREQUALTO: 'COMPARE_LESSTHANOREQUALTO',
};

function neverBetween({ input, lower, upper }: TreeNode): string | undefined {
  if (!isNode(input) || !isNode(lower) || !isNode(upper)) return undefined;
  return (
    neverEqual('COMPARE_GREATERTHANOREQUALTO', input, lower) ??
    neverEqual('COMPARE_LESSTHANOREQUALTO', input, upper)
  );
}

const isEquality = (kind: string): boolean => /EQUAL$|DISTINCT/.test(kind) && !/THAN/.test(kind);

/** `side` may be any expression; only a literal on the other side can be judged. */
function neverEqual(kind: string, side: TreeNode, against: TreeNode): string | undefined {
  const literal = literalOf(against);
  if (literal === undefined || literalOf(side) !== undefined) return undefined;
  if (literal.text === null) {
    if (kind.includes('DISTINCT')) return undefined;
    return nullNote;
  }
  const { text, shown } = literal;
  // Tests for an empty text are harmless.
  if (text === '') return undefined;
  const compared = `This comparison with ${shown} has the same result for every row`;
  if (isEquality(kind)) {
    const json = jsonText(side);
    if (json && literal.type === 'VARCHAR' && !mayBeJson(text, json.changed))
      return `${compared}, because a JSON string keeps its quotes as TEXT; ${asText(json.json)}`;
    const folded = caseOf(side);
    if (folded && isAscii(text) && literal.type === 'VARCHAR' && folded.fold(text) !== text)
      return `${compared}, because the result of ${folded.name} has no such letters; write '${folded.fold(text)}'`;
  }
  const isNumber = literal.type === 'BOOLEAN' || isIntegerType(literal.type) || /^DECIMAL/.test(literal.type);
  const problem = isNumber && typeOf(side) !== 'VARCHAR' ? outside(kind, uncast(side), text) : undefined;
  return problem === undefined ? undefined : `${compared}: ${problem}`;
}

/** The JSON that an expression has the text of; `changed` if a function such as upper stands between. */
function jsonText(side: TreeNode): { json: TreeNode; changed: boolean } | undefined {
  if (isCast(side) && isNode(side.child)) {
    if (typeOf(side) === 'VARCHAR' && typeOf(side.child) === 'JSON')
      return { json: side.child, changed: false };
    return jsonText(side.child);
  }
  const [first] = children(side.children);
  if (!first || !/^(?:upper|lower|ucase|lcase|trim|ltrim|rtrim)$/.test(String(side.name))) return undefined;
  const found = jsonText(first);
  return found && { ...found, changed: true };
}

/** Whether a text can be that of a JSON value; with `changed` only its first character counts. */
const mayBeJson = (text: string, changed: boolean): boolean =>
  changed ? /^(?:["{[\d-]|true$|false$|null$)/i.test(text) : isJson(text);

function caseOf(side: TreeNode): { name: string; fold(text: string): string } | undefined {
  const { name } = uncast(side);
  if (name === 'upper' || name === 'ucase') return { name: 'upper', fold: (text) => text.toUpperCase() };
  if (name === 'lower' || name === 'lcase') return { name: 'lower', fold: (text) => text.toLowerCase() };
  return undefined;
}

/** DuckDB changes the case of some other characters differently. */
const isAscii = (text: string): boolean => Buffer.byteLength(text) === text.length;

/** DuckDB's names of the functions that look for a text, and whether they look at the beginning. */
const searches: Readonly<Record<string, boolean>> = {
  '~~': true,
  '!~~': true,
  starts_with: true,
  prefix: true,
  '^@': true,
  contains: false,
  suffix: false,
  ends_with: false,
};

/** LIKE, starts_with and the like on the text of a JSON value, or on the result of upper or lower. */
function neverMatches(node: TreeNode): string | undefined {
  const [subject, pattern] = children(node.children);
  // ILIKE, which takes any case, ends in *.
  const atStart = searches[String(node.name).replace(/\*$/, '')];
  if (!subject || !pattern || atStart === undefined) return undefined;
  const [json, literal, folded] = [jsonText(subject), literalOf(pattern), caseOf(subject)];
  if (typeof literal?.text !== 'string' || literal.text === '') return undefined;
  const { text, shown } = literal;
  if (folded && isAscii(text) && folded.fold(text) !== text && !String(node.name).endsWith('*'))
    return `${shown} matches no row, because the result of ${folded.name} has no such letters; write '${folded.fold(text)}'`;
  if (!json || !atStart || /^(?:["{[\d-]|[tfn]|[%_])/i.test(text)) return undefined;
  return `${shown} matches no row, because a JSON string keeps its quotes as TEXT; ${asText(json.json)}`;
}

const bits: Readonly<Record<string, number>> = {
  TINYINT: 8,
  SMALLINT: 16,
  INTEGER: 32,
  BIGINT: 64,
  HUGEINT: 128,
};

/** Why no value of a numeric expression compares in this way with a number; undefined if one may. */
function outside(kind: string, side: TreeNode, text: string): string | undefined {
  const type = typeOf(side);
  const range = type === undefined ? undefined : rangeOf(type);
  const number = decimalOf(text);
  if (type === undefined || range === undefined || number === undefined) return undefined;
  const { least, most, scale } = range;
  // Compares digits without the point, with the more digits of both.
  const digits = Math.max(scale, number.scale);
  const value = number.digits * 10n ** BigInt(digits - number.scale);
  const unit = 10n ** BigInt(digits - scale);
  const equality = isEquality(kind);
  if (equality && value % unit !== 0n)
    return `${type} has ${scale === 0 ? 'no digits' : `only ${scale} digits`} after the point; cast or round one side`;
  const [low, high] = [least * unit, most * unit];
  const below = value < low || (value === low && kind === 'COMPARE_LESSTHAN');
  const above = value > high || (value === high && kind === 'COMPARE_GREATERTHAN');
  if (
    (below && (equality || kind.startsWith('COMPARE_LESS'))) ||
    (above && (equality || kind.startsWith('COMPARE_GREATER')))
  )
    return `it is out of the range of ${type}`;
  return undefined;
}

/** The least and greatest value of a type, as digits without the point. */
function rangeOf(type: string): { least: bigint; most: bigint; scale: number } | undefined {
  if (type === 'BOOLEAN') return { least: 0n, most: 1n, scale: 0 };
  const decimal = /^DECIMAL\((\d+), (\d+)\)$/.exec(type);
  if (decimal) {
    const most = 10n ** BigInt(Number(decimal[1])) - 1n;
    return { least: -most, most, scale: Number(decimal[2]) };
  }
  const size = bits[type.replace(/^U/, '')];
  if (size === undefined) return undefined;
  const half = 1n << BigInt(size - 1);
  return type.startsWith('U')
    ? { least: 0n, most: half * 2n - 1n, scale: 0 }
    : { least: -half, most: half - 1n, scale: 0 };
}

function decimalOf(text: string): { digits: bigint; scale: number } | undefined {
  const [, whole, fraction = ''] = /^(-?\d{1,60})(?:\.(\d{1,60}))?$/.exec(text) ?? [];
  return whole === undefined ? undefined : { digits: BigInt(whole + fraction), scale: fraction.length };
}
