import type { DuckDBConnection } from '@duckdb/node-api';
import { type Diagnostic, diagnosticsOf, Findings } from './diagnostic.ts';
import { graphOf, operatorId } from './graph.ts';
import type { Catalog, InsertPlan, Plan, PreviewPlan } from './plan.ts';
import type { SelectPlan } from './select.ts';
import { type Insert, readStatements } from './statements.ts';
import { Tables } from './tables.ts';
import type { Identifier } from './token-reader.ts';
import { Views } from './views.ts';
import { planWholeRows } from './whole-rows.ts';

/**
 * Turns a query into a plan. Throws `invalid_query` with one entry of `errors` for everything that is wrong, all
 * with the path `/query`; `diagnosticsOf` answers the same with their places. What the catalog throws for reasons
 * that are not the query's, such as a database that does not answer, comes through unchanged.
 */
export async function compileQuery(query: string, catalog: Catalog): Promise<Plan> {
  const reading = await Reading.start(query, catalog, false);
  const inserts: InsertPlan[] = [];
  for (const insert of reading.inserts) inserts.push(await reading.plan(insert, inserts));
  return planOf(inserts);
}

/**
 * Turns a query into what a preview runs: each of its SELECTs, with the columns it answers; a SELECT may stand alone.
 * An INSERT is previewed as the SELECT it has, and its sink is not looked at. Throws as `compileQuery` does.
 */
export async function compilePreview(query: string, catalog: Catalog): Promise<PreviewPlan[]> {
  const reading = await Reading.start(query, catalog, true);
  const previews: PreviewPlan[] = [];
  for (const insert of reading.inserts) previews.push(await reading.preview(insert, previews.length));
  return previews;
}

/** Compiles a query and answers what is wrong with it instead of throwing that. */
export async function diagnose(
  query: string,
  catalog: Catalog,
): Promise<{ plan: Plan } | { diagnostics: Diagnostic[] }> {
  try {
    return { plan: await compileQuery(query, catalog) };
  } catch (error) {
    const diagnostics = diagnosticsOf(error);
    if (!diagnostics) throw error;
    return { diagnostics };
  }
}

/** A query whose tables and views are known. */
class Reading {
  readonly query: string;
  readonly findings: Findings;
  readonly tables: Tables;
  readonly views = new Views();
  readonly inserts: readonly Insert[];

  readonly #hasViews: boolean;

  private constructor(
    query: string,
    findings: Findings,
    tables: Tables,
    inserts: readonly Insert[],
    hasViews: boolean,
  ) {
    this.#hasViews = hasViews;
    this.query = query;
    this.findings = findings;
    this.tables = tables;
    this.inserts = inserts;
  }

  static async start(query: string, catalog: Catalog, preview: boolean): Promise<Reading> {
    const findings = new Findings(query);
    const { tables, views, inserts } = readStatements(query, preview, findings);
    if (inserts.length === 0) {
      const missing = preview ? 'a SELECT is missing' : 'an INSERT INTO … SELECT is missing';
      findings.stop(`The query writes nothing; ${missing}`);
    }
    const reading = new Reading(query, findings, new Tables(catalog, findings), inserts, views.length > 0);
    for (const statement of tables) await reading.tables.create(statement);
    for (const view of views) {
      const { planView } = await import('./select.ts');
      await connected((connection) => planView(connection, view, reading, findings));
    }
    return reading;
  }

  async plan(insert: Insert, before: readonly InsertPlan[]): Promise<InsertPlan> {
    const { sink, ...select } = insert;
    // `readStatements` lets a SELECT stand alone for previews only.
    if (!sink) return this.findings.stop('The rows of this SELECT go nowhere', select.select);
    const plan = await this.#planned({ sink, ...select });
    const twins = before.filter((other) => other.sink.name === plan.sink.name);
    const writer = twins.length === 0 ? plan.sink.name : nameAgain(plan, twins);
    const reads = before.some(({ source }) => source.name === plan.source.name);
    const operatorIds = {
      source: operatorId('source', reads ? `${plan.source.name} for ${writer}` : plan.source.name),
      transform: operatorId('transform', writer),
      sink: operatorId('sink', writer),
    };
    return { ...plan, operatorIds };
  }

  async #planned(insert: Insert & { sink: Identifier }): Promise<SelectPlan> {
    // A view may have the name of a table.
    const whole = this.#hasViews ? undefined : await planWholeRows(insert, this.tables, this.findings);
    if (whole) return whole;
    const { planSelect } = await import('./select.ts');
    return connected((connection) => planSelect(connection, insert, this, this.findings));
  }

  async preview(insert: Insert, position: number): Promise<PreviewPlan> {
    const { planPreview } = await import('./select.ts');
    return connected(async (connection) => {
      const plan = await planPreview(connection, insert, this, this.findings);
      const operatorIds = {
        source: operatorId('source', plan.source.name),
        transform: operatorId('transform', `preview ${position}`),
      };
      return { ...plan, operatorIds };
    });
  }
}

/** A name for a further insert into a sink: a broker would drop one of two clients of the same name. */
function nameAgain(plan: Pick<InsertPlan, 'sink' | 'source'>, twins: readonly InsertPlan[]): string {
  const same = twins.filter(({ source }) => source.name === plan.source.name).length;
  return `${plan.sink.name} from ${plan.source.name}${same > 0 ? ` ${same + 1}` : ''}`;
}

/**
 * With DuckDB, which the first query that needs it loads, and a connection of its own, as temporary tables are left
 * behind.
 */
async function connected<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
  const { connectEngine } = await import('./engine/engine.ts');
  const connection = await connectEngine();
  try {
    return await work(connection);
  } finally {
    connection.closeSync();
  }
}

function planOf(inserts: InsertPlan[]): Plan {
  const tables = new Map(
    inserts.flatMap(({ source, sink }) => [source, sink]).map((table) => [table.name, table]),
  );
  return { tables: [...tables.values()], inserts, graph: graphOf(inserts) };
}
