import { children, type TreeNode } from '../parse-tree.ts';
import type { PartialAggregate } from '../plan.ts';

/**
 * Aggregates that can be made of partial ones. A leaf whose aggregates all can keeps a row for each group instead of its
 * rows.
 */

/** How an aggregate is made of partial ones. `partials` are written with `@` for the arguments and the filter. */
interface Recipe {
  partials: readonly { call: string; merge: PartialAggregate['merge'] }[];
  /** The final expression, with `$1`, `$2` for the names of the partial ones. */
  result: string;
}

const same = (call: PartialAggregate['merge']): Recipe => ({
  partials: [{ call, merge: call }],
  result: `${call}($1)`,
});

const average: Recipe = {
  partials: [
    { call: 'sum', merge: 'sum' },
    { call: 'count', merge: 'sum' },
  ],
  result: 'CAST(sum($1) AS DOUBLE) / CAST(sum($2) AS DOUBLE)',
};

const counting = (call: string): Recipe => ({
  partials: [{ call, merge: 'sum' }],
  result: 'COALESCE(sum($1), 0)',
});

const recipes: Readonly<Record<string, Recipe>> = {
  count: counting('count'),
  count_star: counting('count_star'),
  count_if: counting('count_if'),
  sum: same('sum'),
  avg: average,
  mean: average,
  min: same('min'),
  max: same('max'),
  bool_and: same('bool_and'),
  bool_or: same('bool_or'),
  bit_and: same('bit_and'),
  bit_or: same('bit_or'),
  bit_xor: same('bit_xor'),
};

const numbers = /^(?:U?(?:TINYINT|SMALLINT|INTEGER|BIGINT)|FLOAT|DOUBLE|DECIMAL.*)$/;

/** The recipe of a call; undefined if it needs all rows. `types` are those of its arguments. */
export function recipeOf(call: TreeNode, types: readonly string[]): Recipe | undefined {
  const orders = children((call.order_bys as TreeNode | null)?.orders);
  if (call.distinct === true || orders.length > 0) return undefined;
  const name = String(call.function_name).toLowerCase();
  const recipe = Object.hasOwn(recipes, name) ? recipes[name] : undefined;
  // min(x, 3) returns a list.
  if (!recipe || children(call.children).length > 1) return undefined;
  if (recipe === average && !types.every((type) => numbers.test(type))) return undefined;
  return recipe;
}
