import { noSize, type Size } from '../formats/values/size.ts';
import type { Findings } from './diagnostic.ts';
import { copies } from './engine/dialect.ts';
import { type Argument, castSize, clamp, resultSize, shapeOf } from './engine/size.ts';
import { children, isNode, type Places, type TreeNode } from './parse-tree.ts';

/**
 * Bounds on expressions. DuckDB does not count values that a function creates in its memory limit, cannot be
 * interrupted while it creates one, and evaluates those of constants while it plans: they must be bounded before.
 */

/** The cost of the expressions of a SELECT after all names are expanded. */
export interface Cost {
  nodes: number;
  /** How many times larger than the message the largest value may be, or how many rows one message may become. */
  growth: number;
}

export const noCost: Cost = { nodes: 0, growth: 1 };

/** DuckDB expands a name given with AS wherever it is used, and views use each other: a few names become millions. */
const maxNodes = 10_000;
const maxGrowth = 1000;

/** Functions that create a value of a given size, with the positions of the arguments that give it. */
const sizeArguments: Readonly<Record<string, readonly number[]>> = {
  range: [0, 1, 2],
  generate_series: [0, 1, 2],
  repeat: [1],
  lpad: [1],
  rpad: [1],
  list_resize: [1],
  array_resize: [1],
  bar: [3],
  to_base: [2],
  bitstring: [1],
  equi_width_bins: [2],
};

/** Those of them that create lists: in a lambda they would create one for each element of another. */
const listMakers: ReadonlySet<string> = new Set([
  ...['range', 'generate_series', 'list_resize', 'array_resize', 'equi_width_bins'],
]);

/** Functions whose format may give a width, with the position of the format. */
const formats: Readonly<Record<string, number>> = { printf: 0, format: 0 };

/** Whether a node is a call of a function that creates values of a given size. */
export function isGrowing(node: TreeNode): boolean {
  const name = node.class === 'FUNCTION' ? nameOf(node) : '';
  return Object.hasOwn(sizeArguments, name) || Object.hasOwn(formats, name);
}

interface Surroundings {
  /** Another function that creates values of a given size. */
  growing: boolean;
  lambda: boolean;
}

/** Why a function call may create a value without bounds; undefined if it cannot. */
export function unboundedGrowth(node: TreeNode, around: Surroundings): string | undefined {
  const name = nameOf(node);
  const args = children(node.children);
  if (!isGrowing(node)) {
    const lambdas = args.filter(({ class: kind }) => kind === 'LAMBDA');
    const others = args.filter(({ class: kind }) => kind !== 'LAMBDA');
    if (!lambdas.some(holdsGrowth) || !others.some(holdsGrowth)) return undefined;
    return `${name} is not supported when both its list and its lambda create values of a given size`;
  }
  if (around.growing)
    return `${name} is not supported inside another function that creates values of a given size`;
  if (around.lambda && listMakers.has(name))
    return `${name} is not supported inside a lambda: it would create a list for each element`;
  const format = formats[name];
  if (format !== undefined) {
    if (isNarrow(args[format])) return undefined;
    return `The format of ${name} must be a literal string with widths below ${maxGrowth}`;
  }
  const sizes = (sizeArguments[name] ?? []).map((index) => args[index]).filter(isNode);
  if (sizes.every((size) => (magnitude(size) ?? Number.POSITIVE_INFINITY) <= maxGrowth)) return undefined;
  return `The size given to ${name} must be a literal number of at most ${maxGrowth}`;
}

/** Whether a part of the tree, or something below it, creates values of a given size. */
function holdsGrowth(part: unknown): boolean {
  if (Array.isArray(part)) return part.some(holdsGrowth);
  return isNode(part) && (isGrowing(part) || Object.values(part).some(holdsGrowth));
}

const nameOf = (node: TreeNode): string => String(node.function_name).toLowerCase();

const constant = (node: TreeNode | undefined): unknown =>
  node?.class === 'CONSTANT' && isNode(node.value) ? node.value.value : undefined;

/** A literal integer without its sign; undefined for anything else. `-1` is parsed as the minus of 1. */
function magnitude(node: TreeNode | undefined): number | undefined {
  if (node?.class === 'FUNCTION' && node.function_name === '-') {
    const sizes = children(node.children).map(magnitude);
    return sizes.includes(undefined) ? undefined : Math.max(...(sizes as number[]));
  }
  const value = constant(node);
  return typeof value === 'number' && Number.isInteger(value) ? Math.abs(value) : undefined;
}

/** `{}` and `*` would take the width from a value. */
function isNarrow(node: TreeNode | undefined): boolean {
  const text = constant(node);
  return typeof text === 'string' && !/\d{4}|%[^%a-zA-Z]*\*|\{[^}]*\{/.test(text);
}

/** The highest cost of the items of a SELECT list, over columns of cost `below`. Reports one that is too high. */
export function costOf(items: readonly TreeNode[], below: Cost, places: Places, findings: Findings): Cost {
  for (const item of items) checkConstants(item, places, findings);
  const named = new Map<string, Cost>();
  let highest = below;
  for (const item of items) {
    const cost = { nodes: nodesOf(item, named, below), growth: growthOf(item, named, below) };
    const problem = tooHigh(cost);
    if (problem) {
      findings.add(problem, places.of(item));
      return cost;
    }
    const alias = String(item.alias ?? '').toLowerCase();
    if (alias !== '') named.set(alias, cost);
    const { nodes, growth } = highest;
    highest = { nodes: Math.max(nodes, cost.nodes), growth: Math.max(growth, cost.growth) };
  }
  return highest;
}

function tooHigh({ nodes, growth }: Cost): string | undefined {
  if (nodes > maxNodes)
    return 'This expression is too large once the names given with AS and the columns of views in it are expanded; use fewer of them';
  if (growth > maxGrowth)
    return `Sizes multiply here to more than ${maxGrowth}, as one repetition is inside another; use smaller counts`;
  return undefined;
}

type NamedCosts = ReadonlyMap<string, Cost>;

/** The cost of the expression behind a column reference; undefined for any other node. */
function referred(node: TreeNode, named: NamedCosts, below: Cost): Cost | undefined {
  if (node.class !== 'COLUMN_REF') return undefined;
  const [name] = (node.column_names as string[] | undefined) ?? [];
  return name === undefined ? undefined : (named.get(name.toLowerCase()) ?? below);
}

function nodesOf(part: unknown, named: NamedCosts, below: Cost): number {
  if (Array.isArray(part)) return part.reduce((sum: number, item) => sum + nodesOf(item, named, below), 0);
  if (!isNode(part)) return 0;
  const repeated = referred(part, named, below)?.nodes ?? 0;
  const times = part.class === 'FUNCTION' ? (copies.get(nameOf(part)) ?? 1) : 1;
  if (times > 1) return 1 + times * nodesOf(children(part.children), named, below);
  return Object.values(part).reduce((sum: number, value) => sum + nodesOf(value, named, below), 1 + repeated);
}

function growthOf(part: unknown, named: NamedCosts, below: Cost): number {
  if (Array.isArray(part)) return Math.max(1, ...part.map((item) => growthOf(item, named, below)));
  if (!isNode(part)) return 1;
  // Each row that a view has made of one message becomes as many once more.
  if (part.class === 'FUNCTION' && /^(?:unnest|unlist)$/.test(nameOf(part)))
    return below.growth * growthOf(children(part.children), named, noCost);
  const inside = Math.max(1, ...Object.values(part).map((value) => growthOf(value, named, below)));
  const own = isGrowing(part) ? givenGrowth(part) : 1;
  return Math.max(own * inside, referred(part, named, below)?.growth ?? 1);
}

/** How many times larger than its input the result of a growing function may be. */
function givenGrowth(node: TreeNode): number {
  const args = children(node.children);
  const format = formats[nameOf(node)];
  const text = format === undefined ? undefined : constant(args[format]);
  const widths = typeof text === 'string' ? (text.match(/\d+/g) ?? []).map(Number) : [];
  const sizes = (sizeArguments[nameOf(node)] ?? []).map((index) => magnitude(args[index]) ?? 1);
  return Math.max(1, ...widths, ...sizes);
}

/** Bytes of a value that does not depend on the message. DuckDB may create it before the first message. */
const maxConstantBytes = 1024 * 1024;

/** The size of a part of the tree, if it is made of constants alone. Reports one that is too large. */
export function checkConstants(part: unknown, places: Places, findings: Findings): Argument | undefined {
  if (Array.isArray(part)) return together(part.map((item) => checkConstants(item, places, findings)));
  if (!isNode(part)) return noArgument;
  if (part.class === 'CONSTANT') return literalSize(part);
  const inside =
    part.class === 'FUNCTION'
      ? children(part.children).map((child) => checkConstants(child, places, findings))
      : Object.values(part).map((value) => checkConstants(value, places, findings));
  const known = together(inside);
  if (!known || part.class === 'COLUMN_REF' || part.class === 'LAMBDA' || part.class === 'STAR')
    return undefined;
  if (part.class === 'CAST') return argument(clamp(castSize(known), shapeOf(part.cast_type)));
  if (part.class !== 'FUNCTION') return known;
  const size = argument(resultSize(nameOf(part), inside as Argument[]));
  if (size.total > maxConstantBytes && Number.isFinite(size.total)) {
    const limit = `${maxConstantBytes / 1024 / 1024} MiB`;
    findings.add(`This constant may take more than ${limit}; write a shorter one`, places.of(part));
    return undefined;
  }
  return size;
}

const argument = ({ bytes, count }: Size): Argument => ({ bytes, count, total: bytes + 32 * count });
const noArgument = argument(noSize);

function together(sizes: readonly (Argument | undefined)[]): Argument | undefined {
  let [bytes, count] = [0, 0];
  for (const size of sizes) {
    if (!size) return undefined;
    bytes += size.bytes;
    count += size.count;
  }
  return argument({ bytes, count });
}

function literalSize(node: TreeNode): Argument {
  const literal = constant(node);
  if (typeof literal === 'number') return { ...noArgument, literal };
  if (typeof literal !== 'string') return noArgument;
  return { ...argument({ bytes: Buffer.byteLength(literal), count: 0 }), literal };
}
