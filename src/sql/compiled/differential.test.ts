import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { condition, everyForm, expression } from '../../../test/support/arbitrary-expressions.ts';
import { edgeRows, fields, rows } from '../../../test/support/arbitrary-sql-rows.ts';
import { exampleCatalog, storedTable } from '../../../test/support/example-catalog.ts';
import { PenstockError } from '../../errors.ts';
import type { Row } from '../../formats/format.ts';
import { compileQuery } from '../compile.ts';
import { openTransform } from '../open-transform.ts';
import { isNode, type TreeNode } from '../parse-tree.ts';
import type { InsertPlan, Select } from '../plan.ts';
import type { Transformed } from '../transform.ts';
import { compilePlan } from './compile-plan.ts';
import { deferral } from './evaluate.ts';
import { functions } from './functions.ts';

/**
 * Compiled expressions against DuckDB: the same rows, the same answers, the same rows that fail. With PENSTOCK_SOAK=1
 * it goes on for PENSTOCK_SOAK_MINUTES with random seeds.
 */

const sink = "CREATE TABLE o WITH (connector = 'mqtt', type = 'sink', topic = 'o', format = 'json');\n";
const catalog = exampleCatalog(storedTable('r', 'source', fields));

/** Undefined when the query is refused: not every expression that is made up has a meaning. */
async function planned(select: string, where: string | null): Promise<InsertPlan | undefined> {
  const condition = where === null ? '' : ` WHERE ${where}`;
  try {
    const plan = await compileQuery(`${sink}INSERT INTO o ${select} FROM r${condition}`, catalog);
    return plan.inserts[0];
  } catch (error) {
    if (error instanceof PenstockError && error.code === 'invalid_query') return undefined;
    throw error;
  }
}

async function transformed(insert: InsertPlan, input: Row[]): Promise<Transformed> {
  const transform = await openTransform(insert);
  try {
    return await transform.run(input);
  } finally {
    await transform.close();
  }
}

/** How often each construct was in a row that the compiled expression answered without DuckDB. */
const answered = new Map<string, number>();
const tally = { refused: 0, inEngine: 0, compiled: 0, rows: 0, deferred: 0 };

/** Holds one SELECT over some rows to the same answers both ways; answers whether it was compiled. */
async function compare(select: string, where: string | null, input: Row[]): Promise<boolean> {
  const insert = await planned(select, where);
  if (!insert) tally.refused += 1;
  else if (insert.select.kind !== 'compiled') tally.inEngine += 1;
  if (insert?.select.kind !== 'compiled') return false;
  tally.compiled += 1;
  const { plan } = insert.select;
  const inEngine: Select = { ...insert.select, kind: 'sql', because: 'the test' };
  const wanted = await transformed({ ...insert, select: inEngine }, input);
  expect(await transformed(insert, input)).toEqual(wanted);
  compareRows(
    compilePlan(plan, insert.sink.schema.fields ?? []),
    new Set(constructs(plan.steps)),
    wanted,
    input,
  );
  return true;
}

/** The same without DuckDB to fall back on. */
function compareRows(
  run: ReturnType<typeof compilePlan>,
  names: ReadonlySet<string>,
  wanted: Transformed,
  input: Row[],
): void {
  for (const [index, row] of input.entries()) {
    tally.rows += 1;
    const position = wanted.origin.indexOf(index);
    let made: Row | undefined;
    try {
      made = run(row);
    } catch (error) {
      if (error !== deferral) throw error;
      tally.deferred += 1;
      continue;
    }
    expect(made).toEqual(position < 0 ? undefined : wanted.rows[position]);
    expect(wanted.bad.map((bad) => bad.index)).not.toContain(index);
    for (const name of names) answered.set(name, (answered.get(name) ?? 0) + 1);
  }
}

/** The names of the constructs in a plan, e.g. `lower`, `COMPARE_IN`, `VARCHAR to DOUBLE`. */
function constructs(part: unknown): string[] {
  if (Array.isArray(part)) return part.flatMap(constructs);
  if (!isNode(part)) return [];
  return [...construct(part), ...Object.values(part).flatMap(constructs)];
}

function construct(node: TreeNode): string[] {
  if (node.expression_class === 'BOUND_FUNCTION') return [String(node.name)];
  if (node.expression_class !== 'BOUND_CAST') return node.expression_class ? [String(node.type)] : [];
  return [`${typeName(node.child)} to ${typeName(node)}`];
}

function typeName(node: unknown): string {
  const type = isNode(node) ? (isNode(node.value) ? node.value.type : node.return_type) : undefined;
  return isNode(type) ? String(type.id) : 'a condition';
}

const soak = process.env.PENSTOCK_SOAK === '1';
const soakMs = Number(process.env.PENSTOCK_SOAK_MINUTES ?? 10) * 60_000;
const length = soak ? { numRuns: 10_000_000, interruptAfterTimeLimit: soakMs } : { numRuns: 15 };

describe('compiled expressions and DuckDB', () => {
  test('agree on every form, over rows full of edges', async () => {
    const seed = soak ? Date.now() : 5115;
    const [input = []] = fc.sample(rows, { numRuns: 1, seed });
    const forms = everyForm(seed);
    // Some at once: DuckDB works in threads of its own.
    const next = forms.values();
    const work = async () => {
      for (const form of next) await compare(`SELECT ${form} AS c`, null, [...edgeRows, ...input]);
    };
    await Promise.all([work(), work(), work(), work()]);
  });

  test('agree on any expression, filter and rows', { timeout: soakMs + 300_000 }, async () => {
    const cases = fc.tuple(
      fc.array(expression, { minLength: 1, maxLength: 2 }),
      fc.option(condition, { freq: 3 }),
      rows,
    );
    const property = fc.asyncProperty(cases, async ([columns, where, input]) => {
      const list = columns.map((column, index) => `${column} AS c${index}`).join(', ');
      await compare(`SELECT ${list}`, where, input);
    });
    await fc.assert(property, length);
  });

  test('have both met each thing that is compiled, most of it without falling back', () => {
    const kinds = [
      ...['EQUAL', 'NOTEQUAL', 'LESSTHAN', 'GREATERTHAN', 'LESSTHANOREQUALTO', 'GREATERTHANOREQUALTO'],
      ...['DISTINCT_FROM', 'NOT_DISTINCT_FROM', 'IN', 'NOT_IN'],
    ].map((name) => `COMPARE_${name}`);
    const operators = ['NOT', 'IS_NULL', 'IS_NOT_NULL', 'COALESCE'].map((name) => `OPERATOR_${name}`);
    const others = [
      'CASE_EXPR',
      'CONJUNCTION_AND',
      'CONJUNCTION_OR',
      'VARCHAR to INTEGER',
      'DOUBLE to DECIMAL',
    ];
    const wanted = [...functions.keys(), ...kinds, ...operators, ...others];
    expect(wanted.filter((name) => !answered.has(name))).toEqual([]);
    expect(tally.compiled).toBeGreaterThan(tally.inEngine);
    expect(tally.deferred).toBeLessThan(tally.rows / 2);
  });
});
