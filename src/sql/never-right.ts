import type { DuckDBConnection } from '@duckdb/node-api';
import {
  isCast,
  isIntegerType,
  isTimeType,
  type Literal,
  literalOf,
  partsOf,
  typeOf,
  uncast,
} from './bound.ts';
import type { Findings } from './diagnostic.ts';
import { askEngine, engineError } from './engine/connection.ts';
import { asText, isMembership, neverTrue } from './never-true.ts';
import { children, isNode, type Places, type TreeNode } from './parse-tree.ts';

/** Refuses casts that fail for every row, and comparisons that have the same result for every row. */
export async function refuseNeverRight(
  connection: DuckDBConnection,
  expressions: readonly TreeNode[],
  places: Places,
  findings: Findings,
): Promise<void> {
  const casts: Cast[] = [];
  const visit = (node: TreeNode, other: TreeNode | undefined): void => {
    // TRY (…) makes NULL of what fails.
    if (node.type === 'OPERATOR_TRY') return;
    const problem = weakArrow(node) ?? neverTrue(node);
    if (problem !== undefined) findings.add(problem, places.of(node));
    else {
      if (isCast(node) && isNode(node.child)) casts.push({ node, child: node.child, other });
      for (const part of partsOf(node)) visit(part, comparedWith(node, part));
    }
  };
  for (const expression of expressions) visit(expression, undefined);
  const known = new Map<string, Promise<string | undefined>>();
  for (const cast of casts) {
    const key = JSON.stringify([
      typeOf(cast.child),
      typeOf(cast.node),
      literalOf(cast.child),
      cast.node.try_cast,
    ]);
    // A list of a thousand items is not worth a thousand questions.
    if (!known.has(key) && known.size >= maxCasts) continue;
    const problem = await (known.get(key) ?? neverCast(connection, cast));
    known.set(key, Promise.resolve(problem));
    if (problem !== undefined) findings.add(problem, places.of(cast.child));
  }
}

const maxCasts = 300;

interface Cast {
  node: TreeNode;
  child: TreeNode;
  /** The other side of a comparison with the result, if there is one. */
  other: TreeNode | undefined;
}

function comparedWith(node: TreeNode, part: TreeNode): TreeNode | undefined {
  if (node.expression_class === 'BOUND_COMPARISON')
    return [node.left, node.right].filter(isNode).find((side) => side !== part);
  if (node.expression_class === 'BOUND_BETWEEN')
    return isNode(node.input) && node.input !== part ? node.input : undefined;
  const [first] = children(node.children);
  return isMembership(node) && first !== part ? first : undefined;
}

/** `a->>'x' = 1 AND b->>'y' = 2` is read as `(a->>'x' = 1 AND b) ->> 'y' = 2`. */
function weakArrow(node: TreeNode): string | undefined {
  const [from] = children(node.children);
  if (node.expression_class !== 'BOUND_FUNCTION' || !arrows.has(String(node.name)) || !from) return undefined;
  const before = uncast(from);
  const isPlain = before.expression_class === 'BOUND_REF' || before.expression_class === 'BOUND_CONSTANT';
  return isPlain || (typeOf(before) !== 'BOOLEAN' && before.name !== '||') ? undefined : inBrackets;
}

/** DuckDB binds `->` as json_extract. */
const arrows: ReadonlySet<string> = new Set(['->', '->>', 'json_extract']);

/** For an arrow that has taken more than was meant. */
export const inBrackets =
  "-> and ->> bind weakly: here one takes more than the column before it or the name behind it; put each in brackets, as in (v ->> 'a') = 'b'";

/** Why a cast fails for every row; undefined if it does not. */
async function neverCast(
  connection: DuckDBConnection,
  { node, child, other }: Cast,
): Promise<string | undefined> {
  const [from, to] = [typeOf(child), typeOf(node)];
  if (from === undefined || to === undefined || from === to) return undefined;
  const literal = literalOf(child);
  if (literal?.text === null) return undefined;
  const trying = node.try_cast === true;
  if (literal !== undefined) {
    if (trying || !(await fails(connection, literal.text ?? '', literal.type, to))) return undefined;
    return `${literal.shown} can never become ${to}, so this fails for every row${literalAdvice(to, literal, other)}`;
  }
  const sample = sampleOf(from);
  const failure = sample === undefined ? undefined : await failureOf(connection, `CAST(${sample} AS ${to})`);
  if (!failure?.includes('Unimplemented type for cast')) return undefined;
  return `${from} can never become ${to}, so this ${trying ? 'is NULL' : 'fails'} for every row${castAdvice(from, to, child)}`;
}

async function fails(connection: DuckDBConnection, text: string, from: string, to: string): Promise<boolean> {
  const inner = from === 'VARCHAR' ? '$1::VARCHAR' : `CAST($1::VARCHAR AS ${from})`;
  return (await failureOf(connection, `CAST(${inner} AS ${to})`, text)) !== undefined;
}

/** DuckDB's message when it cannot compute a value; undefined when it can, or fails in another way. */
async function failureOf(
  connection: DuckDBConnection,
  sql: string,
  ...values: string[]
): Promise<string | undefined> {
  try {
    await askEngine(connection, `SELECT (${sql}) IS NULL`, ...values);
    return undefined;
  } catch (error) {
    const { kind, message } = engineError(error);
    return kind === 'Conversion' || kind === 'Out of Range' || kind === 'Invalid Input' ? message : undefined;
  }
}

/** Some value of a type: whether a cast exists shows only when a value is cast. */
function sampleOf(type: string): string | undefined {
  if (type.endsWith('[]')) return `CAST([] AS ${type})`;
  if (isIntegerType(type) || /^(?:DECIMAL|DOUBLE|FLOAT|HUGEINT)/.test(type)) return `CAST(0 AS ${type})`;
  if (type === 'BOOLEAN') return 'true';
  if (isTimeType(type)) return `CAST('2000-01-01' AS ${type})`;
  if (type === 'TIME') return "CAST('00:00:00' AS TIME)";
  if (type === 'INTERVAL') return "CAST('1 day' AS INTERVAL)";
  if (type === 'BLOB') return "CAST('' AS BLOB)";
  return type === 'UUID' ? "CAST('00000000-0000-0000-0000-000000000000' AS UUID)" : undefined;
}

function literalAdvice(to: string, { text }: Literal, other: TreeNode | undefined): string {
  if (to === 'JSON')
    return other ? `; ${asText(other)}` : `; a JSON string has double quotes, as in '"${text}"'`;
  if (to === 'BOOLEAN') return '; write true or false, or compare it with a text';
  if (isTimeType(to)) return "; write a time as '2026-01-31 08:15:00'";
  return isIntegerType(to) ? '; write a number, or cast the other side to TEXT' : '';
}

function castAdvice(from: string, to: string, child: TreeNode): string {
  const name = child.expression_class === 'BOUND_REF' ? String(child.alias) : '…';
  if (isTimeType(to) && (isIntegerType(from) || /^(?:DECIMAL|DOUBLE|FLOAT)/.test(from)))
    return `; write to_timestamp(${name}) for seconds since 1970, epoch_ms(${name}) for milliseconds, make_timestamp(${name}) for microseconds`;
  if (isTimeType(from))
    return `; write epoch_ms(${name}) for milliseconds since 1970, or epoch(${name}) for seconds`;
  if (from.endsWith('[]')) return `; write ${name}[1] for the first item`;
  if (to.endsWith('[]')) return `; write [${name}] for a list of one item`;
  return '';
}
