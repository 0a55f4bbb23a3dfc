import type { Row } from '../../formats/format.ts';
import type { EngineInsert, EngineTransform } from '../engine/transform.ts';
import type { BoundPlan } from '../plan.ts';
import type { Transform, Transformed, TransformOptions } from '../transform.ts';
import { type CompiledSelect, compilePlan } from './compile-plan.ts';
import { deferral } from './evaluate.ts';

/** Runs compiled functions. Starts DuckDB only for the first row that these cannot decide. */
export class CompiledTransform implements Transform {
  readonly #select: CompiledSelect;
  readonly #open: () => Promise<EngineTransform>;
  #engine: Promise<EngineTransform> | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(insert: EngineInsert & { select: { plan: BoundPlan } }, options: TransformOptions) {
    this.#select = compilePlan(insert.select.plan, insert.sink.schema.fields ?? []);
    this.#open = async () => {
      const engine = await import('../engine/transform.ts');
      return engine.EngineTransform.open(insert, options);
    };
  }

  run(rows: readonly Row[]): Promise<Transformed> {
    const result = this.#run(rows);
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #run(rows: readonly Row[]): Promise<Transformed> {
    const result: Transformed = { rows: [], origin: [], bad: [] };
    const deferred: number[] = [];
    for (const [index, row] of rows.entries()) {
      try {
        const made = this.#select(row);
        if (made === undefined) continue;
        result.rows.push(made);
        result.origin.push(index);
      } catch (error) {
        if (error !== deferral) throw error;
        deferred.push(index);
      }
    }
    return deferred.length === 0 ? result : this.#complete(rows, deferred, result);
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
