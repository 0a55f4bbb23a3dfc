import type { DuckDBConnection } from '@duckdb/node-api';
import { askEngine } from './engine/engine.ts';
import { children, isNode, readTree, type TreeNode } from './parse-tree.ts';

/**
 * A statement as DuckDB's binder leaves it: every name resolved, every implicit cast written out, every expression
 * with its type. Plain data.
 */
export interface BoundPlan {
  /** The columns of the table, in the order the first step refers to them. */
  columns: readonly BoundColumn[];
  /** What is done to each row, in order. */
  steps: readonly BoundStep[];
}

export interface BoundColumn {
  name: string;
  type: TreeNode;
}

/** A filter lets through the rows for which every expression is true; a projection makes new columns. */
export interface BoundStep {
  kind: 'filter' | 'project';
  expressions: readonly TreeNode[];
}

/** Asks DuckDB how it would run a SELECT; undefined when that is more than filters and projections. */
export async function bindSelect(connection: DuckDBConnection, sql: string): Promise<BoundPlan | undefined> {
  // With `optimize` columns are referred to by position; nothing else is optimised, see engine.ts.
  const question = `SELECT json_serialize_plan($1::VARCHAR, skip_null := false, skip_empty := false,
    skip_default := false, optimize := true)`;
  const answer = readTree(await askEngine(connection, question, sql));
  const [plan] = children(answer.plans);
  return plan && readPlan(plan);
}

function readPlan(top: TreeNode): BoundPlan | undefined {
  const steps: BoundStep[] = [];
  for (let node: TreeNode | undefined = top; node; [node] = children(node.children)) {
    switch (node.type) {
      case 'LOGICAL_PROJECTION':
        steps.unshift({ kind: 'project', expressions: children(node.expressions) });
        break;
      case 'LOGICAL_FILTER':
        if (children(node.projection_map).length > 0) return undefined;
        steps.unshift({ kind: 'filter', expressions: children(node.expressions) });
        break;
      case 'LOGICAL_GET':
        return readScan(node, steps);
      default:
        return undefined;
    }
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
