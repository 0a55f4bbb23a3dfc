import type { Findings } from './diagnostic.ts';
import { children, isNode, isPresent, type Places, type TreeNode } from './parse-tree.ts';

/**
 * Refuses a SELECT whose form has no meaning on a stream that never ends, or needs more than one row at a time.
 * Answers the one table it reads from.
 */
export function checkShape(root: TreeNode, places: Places, findings: Findings): TreeNode {
  if (root.type !== 'SELECT_NODE') refuseNode(root, places, findings);
  const map = (root.cte_map as TreeNode | undefined)?.map;
  if (isPresent(map)) {
    findings.stop(
      'WITH queries are not supported; write CREATE VIEW … AS before the INSERT',
      places.keyword('with'),
    );
  }
  const from = checkFrom(root.from_table as TreeNode | undefined, places, findings);
  for (const { property, keyword, message } of clauses) {
    if (isPresent(root[property])) findings.add(message, places.keyword(keyword));
  }
  if (root.aggregate_handling !== 'STANDARD_HANDLING') findings.add(grouping, places.keyword('group'));
  for (const modifier of children(root.modifiers)) checkModifier(modifier, places, findings);
  return from;
}

const grouping = 'GROUP BY is not possible: a stream never ends, so a group is never complete';

const clauses = [
  { property: 'group_expressions', keyword: 'group', message: grouping },
  { property: 'having', keyword: 'having', message: 'HAVING is not possible without groups; write WHERE' },
  { property: 'qualify', keyword: 'qualify', message: 'QUALIFY is not possible; write WHERE' },
  { property: 'sample', keyword: 'using', message: 'USING SAMPLE is not possible on a stream; write WHERE' },
];

function refuseNode(root: TreeNode, places: Places, findings: Findings): never {
  if (root.type === 'SET_OPERATION_NODE') {
    const keyword = String(root.setop_type ?? '')
      .toLowerCase()
      .replace(/_.*/, '');
    findings.stop(
      'UNION, EXCEPT and INTERSECT are not possible; write one INSERT INTO for each SELECT',
      places.keyword(keyword),
    );
  }
  return findings.stop(
    'WITH queries are not supported; write CREATE VIEW … AS before the INSERT',
    places.keyword('with'),
  );
}

function checkModifier(modifier: TreeNode, places: Places, findings: Findings): void {
  switch (modifier.type) {
    case 'ORDER_MODIFIER':
      findings.add('ORDER BY is not possible: rows leave in the order they arrive', places.keyword('order'));
      return;
    case 'DISTINCT_MODIFIER':
      findings.add(
        'DISTINCT is not possible: it would have to remember every row for ever',
        places.keyword('distinct'),
      );
      return;
    default:
      findings.add(
        'LIMIT and OFFSET are not possible: a stream never ends; write WHERE',
        places.keyword('limit'),
      );
  }
}

const fromMessages: Readonly<Record<string, string>> = {
  JOIN: 'Joins are not supported: read from one table only',
  SUBQUERY: 'A SELECT in FROM is not supported; give it a name with CREATE VIEW … AS',
  TABLE_FUNCTION: 'Functions that answer tables cannot be read from; name a source table',
  EXPRESSION_LIST: 'VALUES cannot be read from; name a source table',
  EMPTY: 'FROM and the name of a source table are missing',
  SHOW_REF: 'Only SELECT is possible here',
  PIVOT: 'PIVOT and UNPIVOT are not possible: they need all rows at once',
};

function checkFrom(from: TreeNode | undefined, places: Places, findings: Findings): TreeNode {
  if (!isNode(from))
    return findings.stop('FROM and the name of a source table are missing', places.at(undefined));
  if (from.type !== 'BASE_TABLE') {
    const message = fromMessages[from.type ?? ''] ?? 'This cannot be read from; name a source table';
    findings.stop(message, from.type === 'EMPTY' ? places.at(undefined) : placeOf(from, places));
  }
  if (isPresent(from.schema_name) || isPresent(from.catalog_name)) {
    findings.stop('Tables have a single name, without a schema before it', places.of(from));
  }
  if (isPresent(from.sample))
    findings.add('TABLESAMPLE is not possible on a stream; write WHERE', places.keyword('tablesample'));
  if (isPresent(from.at_clause)) findings.add('AT is not possible on a stream', places.keyword('at'));
  if (isPresent(from.column_name_alias)) {
    findings.add('Rename columns with AS in the SELECT, not behind the table', places.of(from));
  }
  return from;
}

/** A join has no place of its own in the tree: take what is joined, which is the right side. */
function placeOf(from: TreeNode, places: Places) {
  return places.of(from.type === 'JOIN' && isNode(from.right) ? from.right : from);
}
