import { children, isNode, type TreeNode } from './parse-tree.ts';

/**
 * Functions that make a value as large as they are told, by which of their arguments say so. DuckDB does not count
 * such values in its memory limit, cannot be interrupted while it makes one, and makes those of constants while it
 * plans: they must be bounded before it sees them.
 */
const sizeArguments: Readonly<Record<string, readonly number[]>> = {
  range: [0, 1, 2],
  generate_series: [0, 1, 2],
  repeat: [1],
  lpad: [1],
  rpad: [1],
  list_resize: [1],
  array_resize: [1],
  bar: [3],
};
export const maxGrowth = 1000;

/** Those of them that make lists. A lambda would make one for each element of another. */
const listMakers: ReadonlySet<string> = new Set(['range', 'generate_series', 'list_resize', 'array_resize']);

/** Functions whose format may ask for any width, by which of their arguments it is. */
const formats: Readonly<Record<string, number>> = { printf: 0, format: 0 };

export function isGrowing(node: TreeNode): boolean {
  const name = node.class === 'FUNCTION' ? nameOf(node) : '';
  return Object.hasOwn(sizeArguments, name) || Object.hasOwn(formats, name);
}

/** How many times larger than what it is given the answer of such a function may be, as it says itself. */
export function growthBy(node: TreeNode): number {
  const format = formats[nameOf(node)];
  const given = children(node.children);
  const text = format === undefined ? undefined : constant(given[format]);
  const widths = typeof text === 'string' ? (text.match(/\d+/g) ?? []).map(Number) : [];
  const sizes = (sizeArguments[nameOf(node)] ?? []).map((index) => magnitude(given[index]) ?? 1);
  return Math.max(1, ...widths, ...sizes);
}

/** Whether a part of the tree, or something below it, grows. */
function holdsGrowth(part: unknown): boolean {
  if (Array.isArray(part)) return part.some(holdsGrowth);
  return isNode(part) && (isGrowing(part) || Object.values(part).some(holdsGrowth));
}

/** What is around a function call, of which only so much matters here. */
export interface Around {
  /** Another function that grows. */
  growing: boolean;
  lambda: boolean;
}

/** Why a function call may make a value without bounds; undefined when it cannot. */
export function unboundedGrowth(node: TreeNode, name: string, around: Around): string | undefined {
  const given = children(node.children);
  if (!isGrowing(node)) {
    const lambdas = given.filter(({ class: kind }) => kind === 'LAMBDA');
    const others = given.filter(({ class: kind }) => kind !== 'LAMBDA');
    const multiplies = lambdas.some(holdsGrowth) && others.some(holdsGrowth);
    return multiplies
      ? `${name} is not possible where both its list and its lambda make values of any size`
      : undefined;
  }
  if (around.growing) return `${name} is not possible inside a function of its kind`;
  if (around.lambda && listMakers.has(nameOf(node)))
    return `${name} is not possible inside a lambda, which would make a list for each element of another`;
  const format = formats[nameOf(node)];
  if (format !== undefined) {
    if (isNarrow(given[format])) return undefined;
    return `The format given to ${name} must be a plain text, with widths below ${maxGrowth}`;
  }
  const sizes = (sizeArguments[nameOf(node)] ?? []).map((index) => given[index]).filter(isNode);
  if (sizes.every(isSmallConstant)) return undefined;
  return `The size given to ${name} must be a plain number up to ${maxGrowth}`;
}

function nameOf(node: TreeNode): string {
  return String(node.function_name).toLowerCase();
}

const constant = (node: TreeNode | undefined): unknown =>
  node?.class === 'CONSTANT' && isNode(node.value) ? node.value.value : undefined;

/** How large a plain number is, without its sign; undefined for anything else. `-1` is read as the minus of 1. */
function magnitude(node: TreeNode | undefined): number | undefined {
  if (node?.class === 'FUNCTION' && node.function_name === '-') {
    const sizes = children(node.children).map(magnitude);
    return sizes.includes(undefined) ? undefined : Math.max(...(sizes as number[]));
  }
  const value = constant(node);
  return typeof value === 'number' && Number.isInteger(value) ? Math.abs(value) : undefined;
}

const isSmallConstant = (node: TreeNode): boolean =>
  (magnitude(node) ?? Number.POSITIVE_INFINITY) <= maxGrowth;

/** `{}` and `*` would take the width from a value. */
function isNarrow(node: TreeNode | undefined): boolean {
  const text = constant(node);
  return typeof text === 'string' && !/\d{4}|%[^%a-zA-Z]*\*|\{[^}]*\{/.test(text);
}
