import { createHash } from 'node:crypto';
import type { Leaf, Select, StatefulSelect } from './plan.ts';

/**
 * A hash of what the rows in a state mean: windows, leaves, and how their rows are computed. A query of the same shape goes on
 * with the state. What becomes of the rows when a window closes, and where, is not part of it.
 */
export function shapeOf({ window, leaves }: StatefulSelect): string {
  const shape = { window: window ?? null, leaves: leaves.map(shapeOfLeaf) };
  return createHash('sha256')
    .update(JSON.stringify(sorted(shape)))
    .digest('hex');
}

/** Stands for the shape of a transform that the query no longer has. */
export const noShape = '';

const shapeOfLeaf = ({ name, inputs, columns, times, keys, fold }: Leaf) => ({
  ...{ name, columns, times, keys, fold: fold ?? null },
  inputs: inputs.map(({ source, select }) => ({ source, rows: rowsOf(select) })),
});

/** Whether a query is compiled depends on the version of Penstock, and what its rows mean does not. */
function rowsOf(select: Exclude<Select, StatefulSelect>): unknown {
  switch (select.kind) {
    case 'passthrough':
      return 'all';
    case 'project':
      return select.columns;
    default:
      return select.sql;
  }
}

/** The same value with the names of every object in order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, part]) => part !== undefined);
  return Object.fromEntries(
    entries.sort(([one], [other]) => (one < other ? -1 : 1)).map(([name, part]) => [name, sorted(part)]),
  );
}
