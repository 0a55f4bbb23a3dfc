import type { DuckDBConnection } from '@duckdb/node-api';
import { formatDecimal } from '../formats/values/decimal.ts';
import { askEngine } from './engine/connection.ts';
import { quoteName } from './names.ts';
import { children, isNode, numberOf, readTree, type TreeNode } from './parse-tree.ts';

/** Reads what DuckDB's binder makes of a SELECT: every expression with its type, implicit casts included. */

/**
 * The bound expressions of a SELECT, with positions in its text. Those of a view are left out: their positions are in
 * the text of the view. Empty if DuckDB cannot describe the plan.
 */
export async function boundExpressions(
  connection: DuckDBConnection,
  text: string,
  readsView: boolean,
): Promise<TreeNode[]> {
  const question = `SELECT json_serialize_plan($1::VARCHAR, skip_null := true, skip_empty := false, optimize := false)`;
  const { plans } = readTree(await askEngine(connection, question, text));
  const found: TreeNode[] = [];
  let projections = 0;
  const collect = (node: TreeNode): void => {
    if (node.type === 'LOGICAL_PROJECTION') projections += 1;
    if (readsView && projections > 1) return;
    found.push(...children(node.expressions));
    for (const child of children(node.children)) collect(child);
  };
  for (const plan of children(plans)) collect(plan);
  return found;
}

/** The parts of a bound expression, those of lambdas too. */
export function partsOf(node: TreeNode): TreeNode[] {
  const data = isNode(node.function_data) ? node.function_data.lambda_expr : undefined;
  const checks = children(node.case_checks).flatMap(({ when_expr, then_expr }) => [when_expr, then_expr]);
  const single = [
    node.child,
    node.left,
    node.right,
    node.input,
    node.lower,
    node.upper,
    node.else_expr,
    data,
  ];
  return [...single, ...checks].filter(isNode).concat(children(node.children));
}

/** The type of a bound expression as SQL writes it; undefined for one that is not needed here. */
export function typeOf(node: TreeNode): string | undefined {
  const held = isNode(node.value) ? node.value.type : undefined;
  if (boolean.has(String(node.expression_class))) return 'BOOLEAN';
  if (node.expression_class === 'BOUND_OPERATOR' && node.return_type === undefined) return 'BOOLEAN';
  return typeName(node.return_type ?? held);
}

const boolean: ReadonlySet<string> = new Set(['BOUND_COMPARISON', 'BOUND_CONJUNCTION', 'BOUND_BETWEEN']);

function typeName(node: unknown): string | undefined {
  if (!isNode(node)) return undefined;
  const info = isNode(node.type_info) ? node.type_info : {};
  if (info.alias === 'JSON') return 'JSON';
  switch (node.id) {
    case 'DECIMAL':
      return `DECIMAL(${String(info.width)}, ${String(info.scale ?? 0)})`;
    case 'LIST': {
      const item = typeName(info.child_type);
      return item && `${item}[]`;
    }
    case 'STRUCT': {
      const members = children(info.child_types).map(({ first, second }) => [first, typeName(second)]);
      if (members.length === 0 || members.some(([, type]) => type === undefined)) return undefined;
      return `STRUCT(${members.map(([name, type]) => `${quoteName(String(name))} ${type}`).join(', ')})`;
    }
    default:
      return plain.test(String(node.id)) ? String(node.id) : undefined;
  }
}

const plain =
  /^(?:U?(?:TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|BOOLEAN|FLOAT|DOUBLE|VARCHAR|BLOB|UUID|DATE|TIME|INTERVAL|BIT|TIMESTAMP(?:_S|_MS|_NS| WITH TIME ZONE)?)$/;

export const isCast = (node: TreeNode): boolean => node.expression_class === 'BOUND_CAST';

/** The expression without the casts around it. */
export function uncast(node: TreeNode): TreeNode {
  return isCast(node) && isNode(node.child) ? uncast(node.child) : node;
}

/** A literal: its type, and its text, which is null for NULL. */
export interface Literal {
  type: string;
  text: string | null;
  /** As it would be written in SQL. */
  shown: string;
}

/** The literal that an expression is, possibly negated or cast; undefined for any other. */
export function literalOf(node: TreeNode): Literal | undefined {
  const inner = uncast(node);
  if (inner.expression_class === 'BOUND_FUNCTION' && inner.name === '-') {
    const args = children(inner.children);
    const negated = args.length === 1 && args[0] ? literalOf(args[0]) : undefined;
    if (!negated || negated.text === null || negated.type === 'VARCHAR') return undefined;
    return { ...negated, text: `-${negated.text}`, shown: `-${negated.shown}` };
  }
  if (inner.expression_class !== 'BOUND_CONSTANT' || !isNode(inner.value)) return undefined;
  const { is_null, value } = inner.value;
  const type = typeOf(inner);
  if (is_null === true) return { type: type ?? 'NULL', text: null, shown: 'NULL' };
  const text = type === undefined ? undefined : literalText(type, value);
  if (type === undefined || text === undefined) return undefined;
  return { type, text, shown: type === 'VARCHAR' ? `'${text.replaceAll("'", "''")}'` : text };
}

function literalText(type: string, value: unknown): string | undefined {
  if (type === 'VARCHAR' || type === 'JSON') return typeof value === 'string' ? value : undefined;
  if (type === 'BOOLEAN') return typeof value === 'boolean' ? String(value) : undefined;
  const decimal = /^DECIMAL\(\d+, (\d+)\)$/.exec(type);
  if (decimal) return formatDecimal(wholeNumber(value), Number(decimal[1]));
  if (isIntegerType(type)) return String(wholeNumber(value));
  return type === 'DOUBLE' || type === 'FLOAT' ? numberOf(value) : undefined;
}

export const isIntegerType = (type: string): boolean =>
  /^U?(?:TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)$/.test(type);

export const isTimeType = (type: string): boolean => type === 'DATE' || type.startsWith('TIMESTAMP');

/** Integers of 128 bits are written in two halves. */
function wholeNumber(value: unknown): bigint {
  if (!isNode(value) || !('upper' in value)) return BigInt(numberOf(value));
  return (BigInt(numberOf(value.upper)) << 64n) + BigInt(numberOf(value.lower));
}
