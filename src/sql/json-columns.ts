import type { OutputColumn } from './engine/connection.ts';
import { findColumn } from './expressions.ts';
import { children, isNode, isPresent, type TreeNode } from './parse-tree.ts';

/** A column of a view. */
export interface JsonColumn {
  name: string;
  /** Whether it is a member of a JSON document that `->` found, and not a json column. */
  isMember?: boolean;
}

/** Functions that return a member of a document as JSON. */
const finders: ReadonlySet<string> = new Set(['json_extract', 'json_extract_path', 'json_get']);

/** The output columns of a SELECT, and which of them are members of a JSON document. */
export function jsonColumns(
  root: TreeNode,
  { columns, qualifiers }: { columns: readonly JsonColumn[]; qualifiers: readonly string[] },
  output: readonly OutputColumn[],
): JsonColumn[] {
  const found = children(root.select_list).flatMap((item) => {
    if (item.class === 'STAR') return isPlain(item) ? columns.map(({ isMember }) => isMember) : [];
    // DuckDB parses `->` as a lambda, which cannot stand alone.
    if (item.class === 'LAMBDA') return [true];
    if (item.class === 'FUNCTION') return [finders.has(String(item.function_name).toLowerCase())];
    const names = item.class === 'COLUMN_REF' ? (item.column_names as string[]) : [];
    const named = names.length > 0 ? findColumn(names, { qualifiers, columns }) : undefined;
    return [named?.part === names.length - 1 && named.column.isMember];
  });
  const aligned = found.length === output.length;
  return output.map(({ name, type }, index) => ({
    name,
    isMember: aligned && found[index] === true && type.alias === 'JSON',
  }));
}

const isPlain = (star: TreeNode): boolean =>
  !['exclude_list', 'qualified_exclude_list', 'replace_list', 'rename_list'].some((list) =>
    isPresent(star[list]),
  ) && !isNode(star.expr);
