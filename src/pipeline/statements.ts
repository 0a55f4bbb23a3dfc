import { type CreateTable, readCreateTable } from './create-table.ts';
import type { Findings, Range } from './diagnostic.ts';
import { type Identifier, TokenReader } from './token-reader.ts';
import { rangeOf, type Token, tokenise } from './tokens.ts';

/** `INSERT INTO sink SELECT …`. */
export interface Insert {
  sink: Identifier;
  /** The part of the query that DuckDB is to read. */
  select: Range;
  tokens: readonly Token[];
}

export interface Statements {
  tables: CreateTable[];
  inserts: Insert[];
}

/** Reads a query: its table definitions, and the inserts with their SELECTs still unread. */
export function readStatements(query: string, findings: Findings): Statements {
  const statements: Statements = { tables: [], inserts: [] };
  for (const tokens of split(tokenise(query, findings))) {
    const [first, last] = [tokens.at(0), tokens.at(-1)];
    if (!first || !last) continue;
    const reader = new TokenReader(tokens, { from: last.to, to: last.to }, findings);
    if (reader.sees('create')) statements.tables.push(readCreateTable(reader));
    else if (reader.sees('insert')) statements.inserts.push(readInsert(reader, tokens, last));
    else refuseStatement(reader, first);
  }
  return statements;
}

function split(tokens: readonly Token[]): Token[][] {
  const statements: Token[][] = [[]];
  for (const token of tokens) {
    if (token.kind === 'symbol' && token.text === ';') statements.push([]);
    else statements.at(-1)?.push(token);
  }
  return statements;
}

const readsRows = new Set(['select', 'with', 'from', 'values', 'table']);

function refuseStatement(reader: TokenReader, first: Token): never {
  if (readsRows.has(first.text.toLowerCase()) || first.text === '(') {
    reader.refuse('The rows of this SELECT go nowhere; write INSERT INTO a sink table before it', first);
  }
  return reader.refuse('A query is made of CREATE TABLE and INSERT INTO … SELECT statements', first);
}

function readInsert(reader: TokenReader, tokens: readonly Token[], last: Token): Insert {
  reader.takes('insert');
  reader.expect('INTO', 'after INSERT');
  const sink = reader.identifier('The name of the sink table');
  if (reader.sees('.')) reader.refuse('Tables have a single name, without a schema before it');
  if (reader.sees('(')) refuseColumnList(reader);
  const first = reader.peek();
  if (!first) return reader.refuse('A SELECT is missing here');
  return { sink, select: rangeOf(first, last), tokens: tokens.slice(tokens.indexOf(first)) };
}

function refuseColumnList(reader: TokenReader): void {
  const next = reader.peek(1)?.text.toLowerCase() ?? '';
  if (readsRows.has(next)) return;
  reader.refuse(
    'A list of columns is not possible here; give the SELECT all columns of the sink, in its order',
  );
}
