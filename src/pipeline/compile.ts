import { type Diagnostic, diagnosticsOf, Findings } from './diagnostic.ts';
import { graphOf, operatorId } from './graph.ts';
import type { Catalog, InsertPlan, Plan } from './plan.ts';
import type { SelectPlan } from './select.ts';
import { type Insert, readStatements } from './statements.ts';
import { Tables } from './tables.ts';
import { planWholeRows } from './whole-rows.ts';

/**
 * Turns a query into a plan. Throws `invalid_query` with one entry of `errors` for everything that is wrong, all
 * with the path `/query`; `diagnosticsOf` answers the same with their places. What the catalog throws for reasons
 * that are not the query's, such as a database that does not answer, comes through unchanged.
 */
export async function compileQuery(query: string, catalog: Catalog): Promise<Plan> {
  const findings = new Findings(query);
  const statements = readStatements(query, findings);
  const insert = onlyInsert(statements.inserts, findings);
  const tables = new Tables(catalog, findings);
  for (const statement of statements.tables) await tables.create(statement);
  return planOf([await planInsert(query, insert, tables, findings)]);
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

function onlyInsert(inserts: readonly Insert[], findings: Findings): Insert {
  const [first, second] = inserts;
  if (!first) return findings.stop('The query writes nothing; an INSERT INTO … SELECT is missing');
  if (second)
    findings.stop('A query has one INSERT INTO; make a pipeline of its own of this one', second.sink);
  return first;
}

async function planInsert(
  query: string,
  insert: Insert,
  tables: Tables,
  findings: Findings,
): Promise<InsertPlan> {
  const plan =
    (await planWholeRows(insert, tables, findings)) ?? (await planInEngine(query, insert, tables, findings));
  const operatorIds = {
    source: operatorId('source', plan.source.name),
    transform: operatorId('transform', plan.sink.name),
    sink: operatorId('sink', plan.sink.name),
  };
  return { ...plan, operatorIds };
}

async function planInEngine(
  query: string,
  insert: Insert,
  tables: Tables,
  findings: Findings,
): Promise<SelectPlan> {
  // DuckDB is loaded by the first query that needs it.
  const [{ connectEngine }, { planSelect }] = await Promise.all([
    import('./engine.ts'),
    import('./select.ts'),
  ]);
  const connection = await connectEngine();
  try {
    return await planSelect(connection, query, insert, tables, findings);
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
