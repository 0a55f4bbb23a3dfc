import type { Findings } from './diagnostic.ts';
import { growthBy, isGrowing, maxGrowth } from './growth.ts';
import { children, isNode, type Places, type TreeNode } from './parse-tree.ts';

/** How much the expressions of a SELECT may come to, with all that they use written out. */
export interface Weight {
  /** Nodes of the largest expression. */
  size: number;
  /** How many times larger than the message the largest value may be, or how many rows one becomes. */
  growth: number;
}

/** Of the columns of a table. */
export const weightless: Weight = { size: 0, growth: 1 };

/**
 * DuckDB writes a name given with AS out again wherever it is used, and values grow where views use each other's: a
 * few names become millions of expressions, or of bytes.
 */
const maxNodes = 10_000;

/** The heaviest of the items of a SELECT list, over columns that weigh `below`. Reports what is too heavy. */
export function weigh(items: readonly TreeNode[], below: Weight, places: Places, findings: Findings): Weight {
  const named = new Map<string, Weight>();
  let heaviest = below;
  for (const item of items) {
    const weight = { size: sizeOf(item, named, below), growth: growthOf(item, named, below) };
    const problem = tooHeavy(weight);
    if (problem) {
      findings.add(problem, places.of(item));
      return weight;
    }
    const alias = String(item.alias ?? '').toLowerCase();
    if (alias !== '') named.set(alias, weight);
    const { size, growth } = heaviest;
    heaviest = { size: Math.max(size, weight.size), growth: Math.max(growth, weight.growth) };
  }
  return heaviest;
}

function tooHeavy({ size, growth }: Weight): string | undefined {
  if (size > maxNodes)
    return 'This uses names given with AS, or columns of views, again too often; compute less in it';
  if (growth > maxGrowth)
    return `Sizes multiply here, through names given with AS or views, to more than ${maxGrowth}; use smaller ones`;
  return undefined;
}

type Named = ReadonlyMap<string, Weight>;

/** Of what a reference to a column stands for; undefined for any other node. */
function referred(node: TreeNode, named: Named, below: Weight): Weight | undefined {
  if (node.class !== 'COLUMN_REF') return undefined;
  const [name] = (node.column_names as string[] | undefined) ?? [];
  return name === undefined ? undefined : (named.get(name.toLowerCase()) ?? below);
}

function sizeOf(part: unknown, named: Named, below: Weight): number {
  if (Array.isArray(part)) return part.reduce((sum: number, item) => sum + sizeOf(item, named, below), 0);
  if (!isNode(part)) return 0;
  const repeated = referred(part, named, below)?.size ?? 0;
  return Object.values(part).reduce((sum: number, value) => sum + sizeOf(value, named, below), 1 + repeated);
}

function growthOf(part: unknown, named: Named, below: Weight): number {
  if (Array.isArray(part)) return Math.max(1, ...part.map((item) => growthOf(item, named, below)));
  if (!isNode(part)) return 1;
  // Each row of a view that has made many of one becomes as many once more.
  if (isUnnest(part)) return below.growth * growthOf(children(part.children), named, weightless);
  const inside = Math.max(1, ...Object.values(part).map((value) => growthOf(value, named, below)));
  const own = isGrowing(part) ? growthBy(part) : 1;
  return Math.max(own * inside, referred(part, named, below)?.growth ?? 1);
}

const isUnnest = (node: TreeNode): boolean =>
  node.class === 'FUNCTION' && /^(?:unnest|unlist)$/.test(String(node.function_name).toLowerCase());
