import type { Row, Value } from '../../formats/format.ts';
import { getterOf } from '../../formats/values/own-property.ts';
import { addUp, noSize, type Size, valueSize } from '../../formats/values/size.ts';
import { children, isNode, numberOf, type TreeNode } from '../parse-tree.ts';
import type { BoundPlan, BoundStep } from '../plan.ts';
import {
  type Argument,
  castSize,
  clamp,
  resultSize,
  type Shape,
  scratchSize,
  shapeOf,
  slot,
  totalOf,
} from './size.ts';

/** Bytes that the values of a batch may take while other queries of the thread run. A row that may take more runs alone. */
export const sharedBytes = 16 * 1024 * 1024;

/** Bytes that the values of a row may take: 128 MiB, or for a larger message 8 times its own size. */
export const aloneBytes = (row: Row): number => {
  const { bytes, count } = valueSize(row);
  return Math.max(128 * 1024 * 1024, 8 * (bytes + slot * count));
};

/** Deepest nesting of lambdas and UNNEST: each doubles the work of bounding a row. */
const maxNesting = 6;

/** Adds up the bytes of all values that are alive while a row is evaluated. */
interface Meter {
  bytes: number;
}

type Measure = (columns: readonly Size[], meter: Meter) => Size;

/** Returns an upper bound on the bytes that DuckDB needs for the values of a row. */
export type RowMemory = (row: Row) => number;

/** Bounds the memory of a plan. Undefined if lambdas and UNNEST are nested too deeply to do it for each row. */
export function rowMemory({ columns, steps }: BoundPlan): RowMemory | undefined {
  if (nestingOf(steps) > maxNesting) return undefined;
  const run = pipeline(steps);
  const inputs = columns.map(({ name, type }) => ({ get: getterOf(name), type: shapeOf(type) }));
  return (row) => {
    const meter = { bytes: 0 };
    const sizes = inputs.map(({ get, type }) => {
      const size = valueSize((get(row) ?? null) as Value);
      meter.bytes += totalOf(size, type);
      return size;
    });
    run(sizes, meter);
    return meter.bytes;
  };
}

/** The bounds of a plan whose values may take many times the size of the message; undefined for other plans. */
export function growingMemory(plan: BoundPlan): RowMemory | undefined {
  const memory = rowMemory(plan);
  const length = 256 * 1024;
  const text = 'x'.repeat(length);
  const row = Object.fromEntries(plan.columns.map(({ name }) => [name, text]));
  const small = memory && memory(row) <= 64 * length * (plan.columns.length + 1);
  return small ? undefined : memory;
}

function pipeline(steps: readonly BoundStep[]): (columns: readonly Size[], meter: Meter) => void {
  const [step, ...later] = steps;
  if (!step) return () => {};
  const measures = step.expressions.map(measureOf);
  const rest = pipeline(later);
  if (step.kind === 'filter')
    return (columns, meter) => {
      for (const measure of measures) measure(columns, meter);
      rest(columns, meter);
    };
  const shapes = step.expressions.map(({ return_type: type, value }) =>
    shapeOf(type ?? (isNode(value) ? value.type : undefined)),
  );
  if (step.kind === 'project')
    return (columns, meter) => {
      const results = measures.map((measure) => measure(columns, meter));
      // Also a reference to a column becomes a value of its own when it leaves the engine.
      results.forEach((size, index) => {
        meter.bytes += totalOf(size, shapes[index] as Shape);
      });
      rest(results, meter);
    };
  return (columns, meter) => {
    const lists = measures.map((measure) => measure(columns, meter));
    const rows = lists.reduce((total, { count }) => total + count, 0);
    addEach(rows, lists, meter, (elements, inner) => {
      rest([...columns, ...elements], inner);
      return noSize;
    });
  };
}

/**
 * Bounds something that is done `count` times, each time with other parts of `wholes`. All bounds are polynomials
 * without negative coefficients, so that their sum over the parts is at most their value at the whole, once the
 * constant term is counted for each time.
 */
function addEach(
  count: number,
  wholes: readonly Size[],
  meter: Meter,
  measure: (parts: readonly Size[], inner: Meter) => Size,
): Size {
  const [least, most] = [{ bytes: 0 }, { bytes: 0 }];
  const zero = measure(
    wholes.map(() => noSize),
    least,
  );
  const full = measure(wholes, most);
  const over = (one: number, all: number) =>
    all === Number.POSITIVE_INFINITY ? all : count * one + (all - one);
  meter.bytes += over(least.bytes, most.bytes);
  return { bytes: over(zero.bytes, full.bytes), count: count + over(zero.count, full.count) };
}

function measureOf(node: TreeNode): Measure {
  if (node.expression_class === 'BOUND_UNNEST') return measureOf(node.child as TreeNode);
  const shape = shapeOf(node.return_type);
  const made = rawMeasure(node);
  if (node.expression_class === 'BOUND_REF' || node.expression_class === 'BOUND_CONSTANT') return made;
  return (columns, meter) => {
    const size = clamp(made(columns, meter), shape);
    meter.bytes += totalOf(size, shape);
    return size;
  };
}

function rawMeasure(node: TreeNode): Measure {
  switch (node.expression_class) {
    case 'BOUND_REF': {
      const index = Number(node.index);
      return (columns) => columns[index] ?? noSize;
    }
    case 'BOUND_CONSTANT': {
      const size = constantSize(node);
      return () => size;
    }
    case 'BOUND_CAST': {
      const [child] = argumentsOf([node.child]);
      const same = !shapeOf(node.return_type).list && isPlainText(node.child) && isPlainText(node);
      return (columns, meter) => {
        const from = (child as ToArgument)(columns, meter);
        return same ? from : castSize(from);
      };
    }
    case 'BOUND_FUNCTION':
      return functionMeasure(node);
    default: {
      // Comparisons, CASE and operators return one of their inputs, or a BOOLEAN.
      const parts = partsOf(node).map(measureOf);
      return (columns, meter) => addUp(parts.map((part) => part(columns, meter)));
    }
  }
}

/** The expressions directly inside a node. */
function partsOf(node: TreeNode): TreeNode[] {
  return Object.values(node).flatMap((value) => {
    if (Array.isArray(value))
      return children(value).flatMap((item) => (item.expression_class ? [item] : partsOf(item)));
    return isNode(value) && value.expression_class ? [value] : [];
  });
}

type ToArgument = (columns: readonly Size[], meter: Meter) => Argument;

function argumentsOf(nodes: readonly unknown[]): ToArgument[] {
  return nodes.filter(isNode).map((node) => {
    const measure = measureOf(node);
    const held = node.value as TreeNode | undefined;
    const shape = shapeOf(node.return_type ?? held?.type);
    const literal = literalOf(node);
    return (columns, meter) => {
      const size = measure(columns, meter);
      return { ...size, total: totalOf(size, shape), literal };
    };
  });
}

/** The value of a constant, also behind a cast. */
function literalOf(node: TreeNode): string | number | undefined {
  if (node.expression_class === 'BOUND_CAST' && isNode(node.child)) return literalOf(node.child);
  if (node.expression_class !== 'BOUND_CONSTANT') return undefined;
  const { value, is_null: isNull } = node.value as TreeNode;
  if (isNull === true) return 0;
  if (typeof value === 'string') return value;
  if (isNode(value) && typeof value.rawJSON !== 'string') return undefined;
  const number = Number(numberOf(value));
  return Number.isFinite(number) ? number : undefined;
}

function constantSize(node: TreeNode): Size {
  const { value } = node.value as TreeNode;
  if (typeof value === 'string') return { bytes: Buffer.byteLength(value), count: 0 };
  if (!isNode(value)) return noSize;
  const text = JSON.stringify(value);
  return { bytes: text.length, count: text.length };
}

function functionMeasure(node: TreeNode): Measure {
  const name = String(node.name);
  const args = argumentsOf(children(node.children));
  const data = isNode(node.function_data) ? node.function_data : {};
  if (isNode(data.lambda_expr))
    return lambdaMeasure(name, args, data as TreeNode & { lambda_expr: TreeNode });
  const separator = separatorOf(data);
  return (columns, meter) => {
    const sizes = [...args.map((argument) => argument(columns, meter)), ...separator];
    meter.bytes += scratchSize(name, sizes);
    return resultSize(name, sizes);
  };
}

/** DuckDB moves the separator of `string_agg` from the arguments of `list_aggregate` to what it is bound to. */
function separatorOf(data: TreeNode): readonly Argument[] {
  const path = ['bind_data', 'aggr_expr', 'function_data', 'separator'];
  const separator = path.reduce<unknown>((part, key) => (isNode(part) ? part[key] : undefined), data);
  if (typeof separator !== 'string') return [];
  const bytes = Buffer.byteLength(separator);
  return [{ bytes, count: 0, total: bytes }];
}

/** Parameters of a lambda are its first columns, the last one first; the values that it captures follow. */
function lambdaMeasure(
  name: string,
  args: readonly ToArgument[],
  data: TreeNode & { lambda_expr: TreeNode },
): Measure {
  const body = measureOf(data.lambda_expr);
  const index = data.has_index === true ? [noSize] : [];
  const reduces = /reduce$/.test(name);
  return (columns, meter) => {
    const [list = noSize, ...others] = args.map((argument) => argument(columns, meter));
    const captured = others.slice(data.has_initial === true ? 1 : 0);
    const start = data.has_initial === true ? (others[0] ?? noSize) : list;
    const each = (element: Size, accumulator: readonly Size[], inner: Meter) =>
      body([...index, element, ...accumulator, ...captured], inner);
    if (reduces) return reduction(list, start, meter, each);
    const made = addEach(list.count, [list], meter, ([element = noSize], inner) => each(element, [], inner));
    return /filter$/.test(name) ? list : made;
  };
}

/** A reduction whose result grows faster than by addition is not bounded. */
function reduction(
  list: Size,
  start: Size,
  meter: Meter,
  each: (element: Size, accumulator: readonly Size[], inner: Meter) => Size,
): Size {
  const far = 2 ** 40;
  const probe = (accumulator: Size) => each(list, [accumulator], { bytes: 0 });
  const [near, away] = [probe(noSize), probe({ bytes: far, count: far })];
  if (away.bytes - near.bytes > far || away.count - near.count > far) {
    meter.bytes = Number.POSITIVE_INFINITY;
    return near;
  }
  const added = addEach(list.count, [list], { bytes: 0 }, ([element = noSize], inner) =>
    each(element, [noSize], inner),
  );
  const result = { bytes: start.bytes + added.bytes, count: start.count + added.count };
  addEach(list.count, [list], meter, ([element = noSize], inner) => each(element, [result], inner));
  return result;
}

const isPlainText = (node: unknown): boolean => {
  if (!isNode(node)) return false;
  const held = node.value as TreeNode | undefined;
  const type = node.return_type ?? held?.type;
  return isNode(type) && type.id === 'VARCHAR';
};

/** How deeply lambdas and UNNEST are nested. */
function nestingOf(steps: readonly BoundStep[]): number {
  const within = (part: unknown): number => {
    if (Array.isArray(part)) return part.reduce((most: number, item) => Math.max(most, within(item)), 0);
    if (!isNode(part)) return 0;
    const deepest = Object.values(part).reduce((most: number, value) => Math.max(most, within(value)), 0);
    return deepest + (isNode(part.lambda_expr) ? 1 : 0);
  };
  const unnests = steps.filter(({ kind }) => kind === 'unnest').length;
  return unnests + within(steps.map(({ expressions }) => expressions));
}
