import { isPresent, type TreeNode } from '../parse-tree.ts';
import { windowColumn } from './leaf.ts';
import { columnRef, copyOf } from './tree.ts';

/**
 * Joins results of windows: rows meet only if their windows are the same. Changes the join, and returns the expression of the
 * window of its rows.
 */
export function joinOf(
  join: TreeNode,
  left: TreeNode,
  right: TreeNode,
  refuse: (message: string) => never,
): TreeNode {
  if (join.ref_type === 'NATURAL') return columnRef(windowColumn);
  if (join.ref_type !== 'REGULAR' && join.ref_type !== 'CROSS')
    refuse('This kind of join is not supported; write JOIN … ON');
  if (isPresent(join.using_columns)) {
    join.using_columns = [...(join.using_columns as string[]), windowColumn];
    return columnRef(windowColumn);
  }
  const equal = {
    ...{ class: 'COMPARISON', type: 'COMPARE_EQUAL', alias: '', query_location: 0 },
    ...{ left: copyOf(left), right: copyOf(right) },
  };
  const both = {
    ...{ class: 'CONJUNCTION', type: 'CONJUNCTION_AND', alias: '', query_location: 0 },
    children: [join.condition, equal],
  };
  join.condition = isPresent(join.condition) ? both : equal;
  if (join.ref_type === 'CROSS') Object.assign(join, { ref_type: 'REGULAR', join_type: 'INNER' });
  if (join.join_type === 'SEMI' || join.join_type === 'ANTI') return left;
  return {
    ...{ class: 'OPERATOR', type: 'OPERATOR_COALESCE', alias: '', query_location: 0 },
    children: [copyOf(left), copyOf(right)],
  };
}
