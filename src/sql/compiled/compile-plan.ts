import type { Row, Value } from '../../formats/format.ts';
import type { Field } from '../../formats/schema/schema.ts';
import { getterOf, setterOf } from '../../formats/values/own-property.ts';
import type { BoundColumn, BoundPlan } from '../bound-plan.ts';
import { readType } from './engine-type.ts';
import { type Compiled, defer, type Evaluate, refuse } from './evaluate.ts';
import { compileExpression } from './expression.ts';
import { fromRow, toRow } from './row-values.ts';

/**
 * A whole SELECT in plain JavaScript: a row of the source becomes a row of the sink, or undefined when it is
 * filtered out. Throws `deferral` for a row that DuckDB has to answer for.
 */
export type CompiledSelect = (row: Row) => Row | undefined;

/** Compiles a plan whose first output column is the number of the row. Throws `NotCompiled`. */
export function compilePlan({ columns, steps }: BoundPlan, sink: readonly Field[]): CompiledSelect {
  let compiled: readonly Compiled[] = columns.map(inputColumn);
  const filters: Evaluate[] = [];
  for (const { kind, expressions } of steps) {
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

function inputColumn({ name, type: node }: BoundColumn): Compiled {
  const type = readType(node) ?? refuse(`the type of the column ${name}`);
  const get = getterOf(name);
  const convert = fromRow(type) ?? (type.id === 'VARCHAR' ? wellFormed : undefined);
  const evaluate: Evaluate = convert
    ? (row) => convert((get(row) ?? null) as Value)
    : (row) => (get(row) ?? null) as Value;
  return { type, evaluate, isConstant: false };
}

/** DuckDB holds texts in UTF-8, which has no half of a surrogate pair. */
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
