import type { DuckDBConnection } from '@duckdb/node-api';
import { children, isNode, readTree, type TreeNode } from '../parse-tree.ts';
import type { BoundPlan, BoundStep } from '../plan.ts';
import { askEngine } from './connection.ts';

const kinds: Readonly<Record<string, BoundStep['kind']>> = {
  LOGICAL_PROJECTION: 'project',
  LOGICAL_FILTER: 'filter',
  LOGICAL_UNNEST: 'unnest',
};

/** Asks DuckDB how it would run a SELECT; undefined if that is more than filters, projections and UNNEST. */
export async function bindSelect(connection: DuckDBConnection, sql: string): Promise<BoundPlan | undefined> {
  // `optimize` makes references to columns positional; all other optimisations are off, see connection.ts.
  const question = `SELECT json_serialize_plan($1::VARCHAR, skip_null := false, skip_empty := false,
    skip_default := false, optimize := true)`;
  const steps: BoundStep[] = [];
  let [node] = children(readTree(await askEngine(connection, question, sql)).plans);
  for (; node; [node] = children(node.children)) {
    if (node.type === 'LOGICAL_GET') return readScan(node, steps);
    const kind = kinds[String(node.type)];
    if (!kind || children(node.projection_map).length > 0) return undefined;
    steps.unshift({ kind, expressions: children(node.expressions) });
  }
  return undefined;
}

function readScan(scan: TreeNode, steps: BoundStep[]): BoundPlan | undefined {
  const pushed = isNode(scan.table_filters) ? scan.table_filters.filters : undefined;
  const ids = scan.projection_ids;
  if (!Array.isArray(pushed) || pushed.length > 0 || !Array.isArray(ids) || ids.length > 0) return undefined;
  const names = scan.names as readonly string[];
  const types = children(scan.returned_types);
  const columns = children(scan.column_indexes).flatMap(({ index }) => {
    const [name, type] = [names[Number(index)], types[Number(index)]];
    return name !== undefined && type ? [{ name, type }] : [];
  });
  return columns.length === children(scan.column_indexes).length ? { columns, steps } : undefined;
}
