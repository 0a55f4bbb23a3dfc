import type { Row, Value } from '../../formats/format.ts';
import type { EngineType } from './engine-type.ts';

/** Evaluates an expression over one row of the source. Throws `deferral` where only DuckDB knows the answer. */
export type Evaluate = (row: Row) => Value;

/** An expression that has been compiled. */
export interface Compiled {
  type: EngineType;
  evaluate: Evaluate;
  /** Whether it is the same for every row. */
  isConstant: boolean;
}

/**
 * Thrown when a row leaves what the compiled expression answers exactly as DuckDB does: an overflow, a text that
 * may not be a number, a case mapping beyond ASCII. DuckDB then answers for this row, so that compiled expressions
 * never decide that a row is bad. One object for all, since making a stack trace costs more than the row.
 */
export const deferral = new Error('DuckDB has to answer for this row');

export function defer(): never {
  throw deferral;
}

/** Thrown while compiling: the expression uses something that only DuckDB evaluates. */
export class NotCompiled extends Error {
  /** What it is, e.g. `the function regexp_matches`. */
  readonly what: string;

  constructor(what: string) {
    super(`${what} is not compiled`);
    this.what = what;
  }
}

export function refuse(what: string): never {
  throw new NotCompiled(what);
}

/** A function of one to three values that answers NULL when any of them is. All are evaluated, as DuckDB does. */
export function strict(
  [first, second, third]: readonly Compiled[],
  work: (a: never, b: never, c: never) => Value,
): Evaluate {
  const apply = work as unknown as (a: Value, b?: Value, c?: Value) => Value;
  const [a, b, c] = [first?.evaluate, second?.evaluate, third?.evaluate];
  if (!a) return () => apply(null);
  if (!b) {
    return (row) => {
      const one = a(row);
      return one === null ? null : apply(one);
    };
  }
  if (!c) {
    return (row) => {
      const one = a(row);
      const other = b(row);
      return one === null || other === null ? null : apply(one, other);
    };
  }
  return (row) => {
    const one = a(row);
    const other = b(row);
    const last = c(row);
    return one === null || other === null || last === null ? null : apply(one, other, last);
  };
}

const nobody: Row = {};

/** The value of a constant. */
export function constantValue(compiled: Compiled | undefined, what: string): Value {
  if (!compiled?.isConstant) return refuse(what);
  return compiled.evaluate(nobody);
}

/** The same expression, evaluated once if it is the same for every row. */
export function folded(compiled: Compiled): Compiled {
  if (!compiled.isConstant) return compiled;
  try {
    const value = compiled.evaluate(nobody);
    return { ...compiled, evaluate: () => value };
  } catch (error) {
    if (error === deferral) return refuse(`a constant of type ${compiled.type.id} that is written unusually`);
    throw error;
  }
}
