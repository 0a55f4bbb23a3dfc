import { compileQuery, diagnose } from '../../src/sql/compile.ts';
import type { Catalog } from '../../src/sql/plan.ts';
import { exampleCatalog, storedTable } from './example-catalog.ts';

/** Stored tables for tests of queries, and helpers that compile a query over them. */

export const readings = storedTable('readings', 'source', [
  { name: 'id', type: 'int64', required: true },
  { name: 'name', type: 'string' },
  { name: 'celsius', type: 'float64' },
  { name: 'tags', type: 'list', items: { type: 'string' } },
  { name: 'place', type: 'struct', fields: [{ name: 'room', type: 'string' }] },
  { name: 'raw', type: 'json' },
]);
export const alerts = storedTable('alerts', 'sink', [
  { name: 'id', type: 'int64', required: true },
  { name: 'celsius', type: 'float64' },
]);
export const anything =
  "CREATE TABLE copy WITH (connector = 'mqtt', type = 'sink', topic = 'copy', format = 'json');\n";

export function stored(): ReturnType<typeof exampleCatalog> {
  return exampleCatalog(readings, alerts);
}

export async function planned(query: string, catalog: Catalog = stored()) {
  const plan = await compileQuery(query, catalog);
  const [insert] = plan.inserts;
  if (!insert) throw new Error('no insert');
  return { plan, insert };
}

export async function refusal(query: string, catalog: Catalog = stored()) {
  const result = await diagnose(query, catalog);
  if ('plan' in result) throw new Error('the query was accepted');
  return result.diagnostics;
}

/** Creates its own tables, and copies one to the other. */
export const seed = `CREATE TABLE mqtt_input (value TEXT) WITH (connector = 'mqtt', url = 'mqtt://localhost:1883',
  topic = 'sensor/data', type = 'source', format = 'json');
CREATE TABLE mqtt_output (value TEXT) WITH (connector = 'mqtt', url = 'mqtt://localhost:1883',
  topic = 'sensor/out', type = 'sink', format = 'json', qos = 1);
INSERT INTO mqtt_output SELECT value FROM mqtt_input;`;
