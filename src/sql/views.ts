import type { DuckDBConnection } from '@duckdb/node-api';
import type { Field } from '../formats/schema/schema.ts';
import { sqlType } from '../formats/schema/sql-type.ts';
import { analyse, chain, type Query, textOf, type View } from './analysis.ts';
import { noCost } from './cost.ts';
import type { Expression } from './create-table.ts';
import { describe, engineError, withTimeLimit } from './engine/connection.ts';
import { fieldTypeOf } from './engine/values.ts';
import { createTableStatement, engineTypeName, isAssignable } from './field-types.ts';
import { findDuplicate, findNamed, isSameName, quoteName } from './names.ts';
import type { TableDefinition } from './plan.ts';
import { type AnyAnalysis, analyseAny } from './stateful/stateful.ts';
import type { CreateView, Insert } from './statements.ts';
import type { Computed } from './tables.ts';
import type { Identifier } from './token-reader.ts';
import { computedPrefix } from './type-check.ts';

/** Statements that are planned as a view: `CREATE VIEW`, a memory table with the INSERT that fills it, and computed columns. */

export async function planView(
  connection: DuckDBConnection,
  statement: CreateView,
  query: Query,
): Promise<void> {
  const analysis = await analyseAny(connection, statement, query);
  const { source, output, view, cost, places, columns } = analysis;
  const { views, findings } = query;
  const duplicate = findDuplicate(output);
  if (duplicate)
    findings.stop(`The view has two columns called ${duplicate[1]}; rename one with AS`, places.at(0));
  const { name } = statement;
  if (findNamed(views, { ...name, exact: false }))
    findings.stop(`The query creates two views called ${name.text}`, name);
  if (isSameName(name.text, source.name))
    findings.stop('A view must not have the name of the table it reads; choose another name', name);
  views.set(name.text, { name: name.text, ...textFor(analysis), columns, cost, below: chain(view), source });
}

/** Plans `INSERT INTO memory_table SELECT …`: the table is a view of that SELECT, with its own names and types. */
export async function planMemory(
  connection: DuckDBConnection,
  insert: Insert & { sink: Identifier },
  query: Query,
): Promise<void> {
  const { tables, views, findings } = query;
  const { name, fields } = tables.memory(insert.sink);
  if (views.has(name)) {
    const message = `The memory table ${name} is written twice; create one memory table for each INSERT`;
    findings.stop(message, insert.sink);
  }
  const analysis = await analyseAny(connection, insert, query);
  const { source, output, view, cost, places } = analysis;
  if (output.length !== fields.length)
    findings.stop(
      `The SELECT has ${output.length} columns, but the memory table has ${fields.length}`,
      insert.sink,
    );
  const duplicate = findDuplicate(output);
  if (duplicate)
    findings.stop(`The SELECT has two columns called ${duplicate[1]}; rename one with AS`, places.at(0));
  const columns = output.map((column, index) => {
    const field = fields[index] as Field;
    const from = fieldTypeOf(column.type);
    if (!from || !isAssignable(from, field)) {
      const given = from ? sqlType(from) : String(column.type);
      const message = `${column.name} is ${given}, but the column ${field.name} of ${name} is ${sqlType(field)}`;
      findings.add(`${message}; write CAST(… AS ${engineTypeName(field)})`, places.at(0));
    }
    return `CAST(${quoteName(column.name)} AS ${engineTypeName(field)}) AS ${quoteName(field.name)}`;
  });
  findings.settle();
  const written = textFor(analysis);
  const rest = { cost, source };
  const inner: View = { name: `__memory_${name}`, ...written, ...rest, columns: output, below: chain(view) };
  const outer = `SELECT ${columns.join(', ')} FROM ${quoteName(inner.name)}`;
  views.set(name, { name, ...written, ...rest, text: outer, columns: fields, below: chain(inner) });
}

/** The SELECT of a view: for many rows as it was written, as it is inserted where the view is read. */
const textFor = (analysis: AnyAnalysis): Pick<View, 'text' | 'manyRows'> =>
  analysis.draft ? { text: analysis.given, manyRows: true } : { text: analysis.text };

/** Plans the view that adds the computed columns of a source to those of its messages, and checks its watermark. */
export async function planComputed(
  connection: DuckDBConnection,
  { source, columns, watermark }: Computed,
  query: Query,
): Promise<void> {
  const { findings, computed } = query;
  let cost = noCost;
  const list: string[] = [];
  for (const { field, expression } of columns) {
    const shown = quoteName(field.name);
    if (!expression) {
      list.push(shown);
      continue;
    }
    const analysis = await analyseExpression(connection, source, expression, query);
    const { nodes, growth } = analysis.cost;
    cost = { nodes: Math.max(cost.nodes, nodes), growth: Math.max(cost.growth, growth) };
    const value = `CAST((${textOf({ select: expression }, query)}) AS ${engineTypeName(field)})`;
    list.push(`${field.required ? notNull(value, field) : value} AS ${shown}`);
  }
  const [first] = columns.flatMap(({ expression }) => (expression ? [expression] : []));
  if (first) {
    const text = `SELECT ${list.join(', ')} FROM ${quoteName(source.name)}`;
    const name = `${computedPrefix}${source.name}`;
    const names = columns.map(({ field }) => field);
    await connection.run(createTableStatement(source.name, source.schema.fields ?? []));
    await withTimeLimit(connection, () => describe(connection, text)).catch((error: unknown) => {
      findings.stop(engineError(error).message.split('\n')[0] ?? '', first);
    });
    computed.set(source.name, { name, shownAs: source.name, text, columns: names, cost, below: [], source });
  }
  if (!watermark) return;
  const { output } = await analyseExpression(connection, source, watermark, query);
  if (output[0] && fieldTypeOf(output[0].type)?.type !== 'timestamp')
    findings.stop('A watermark must be a timestamp', watermark);
}

/** A row without the value is bad, like a message without a column that is NOT NULL. */
function notNull(value: string, { name }: Field): string {
  return `COALESCE(${value}, error('The computed column ${name.replaceAll("'", "''")} is null'))`;
}

/** Checks an expression of a CREATE TABLE as if it were in a SELECT from the table. */
function analyseExpression(
  connection: DuckDBConnection,
  source: TableDefinition,
  expression: Expression,
  query: Query,
) {
  const [before, after] = ['SELECT ', ` FROM ${quoteName(source.name)}`];
  const text = `${before}${textOf({ select: expression }, query)}${after}`;
  return analyse(connection, { select: expression, tokens: expression.tokens }, query, {
    text,
    skipped: before.length,
  });
}
