import type { DuckDBConnection } from '@duckdb/node-api';
import type { Findings } from './diagnostic.ts';
import type { TableDefinition } from './plan.ts';
import { quoteName } from './quote.ts';
import type { CreateView } from './statements.ts';
import type { Identifier } from './token-reader.ts';
import type { Weight } from './weight.ts';

/** A view: a SELECT over one source table, maybe through further views. */
export interface View {
  name: string;
  /** Its SELECT as it is written. */
  text: string;
  columns: readonly { name: string }[];
  weight: Weight;
  /** The views between it and the source, the nearest to the source first. */
  below: readonly View[];
  source: TableDefinition;
}

/** The views that one query creates. */
export class Views {
  readonly #views = new Map<string, View>();

  add(view: View, { name }: CreateView, findings: Findings): void {
    if (this.find({ ...name, exact: false })) {
      findings.stop(`The query creates two views called ${name.text}`, name);
    }
    if (sameName(name.text, view.source.name)) {
      findings.stop(`The view has the name of the table it reads; give it another one`, name);
    }
    this.#views.set(view.name, view);
  }

  find({ text, exact }: Pick<Identifier, 'text' | 'exact'>): View | undefined {
    const same = this.#views.get(text);
    if (same || exact) return same;
    return [...this.#views.values()].find(({ name }) => sameName(name, text));
  }

  names(): string[] {
    return [...this.#views.keys()];
  }
}

function sameName(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

/** The views that a SELECT from this one needs, in the order they are to be created. */
export function chain(view: View | undefined): View[] {
  return view ? [...view.below, view] : [];
}

/** Makes the views known to DuckDB, for this connection alone. */
export async function createViews(connection: DuckDBConnection, views: readonly View[]): Promise<void> {
  for (const { name, text } of views) {
    await connection.run(`CREATE OR REPLACE TEMP VIEW ${quoteName(name)} AS ${text}`);
  }
}
