import type { Row, Value } from '../../formats/format.ts';
import type { EngineType } from './engine-type.ts';

/** Evaluates an expression over one row of the source. Throws `deferral` if only DuckDB can decide the result. */
export type Evaluate = (row: Row) => Value;

export interface Compiled {
  type: EngineType;
  evaluate: Evaluate;
  isConstant: boolean;
}

/** Compiles a call of a function, from its arguments and the type that DuckDB gives the result. */
export type Build = (args: readonly Compiled[], type: EngineType) => Evaluate;

/**
 * Thrown for a row whose result may differ from DuckDB's: an overflow, a text that may not be a number, a case mapping
 * beyond ASCII. DuckDB then evaluates the row, so compiled expressions never decide that a row is bad. One object for
 * all, because a stack trace costs more than the row.
 */
export const deferral = new Error('DuckDB must evaluate this row');

export function defer(): never {
  throw deferral;
}

/** Thrown while compiling, for an expression that only DuckDB evaluates. */
export class NotCompiled extends Error {
  /** The part that is not compiled, e.g. `the function regexp_matches`. */
  readonly what: string;

  constructor(what: string) {
    super(`${what} is not compiled`);
    this.what = what;
  }
}

export function refuse(what: string): never {
  throw new NotCompiled(what);
}

/** A function of one to three values that is NULL if any of them is. All are evaluated, as in DuckDB. */
export function strict(
  [first, second, third]: readonly Compiled[],
  work: (a: never, b: never, c: never) => Value,
): Evaluate {
  const apply = work as unknown as (a: Value, b?: Value, c?: Value) => Value;
  const [a, b, c] = [first?.evaluate, second?.evaluate, third?.evaluate];
  if (!a) return () => apply(null);
  if (!b)
    return (row) => {
      const one = a(row);
      return one === null ? null : apply(one);
    };
  if (!c)
    return (row) => {
      const one = a(row);
      const other = b(row);
      return one === null || other === null ? null : apply(one, other);
    };
  return (row) => {
    const one = a(row);
    const other = b(row);
    const last = c(row);
    return one === null || other === null || last === null ? null : apply(one, other, last);
  };
}

const noRow: Row = {};

export function constantValue(compiled: Compiled | undefined, what: string): Value {
  if (!compiled?.isConstant) return refuse(what);
  return compiled.evaluate(noRow);
}

/** The expression itself, evaluated once if it is constant. */
export function folded(compiled: Compiled): Compiled {
  if (!compiled.isConstant) return compiled;
  try {
    const value = compiled.evaluate(noRow);
    return { ...compiled, evaluate: () => value };
  } catch (error) {
    if (error === deferral) return refuse(`a constant of type ${compiled.type.id} in an unusual notation`);
    throw error;
  }
}

/** Evaluates nothing after the first value. */
export function coalesce(args: readonly Compiled[]): Evaluate {
  return (row) => {
    for (const { evaluate } of args) {
      const value = evaluate(row);
      if (value !== null) return value;
    }
    return null;
  };
}
