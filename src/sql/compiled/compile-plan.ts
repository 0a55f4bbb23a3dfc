import type { Row, Value } from '../../formats/format.ts';
import type { Field } from '../../formats/schema/schema.ts';
import { getterOf, setterOf } from '../../formats/values/own-property.ts';
import { growingMemory, type RowMemory, sharedBytes } from '../engine/memory.ts';
import type { EngineInsert, EngineTransform } from '../engine/transform.ts';
import { children, isNode, numberOf, type TreeNode } from '../parse-tree.ts';
import type { BoundPlan } from '../plan.ts';
import type { Transform, Transformed, TransformOptions } from '../transform.ts';
import { cast } from './casts.ts';
import { comparison, membership } from './comparison.ts';
import { type EngineType, fromRow, isBig, isInteger, plainType, readType, toRow } from './engine-type.ts';
import { type Compiled, coalesce, defer, deferral, type Evaluate, folded, refuse } from './evaluate.ts';
import { functions } from './functions.ts';
import { textInterval } from './times.ts';

/** Turns a row of the source into a row of the sink; undefined if it is filtered out. Throws `deferral`. */
export type CompiledSelect = (row: Row) => Row | undefined;

/** Compiles a plan whose first output column is the number of the row. Throws `NotCompiled`. */
export function compilePlan({ columns, steps }: BoundPlan, sink: readonly Field[]): CompiledSelect {
  let compiled: readonly Compiled[] = columns.map(inputColumn);
  const filters: Evaluate[] = [];
  for (const { kind, expressions } of steps) {
    if (kind === 'unnest') refuse('UNNEST');
    const below = compiled;
    const results = expressions.map((expression) => compileExpression(expression, below));
    if (kind === 'filter') filters.push(...results.map(({ evaluate }) => evaluate));
    else compiled = results;
  }
  const outputs = sink.map((field, index) => outputColumn(field, compiled[index + 1]));
  return (row) => {
    for (const filter of filters) if (filter(row) !== true) return undefined;
    const result: Row = {};
    for (const write of outputs) write(row, result);
    return result;
  };
}

function inputColumn({ name, type: node }: BoundPlan['columns'][number]): Compiled {
  const type = readType(node) ?? refuse(`the type of the column ${name}`);
  const get = getterOf(name);
  const convert = fromRow(type) ?? (type.id === 'VARCHAR' ? wellFormed : undefined);
  const evaluate: Evaluate = convert
    ? (row) => convert((get(row) ?? null) as Value)
    : (row) => (get(row) ?? null) as Value;
  return { type, evaluate, isConstant: false };
}

/** DuckDB's texts are UTF-8, which has no half of a surrogate pair. */
function wellFormed(value: Value): Value {
  return value === null || (value as string).isWellFormed() ? value : defer();
}

function outputColumn({ name }: Field, column: Compiled | undefined): (row: Row, result: Row) => void {
  const { evaluate, type } = column ?? refuse(`the column ${name}`);
  const set = setterOf(name);
  const convert = toRow(type);
  if (!convert) return (row, result) => set(result, evaluate(row));
  return (row, result) => set(result, convert(evaluate(row)));
}

/** Compiles one expression of a bound plan over the columns below it. Throws `NotCompiled`. */
function compileExpression(node: TreeNode, columns: readonly Compiled[]): Compiled {
  const compile = (child: unknown): Compiled =>
    isNode(child) ? compileExpression(child, columns) : refuse('this expression');
  switch (node.expression_class) {
    case 'BOUND_REF':
      return columns[Number(node.index)] ?? refuse('this column');
    case 'BOUND_CONSTANT':
      return constant(node);
    case 'BOUND_CAST':
      return compileCast(node, compile(node.child));
    case 'BOUND_COMPARISON': {
      const [left, right] = [compile(node.left), compile(node.right)];
      return made(boolean, comparison(String(node.type), left, right), left, right);
    }
    case 'BOUND_BETWEEN':
      return between(node, compile(node.input), compile(node.lower), compile(node.upper));
    case 'BOUND_CONJUNCTION': {
      const parts = children(node.children).map(compile);
      return made(boolean, conjunction(String(node.type), parts), ...parts);
    }
    case 'BOUND_OPERATOR':
      return operator(node, children(node.children).map(compile));
    case 'BOUND_CASE':
      return compileCase(node, compile);
    case 'BOUND_FUNCTION':
      return compileFunction(node, children(node.children).map(compile));
    default:
      return refuse(`the expression ${String(node.expression_class)}`);
  }
}

const boolean = plainType('BOOLEAN');

/** An expression made of these inputs: constant if all of them are. */
function made(type: EngineType, evaluate: Evaluate, ...inputs: readonly Compiled[]): Compiled {
  return folded({ type, evaluate, isConstant: inputs.every(({ isConstant }) => isConstant) });
}

function typeOf(node: TreeNode): EngineType {
  const name = isNode(node.return_type) ? String(node.return_type.id) : 'unknown';
  return readType(node.return_type) ?? refuse(`the type ${name}`);
}

function constant({ value: held }: TreeNode): Compiled {
  const type = (isNode(held) && readType(held.type)) || refuse('this constant');
  const value = (held as TreeNode).is_null === true ? null : constantValue(type, (held as TreeNode).value);
  return { type, evaluate: () => value, isConstant: true };
}

function constantValue(type: EngineType, value: unknown): Value {
  switch (type.id) {
    case 'BOOLEAN':
    case 'VARCHAR':
      return typeof value === 'boolean' || typeof value === 'string' ? value : refuse('this constant');
    case 'DECIMAL':
      return wholeNumber(value);
    case 'DOUBLE':
    case 'FLOAT': {
      const number = Number(numberOf(value));
      return Number.isFinite(number) ? number : refuse('this constant');
    }
    default:
      if (isBig(type)) return wholeNumber(value);
      return isInteger(type) ? Number(numberOf(value)) : refuse(`a constant of type ${type.id}`);
  }
}

/** Integers of 128 bits are written in two halves. */
function wholeNumber(value: unknown): bigint {
  if (!isNode(value) || !('upper' in value)) return BigInt(numberOf(value));
  return (BigInt(numberOf(value.upper)) << 64n) + BigInt(numberOf(value.lower));
}

function compileCast(node: TreeNode, child: Compiled): Compiled {
  const type = typeOf(node);
  if (type.id === 'INTERVAL' && child.type.id === 'VARCHAR') return made(type, textInterval(child), child);
  return made(type, cast(child, type, node.try_cast === true), child);
}

function between(node: TreeNode, input: Compiled, lower: Compiled, upper: Compiled): Compiled {
  const above = node.lower_inclusive === true ? 'COMPARE_GREATERTHANOREQUALTO' : 'COMPARE_GREATERTHAN';
  const below = node.upper_inclusive === true ? 'COMPARE_LESSTHANOREQUALTO' : 'COMPARE_LESSTHAN';
  const parts = [
    made(boolean, comparison(above, input, lower), input, lower),
    made(boolean, comparison(below, input, upper), input, upper),
  ];
  return made(boolean, conjunction('CONJUNCTION_AND', parts), ...parts);
}

/** Evaluates every part, as DuckDB does: one that fails makes the row bad, whatever the others give. */
function conjunction(kind: string, parts: readonly Compiled[]): Evaluate {
  const decisive = kind === 'CONJUNCTION_OR';
  const evaluates = parts.map(({ evaluate }) => evaluate);
  return (row) => {
    let result: boolean | null = !decisive;
    for (const evaluate of evaluates) {
      const value = evaluate(row);
      if (value === decisive) result = decisive;
      else if (value === null && result !== decisive) result = null;
    }
    return result;
  };
}

function operator(node: TreeNode, args: readonly Compiled[]): Compiled {
  const [first] = args;
  const one = first?.evaluate ?? refuse('this operator');
  switch (node.type) {
    case 'OPERATOR_NOT':
      return made(boolean, (row) => ((value) => (value === null ? null : !value))(one(row)), ...args);
    case 'OPERATOR_IS_NULL':
      return made(boolean, (row) => one(row) === null, ...args);
    case 'OPERATOR_IS_NOT_NULL':
      return made(boolean, (row) => one(row) !== null, ...args);
    case 'COMPARE_IN':
    case 'COMPARE_NOT_IN':
      return made(boolean, membership(args, node.type === 'COMPARE_NOT_IN'), ...args);
    // A compiled expression never fails: DuckDB evaluates the row instead.
    case 'OPERATOR_TRY':
      return made(typeOf(node), one, ...args);
    case 'OPERATOR_COALESCE':
      return made(typeOf(node), coalesce(args), ...args);
    default:
      return refuse(`the operator ${String(node.type)}`);
  }
}

/** Evaluates only the branch that is taken. */
function compileCase(node: TreeNode, compile: (child: unknown) => Compiled): Compiled {
  const checks = children(node.case_checks).map((check) => ({
    when: compile(check.when_expr),
    value: compile(check.then_expr),
  }));
  const otherwise = compile(node.else_expr);
  const branches = checks.map(({ when, value }) => [when.evaluate, value.evaluate] as const);
  const evaluate: Evaluate = (row) => {
    for (const [when, value] of branches) if (when(row) === true) return value(row);
    return otherwise.evaluate(row);
  };
  return made(typeOf(node), evaluate, otherwise, ...checks.flatMap(({ when, value }) => [when, value]));
}

function compileFunction(node: TreeNode, args: readonly Compiled[]): Compiled {
  const name = String(node.name);
  const build = functions.get(name);
  if (!build) return refuse(`the function ${name}`);
  const type = typeOf(node);
  return made(type, build(args, type), ...args);
}

/** Runs compiled functions. Starts DuckDB only for the first row that these cannot decide. */
export class CompiledTransform implements Transform {
  readonly #select: CompiledSelect;
  readonly bytesFor: RowMemory | undefined;
  readonly #open: () => Promise<EngineTransform>;
  #engine: Promise<EngineTransform> | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(insert: EngineInsert & { select: { plan: BoundPlan } }, options: TransformOptions) {
    const { plan } = insert.select;
    this.#select = compilePlan(plan, insert.sink.schema.fields ?? []);
    this.bytesFor = growingMemory(plan);
    this.#open = async () => {
      const engine = await import('../engine/transform.ts');
      return engine.EngineTransform.open(insert, options);
    };
  }

  run(rows: readonly Row[]): Transformed | Promise<Transformed> {
    const result: Transformed = { rows: [], origin: [], bad: [] };
    const deferred: number[] = [];
    for (let index = 0; index < rows.length; index++) {
      const row = rows[index] as Row;
      try {
        // DuckDB's transform decides about a row that may need much memory.
        if (this.bytesFor !== undefined && this.bytesFor(row) > sharedBytes) defer();
        const made = this.#select(row);
        if (made === undefined) continue;
        result.rows.push(made);
        result.origin.push(index);
      } catch (error) {
        if (error !== deferral) throw error;
        deferred.push(index);
      }
    }
    if (deferred.length === 0) return result;
    const completed = this.#complete(rows, deferred, result);
    this.#last = completed.catch(() => undefined);
    return completed;
  }

  async close(): Promise<void> {
    await this.#last;
    const engine = await this.#engine?.catch(() => undefined);
    await engine?.close();
  }

  /** Adds DuckDB's results for some of the rows, in the order of the input. */
  async #complete(
    rows: readonly Row[],
    deferred: readonly number[],
    done: Transformed,
  ): Promise<Transformed> {
    const engine = await this.#started();
    const added = await engine.run(deferred.map((index) => rows[index] as Row));
    const all = [
      ...done.rows.map((row, position) => ({ row, origin: done.origin[position] as number })),
      ...added.rows.map((row, position) => ({
        row,
        origin: deferred[added.origin[position] as number] as number,
      })),
    ].sort((one, other) => one.origin - other.origin);
    return {
      rows: all.map(({ row }) => row),
      origin: all.map(({ origin }) => origin),
      bad: added.bad.map(({ index, error }) => ({ index: deferred[index] as number, error })),
    };
  }

  #started(): Promise<EngineTransform> {
    this.#engine ??= this.#open().catch((error: unknown) => {
      // The next call tries again.
      this.#engine = undefined;
      throw error;
    });
    return this.#engine;
  }
}
