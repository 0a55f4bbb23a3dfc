import { isCast, isTimeType, literalOf, partsOf, typeOf } from './bound.ts';
import type { Findings } from './diagnostic.ts';
import { children, isNode, type Places, type TreeNode } from './parse-tree.ts';

/** Warns of results of DuckDB that few expect. docs/sql.md lists them. */
export function warnOfSurprises(expressions: readonly TreeNode[], places: Places, warnings: Findings): void {
  const told = new Set<string>();
  const visit = (node: TreeNode, around: TreeNode | undefined): void => {
    const warning = droppedOffset(node, around) ?? lostDigits(node, around) ?? textOrder(node);
    // One warning of a kind is enough for a SELECT.
    if (warning !== undefined && !told.has(warning)) {
      told.add(warning);
      warnings.add(warning, places.of(node));
    }
    for (const part of partsOf(node)) visit(part, node);
  };
  for (const expression of expressions) visit(expression, undefined);
}

const offset = /[+-]\d\d(?::?\d\d)?\s*$/;

function droppedOffset(node: TreeNode, around: TreeNode | undefined): string | undefined {
  // `… AT TIME ZONE` is for texts without an offset.
  if (around?.name === 'timezone') return undefined;
  const to = typeOf(node) ?? '';
  if (!isCast(node) || !isNode(node.child) || !['VARCHAR', 'JSON'].includes(typeOf(node.child) ?? ''))
    return undefined;
  if (!isTimeType(to) || to === 'TIMESTAMP_NS' || to.endsWith('ZONE')) return undefined;
  const literal = literalOf(node.child);
  if (literal && !/:\d\d/.test(literal.text ?? '')) return undefined;
  if (literal && !offset.test(literal.text ?? '')) return undefined;
  const wanted = to === 'DATE' ? 'CAST(CAST(… AS TIMESTAMPTZ) AS DATE)' : 'CAST(… AS TIMESTAMPTZ)';
  return `A cast of a text to ${to} drops the offset in it: 08:15+02:00 becomes 08:15 UTC. Write ${wanted}, or declare the column as a timestamp`;
}

const extracts: ReadonlySet<string> = new Set([
  ...['->', '->>', 'json_extract', 'json_extract_string', 'json_extract_path', 'json_extract_path_text'],
]);

/** DuckDB reads a JSON number with a point as a DOUBLE, in `->` and in a cast. */
function lostDigits(node: TreeNode, around: TreeNode | undefined): string | undefined {
  const isExtract = node.expression_class === 'BOUND_FUNCTION' && extracts.has(String(node.name));
  const isDecimalCast =
    isCast(node) &&
    /^DECIMAL/.test(typeOf(node) ?? '') &&
    isNode(node.child) &&
    typeOf(node.child) === 'JSON';
  if (!isDecimalCast && !(isExtract && keepsDigits(around, node))) return undefined;
  return 'A JSON number with a point loses digits after the 15th here: ->, ->> and casts read it as a DOUBLE. Declare the member as a column, such as DECIMAL(38, 10), to keep them';
}

/** Whether an extracted number would be expected with all its digits. */
function keepsDigits(around: TreeNode | undefined, node: TreeNode): boolean {
  if (around === undefined) return true;
  if (isCast(around)) {
    const to = typeOf(around) ?? '';
    return /^(?:DECIMAL|VARCHAR|JSON)/.test(to);
  }
  if (around.expression_class === 'BOUND_COMPARISON' || /^COMPARE_/.test(String(around.type)))
    return [around.left, around.right, ...children(around.children)].some(
      (side) => isNode(side) && side !== node && literalOf(side)?.type !== 'VARCHAR',
    );
  if (/^OPERATOR_IS_/.test(String(around.type))) return false;
  return !extracts.has(String(around.name));
}

/** `->> 'n' > '9'` compares texts. */
function textOrder(node: TreeNode): string | undefined {
  if (node.expression_class !== 'BOUND_COMPARISON' || !/THAN/.test(String(node.type))) return undefined;
  const sides = [node.left, node.right].filter(isNode);
  if (!sides.every((side) => typeOf(side) === 'VARCHAR')) return undefined;
  const number = sides
    .map(literalOf)
    .find((literal) => literal && /^-?\d+(?:\.\d+)?$/.test(literal.text ?? ''));
  if (!number) return undefined;
  return `This compares texts, in which '10' is less than '9'; write CAST(… AS DOUBLE) > ${number.text} to compare numbers`;
}
