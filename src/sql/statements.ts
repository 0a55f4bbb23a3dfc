import { type CreateTable, readCreateTable } from './create-table.ts';
import type { Findings, Range } from './diagnostic.ts';
import { type Identifier, TokenReader } from './token-reader.ts';
import { isSymbol, rangeOf, type Token, tokenise } from './tokens.ts';

export interface SelectText {
  /** The range of the query that DuckDB parses. */
  select: Range;
  tokens: readonly Token[];
}

/** `CREATE VIEW name AS SELECT …`. */
export interface CreateView extends SelectText {
  name: Identifier;
}

/** `INSERT INTO sink SELECT …`. The rows of a SELECT alone are only looked at. */
export interface Insert extends SelectText {
  sink: Identifier | undefined;
}

interface Statements {
  tables: CreateTable[];
  views: CreateView[];
  inserts: Insert[];
}

/** Reads the statements of a query. */
export function readStatements(query: string, findings: Findings): Statements {
  const statements: Statements = { tables: [], views: [], inserts: [] };
  for (const tokens of split(tokenise(query, findings))) {
    const [first, last] = [tokens.at(0), tokens.at(-1)];
    if (!first || !last) continue;
    const reader = new TokenReader(tokens, { from: last.to, to: last.to }, findings);
    if (createsView(reader)) statements.views.push(readView(reader));
    else if (reader.sees('create')) statements.tables.push(readCreateTable(reader));
    else if (reader.sees('insert')) statements.inserts.push(readInsert(reader));
    else if (startsSelect(first)) statements.inserts.push({ sink: undefined, ...readSelect(reader) });
    else refuseStatement(reader, first);
  }
  return statements;
}

function split(tokens: readonly Token[]): Token[][] {
  const statements: Token[][] = [[]];
  for (const token of tokens) {
    if (isSymbol(token, ';')) statements.push([]);
    else statements.at(-1)?.push(token);
  }
  return statements;
}

const readsRows = new Set(['select', 'with', 'from', 'values', 'table']);

const startsSelect = (first: Token): boolean => readsRows.has(first.text.toLowerCase()) || first.text === '(';

function refuseStatement(reader: TokenReader, first: Token): never {
  const message =
    'This statement is not supported; a query consists of CREATE TABLE, CREATE VIEW, INSERT INTO … SELECT, and ' +
    'SELECT alone';
  return reader.refuse(message, first);
}

function createsView(reader: TokenReader): boolean {
  return (
    reader.sees('create', 'view') ||
    reader.sees('create', 'temporary', 'view') ||
    reader.sees('create', 'or', 'replace', 'view')
  );
}

function readView(reader: TokenReader): CreateView {
  reader.takes('create');
  if (reader.sees('or')) reader.refuse('OR REPLACE is not supported; write CREATE VIEW');
  reader.takes('temporary');
  reader.takes('view');
  const name = reader.tableName('view');
  if (reader.sees('('))
    reader.refuse('A column list is not supported here; name the columns with AS in the SELECT');
  reader.expect('AS', 'after the name of the view');
  return { name, ...readSelect(reader) };
}

function readInsert(reader: TokenReader): Insert {
  reader.takes('insert');
  reader.expect('INTO', 'after INSERT');
  const sink = reader.tableName('sink table');
  if (reader.sees('(') && !readsRows.has(reader.peek(1)?.text.toLowerCase() ?? ''))
    reader.refuse('A column list is not supported here; select all columns of the sink, in the same order');
  return { sink, ...readSelect(reader) };
}

function readSelect(reader: TokenReader): SelectText {
  const tokens = reader.rest();
  const [first, last] = [tokens.at(0), tokens.at(-1)];
  if (!first || !last) return reader.refuse('A SELECT is missing here');
  return { select: rangeOf(first, last), tokens };
}
