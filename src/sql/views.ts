import type { DuckDBConnection } from '@duckdb/node-api';
import type { Cost } from './cost.ts';
import type { Findings } from './diagnostic.ts';
import { findNamed, isSameName, quoteName } from './names.ts';
import type { TableDefinition } from './plan.ts';
import type { Identifier } from './token-reader.ts';

/** A view: a SELECT over one source table, possibly through further views. */
export interface View {
  name: string;
  /** Its SELECT as written. */
  text: string;
  columns: readonly { name: string }[];
  cost: Cost;
  /** The views between it and the source, nearest to the source first. */
  below: readonly View[];
  source: TableDefinition;
}

/** The views that one query creates. */
export class Views {
  readonly #views = new Map<string, View>();

  add(view: View, name: Identifier, findings: Findings): void {
    if (findNamed(this.#views, { ...name, exact: false })) {
      findings.stop(`The query creates two views called ${name.text}`, name);
    }
    if (isSameName(name.text, view.source.name)) {
      findings.stop('A view must not have the name of the table it reads; choose another name', name);
    }
    this.#views.set(view.name, view);
  }

  find(name: Pick<Identifier, 'text' | 'exact'>): View | undefined {
    return findNamed(this.#views, name);
  }

  names(): string[] {
    return [...this.#views.keys()];
  }
}

/** The views that a SELECT from this one needs, in the order of their creation. */
export function chain(view: View | undefined): View[] {
  return view ? [...view.below, view] : [];
}

/** Creates the views in DuckDB, for this connection alone. */
export async function createViews(connection: DuckDBConnection, views: readonly View[]): Promise<void> {
  for (const { name, text } of views) {
    await connection.run(`CREATE OR REPLACE TEMP VIEW ${quoteName(name)} AS ${text}`);
  }
}
