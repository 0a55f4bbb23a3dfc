import type { Row } from '../../formats/format.ts';
import type { EngineTransform } from '../engine/engine-transform.ts';
import type { Select, TableDefinition } from '../plan.ts';
import type { Transform, Transformed, TransformOptions } from '../transform.ts';
import { type CompiledSelect, compilePlan } from './compile-plan.ts';
import { deferral } from './evaluate.ts';

/** A transform in plain JavaScript. DuckDB is started only for the first row it has to answer for. */
export class CompiledTransform implements Transform {
  readonly #select: CompiledSelect;
  readonly #open: () => Promise<EngineTransform>;
  #engine: Promise<EngineTransform> | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    source: TableDefinition,
    sink: Pick<TableDefinition, 'schema'>,
    select: Select & { kind: 'compiled' },
    options: TransformOptions,
  ) {
    this.#select = compilePlan(select.plan, sink.schema.fields ?? []);
    this.#open = async () => {
      const engine = await import('../engine/engine-transform.ts');
      return engine.EngineTransform.open(source, sink, select, options);
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
      const made = this.#try(row);
      if (made === deferral) deferred.push(index);
      else if (made !== undefined) {
        result.rows.push(made as Row);
        result.origin.push(index);
      }
    }
    return deferred.length === 0 ? result : this.#complete(rows, deferred, result);
  }

  async close(): Promise<void> {
    await this.#last;
    const engine = await this.#engine?.catch(() => undefined);
    await engine?.close();
  }

  #try(row: Row): Row | typeof deferral | undefined {
    try {
      return this.#select(row);
    } catch (error) {
      if (error === deferral) return deferral;
      throw error;
    }
  }

  /** Adds what DuckDB answers for some of the rows, each where it belongs. */
  async #complete(
    rows: readonly Row[],
    deferred: readonly number[],
    done: Transformed,
  ): Promise<Transformed> {
    const engine = await this.#started();
    const answer = await engine.run(deferred.map((index) => rows[index] as Row));
    const origins = answer.origin.map((index) => deferred[index] as number);
    const bad = answer.bad.map(({ index, error }) => ({ index: deferred[index] as number, error }));
    const merged: Transformed = { rows: [], origin: [], bad };
    let next = 0;
    for (const [position, origin] of [...done.origin, rows.length].entries()) {
      for (; next < origins.length && (origins[next] as number) < origin; next += 1) {
        merged.rows.push(answer.rows[next] as Row);
        merged.origin.push(origins[next] as number);
      }
      if (position === done.origin.length) break;
      merged.rows.push(done.rows[position] as Row);
      merged.origin.push(origin);
    }
    return merged;
  }

  #started(): Promise<EngineTransform> {
    this.#engine ??= this.#open().catch((error: unknown) => {
      // The next one tries again.
      this.#engine = undefined;
      throw error;
    });
    return this.#engine;
  }
}
