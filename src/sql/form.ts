import type { Findings } from './diagnostic.ts';
import { children, isNode, isPresent, type Places, type TreeNode } from './parse-tree.ts';

/**
 * Refuses a SELECT whose form has no meaning on a stream that never ends, or needs more than one row at a time.
 * Returns the table that it reads.
 */
export function checkForm(root: TreeNode, places: Places, findings: Findings): TreeNode {
  if (root.type === 'SET_OPERATION_NODE') {
    const [keyword = ''] = String(root.setop_type ?? '')
      .toLowerCase()
      .split('_');
    const message =
      root.setop_all === true
        ? 'UNION ALL is not supported here; write it outside all parentheses and WITH, or one INSERT INTO for each SELECT'
        : 'UNION, EXCEPT and INTERSECT are not supported: they would have to remember every row; UNION ALL is';
    findings.stop(message, places.keyword(keyword));
  }
  if (root.type !== 'SELECT_NODE') {
    const message = 'WITH RECURSIVE is not supported: a stream never ends, so neither would the recursion';
    findings.stop(message, places.keyword('recursive'));
  }
  const from = checkFrom(root.from_table, places, findings);
  for (const [property, keyword, message] of clauses) {
    if (isPresent(root[property])) findings.add(message, places.keyword(keyword));
  }
  if (root.aggregate_handling !== 'STANDARD_HANDLING') findings.add(grouping, places.keyword('group'));
  for (const { type = '' } of children(root.modifiers)) {
    const [keyword, message] = modifiers[type] ?? limit;
    findings.add(message, places.keyword(keyword));
  }
  return from;
}

const grouping = 'GROUP BY is not supported without a window or an aggregate in the list';

const clauses = [
  ['group_expressions', 'group', grouping],
  ['having', 'having', 'HAVING needs an aggregate or GROUP BY; write WHERE'],
  ['qualify', 'qualify', 'QUALIFY needs a window function over the rows of a window; write WHERE'],
  ['sample', 'using', 'USING SAMPLE is not supported; write WHERE'],
] as const;

const modifiers: Readonly<Record<string, readonly [keyword: string, message: string]>> = {
  ORDER_MODIFIER: ['order', 'ORDER BY is not supported: rows leave in the order in which they arrive'],
  DISTINCT_MODIFIER: [
    'distinct',
    'DISTINCT is not supported: it would have to remember every row; write GROUP BY',
  ],
};
const limit = ['limit', 'LIMIT and OFFSET are not supported: a stream never ends; write WHERE'] as const;

const fromMessages: Readonly<Record<string, string>> = {
  JOIN: 'Joins are not supported here; read from one table',
  TABLE_FUNCTION: 'Table functions are not supported; name a source table',
  EXPRESSION_LIST: 'VALUES is not supported; write a SELECT from a source table',
  EMPTY: 'FROM and the name of a source table are missing',
  SHOW_REF: 'Only a SELECT is allowed here',
  PIVOT: 'PIVOT and UNPIVOT are not supported: they need all rows at once',
};

function checkFrom(from: unknown, places: Places, findings: Findings): TreeNode {
  if (!isNode(from) || from.type === 'EMPTY')
    return findings.stop(String(fromMessages.EMPTY), places.at(undefined));
  if (from.type !== 'BASE_TABLE' && from.type !== 'SUBQUERY') {
    const message = fromMessages[from.type ?? ''] ?? 'This cannot be read from; name a source table';
    // A join has no position of its own: point to its right side.
    findings.stop(message, places.of(from.type === 'JOIN' && isNode(from.right) ? from.right : from));
  }
  if (isPresent(from.schema_name) || isPresent(from.catalog_name))
    findings.stop('Schemas are not supported; write the name of the table alone', places.of(from));
  if (isPresent(from.sample))
    findings.add('TABLESAMPLE is not supported; write WHERE', places.keyword('tablesample'));
  if (isPresent(from.at_clause)) findings.add('AT is not supported; remove it', places.keyword('at'));
  if (isPresent(from.column_name_alias)) {
    const message = 'Column names after the table are not supported; rename columns with AS in the SELECT';
    findings.add(message, places.of(from));
  }
  return from;
}
