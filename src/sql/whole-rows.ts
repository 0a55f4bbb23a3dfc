import { isDeepStrictEqual } from 'node:util';
import { checkColumnUses } from '../formats/schema/column-use.ts';
import type { Field } from '../formats/schema/schema.ts';
import type { Findings } from './diagnostic.ts';
import { refuseNames } from './field-names.ts';
import type { SelectPlan } from './select.ts';
import type { Insert } from './statements.ts';
import type { Tables } from './tables.ts';
import type { Identifier } from './token-reader.ts';
import type { Token } from './tokens.ts';

/**
 * `INSERT INTO sink SELECT * FROM source` between tables with the same columns, the one query whose meaning needs no
 * engine: a process that runs nothing else never loads DuckDB, which takes 55 MB. Anything else, and any mistake,
 * answers undefined: then DuckDB says what it means or what is wrong with it.
 */
export async function planWholeRows(
  insert: Insert & { sink: Identifier },
  tables: Tables,
  findings: Findings,
): Promise<SelectPlan | undefined> {
  const from = onlyTable(insert.tokens);
  if (!from) return undefined;
  const sink = await tables.named(insert.sink);
  if (sink.direction !== 'sink') return undefined;
  const source = await tables.named(from);
  if (source.direction !== 'source') return undefined;
  const columns = sink.schema.fields ?? [];
  if (columns.length === 0 || !isDeepStrictEqual(shapes(source.schema.fields ?? []), shapes(columns)))
    return undefined;
  if (checkColumnUses(sink.uses ?? [], columns).length > 0) return undefined;
  refuseNames(source, from, findings);
  return { source, sink, select: { kind: 'passthrough' } };
}

/** The table of `SELECT * FROM table`, when that is all there is. */
function onlyTable(tokens: readonly Token[]): Identifier | undefined {
  const [select, star, from, table] = tokens;
  if (tokens.length !== 4 || !table || !isWord(select, 'select') || !isWord(from, 'from')) return undefined;
  if (star?.kind !== 'symbol' || star.text !== '*') return undefined;
  const plain = table.kind === 'word' && /^[a-z_]\w*$/i.test(table.text);
  const exact = table.kind === 'name' && table.text !== '';
  if (!exact && (!plain || reserved.has(table.text.toLowerCase()))) return undefined;
  return { text: table.text, exact, from: table.from, to: table.to };
}

const isWord = (token: Token | undefined, text: string): boolean =>
  token?.kind === 'word' && token.text.toLowerCase() === text;

/** What makes two columns the same. Whether one may be null is the encoder's business. */
function shapes(fields: readonly Field[]): unknown[] {
  return fields.map(({ name, type, unit, precision, scale, fields: members, items }) => [
    name,
    [type, unit, precision, scale],
    members && shapes(members),
    items && shapes([{ ...items, name: '' }]),
  ]);
}

/** Words that are no name of a table without quotes: `duckdb_keywords()`, reserved and for types and functions. */
export const reserved: ReadonlySet<string> = new Set(
  `all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast check
  collate collation column columns concurrently constraint create cross default deferrable desc describe distinct do
  else end except false fetch for foreign freeze from full generated glob group having ilike in initially inner
  intersect into is isnull join lambda lateral leading left like limit map natural not notnull null offset on only or
  order outer overlaps pivot pivot_longer pivot_wider placing positional primary qualify references returning right
  select semi show similar some struct summarize symmetric table tablesample then to trailing true try_cast union
  unique unpack unpivot using variadic verbose when where window with`.split(/\s+/),
);
