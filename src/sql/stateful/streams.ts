import type { DuckDBConnection } from '@duckdb/node-api';
import type { Query } from '../analysis.ts';
import { quoteName } from '../names.ts';
import { children, type TreeNode } from '../parse-tree.ts';
import type { TableDefinition } from '../plan.ts';
import { columnRef, copyOf, expressionOf, hideFromStars, named } from './tree.ts';

/** SELECTs that compute rows one by one, and the times of these rows. */

/** The columns with times that rows of these sources have. In a row of one that has no such time they are null. */
export const timesOf = (sources: readonly TableDefinition[]): string[] => {
  if (!sources.some(({ eventTime }) => eventTime !== undefined)) return [];
  const marked = sources.some(({ watermark }) => watermark !== undefined);
  return marked ? [timeColumn, watermarkColumn] : [timeColumn];
};

export const timeColumn = '__time';
export const watermarkColumn = '__watermark';

/** The ways through a FROM that has UNION ALL of streams inside: a copy of it for each SELECT of the union. */
export function alternatives(from: TreeNode): TreeNode[] {
  if (from.type !== 'SUBQUERY') return [from];
  const inner = (from.subquery as TreeNode).node as TreeNode;
  return selectsOf(inner).map((node) => ({
    ...from,
    subquery: { ...(from.subquery as TreeNode), node },
  }));
}

function selectsOf(node: TreeNode): TreeNode[] {
  if (node.type === 'SET_OPERATION_NODE')
    return [...selectsOf(node.left as TreeNode), ...selectsOf(node.right as TreeNode)];
  return alternatives(node.from_table as TreeNode).map((from) => ({ ...copyOf(node), from_table: from }));
}

/** The source table at the bottom of a stream. */
export function sourceOf(from: TreeNode, sources: ReadonlyMap<string, TableDefinition>): TableDefinition {
  if (from.type === 'BASE_TABLE') return sources.get(String(from.table_name)) as TableDefinition;
  const inner = (from.subquery as TreeNode).node as TreeNode;
  return sourceOf(inner.from_table as TreeNode, sources);
}

/** Adds columns with the time of an event and the watermark to every SELECT of a stream. */
export class Times {
  readonly #connection: DuckDBConnection;
  readonly #query: Query;
  readonly #source: TableDefinition;
  readonly #columns: readonly string[];

  constructor(
    connection: DuckDBConnection,
    query: Query,
    source: TableDefinition,
    columns: readonly string[],
  ) {
    this.#connection = connection;
    this.#query = query;
    this.#source = source;
    this.#columns = columns;
  }

  /** Adds them to a SELECT over a stream. Returns false in the one that computes columns of the table itself. */
  async add(node: TreeNode): Promise<boolean> {
    const columns = this.#columns;
    if (columns.length === 0) return true;
    const from = node.from_table as TreeNode;
    const isBottom = from.type === 'BASE_TABLE';
    if (isBottom && this.#query.computed.has(this.#source.name)) return false;
    const below = isBottom ? false : await this.add((from.subquery as TreeNode).node as TreeNode);
    const items: TreeNode[] = [];
    for (const column of columns) items.push(below ? columnRef(column) : await this.#computed(column));
    if (below) for (const column of columns) hideFromStars(node.select_list, column);
    node.select_list = [...children(node.select_list), ...items];
    return true;
  }

  async #computed(column: string): Promise<TreeNode> {
    const { eventTime, watermark } = this.#source;
    const value = column === timeColumn ? eventTime && quoteName(eventTime) : watermark;
    const text = value === undefined ? 'NULL' : `(${value})`;
    return named(await expressionOf(this.#connection, `CAST(${text} AS TIMESTAMP)`), column);
  }
}
