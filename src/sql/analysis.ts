import type { OutputColumn } from './engine/engine.ts';
import type { Places, TreeNode } from './parse-tree.ts';
import type { TableDefinition } from './plan.ts';
import type { View } from './views.ts';
import type { Weight } from './weight.ts';

/** A SELECT that has been understood, before it is known where its rows go. */
export interface Analysis {
  source: TableDefinition;
  /** The view it reads from, if it does not read the source itself. */
  view: View | undefined;
  tree: TreeNode;
  root: TreeNode;
  weight: Weight;
  output: OutputColumn[];
  places: Places;
}
