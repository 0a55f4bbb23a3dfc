import { type CreateTable, readCreateTable, readTableHead } from './create-table.ts';
import type { Findings, Range } from './diagnostic.ts';
import { readBytes, readMicros } from './durations.ts';
import { defaultLimits, type StateLimits } from './plan.ts';
import { readOptionValue } from './table-options.ts';
import { type Identifier, TokenReader } from './token-reader.ts';
import { isSymbol, isWord, rangeOf, type Token, tokenise } from './tokens.ts';

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
  /** Whether it is a further SELECT of the UNION ALL that the insert before it began. */
  continues: boolean;
}

interface Statements {
  tables: CreateTable[];
  /** Views and inserts, in their order. */
  selects: (CreateView | Insert)[];
  /** Of a query with state, set by SET. */
  limits: StateLimits;
}

/** Reads the statements of a query. */
export function readStatements(query: string, findings: Findings): Statements {
  const statements: Statements = { tables: [], selects: [], limits: { ...defaultLimits } };
  for (const tokens of split(tokenise(query, findings))) {
    const [first, last] = [tokens.at(0), tokens.at(-1)];
    if (!first || !last) continue;
    const reader = new TokenReader(tokens, { from: last.to, to: last.to }, findings);
    if (createsView(reader)) statements.selects.push(readView(reader));
    else if (createsFromSelect(tokens)) statements.selects.push(readTableAs(reader));
    else if (reader.sees('create')) statements.tables.push(readCreateTable(reader));
    else if (reader.sees('insert')) statements.selects.push(...readInsert(reader));
    else if (reader.sees('set')) readSetting(reader, statements.limits);
    else if (startsSelect(first)) statements.selects.push(...readUnion(reader, undefined));
    else refuseStatement(reader, first);
  }
  return statements;
}

/** `CREATE TABLE name AS SELECT …`, which Arroyo reads as a view. */
function createsFromSelect(tokens: readonly Token[]): boolean {
  const as = tokens.findIndex((token) => isWord(token, 'as'));
  const head = tokens.slice(0, Math.max(as, 0));
  return isWord(head[0], 'create') && head.some((token) => isWord(token, 'table')) && !head.some(opens);
}

const opens = (token: Token): boolean => isSymbol(token, '(');

function readTableAs(reader: TokenReader): CreateView {
  const name = readTableHead(reader);
  reader.expect('AS', 'after the name of the table');
  return { name, ...readSelect(reader) };
}

/** `SET name = value`, for the whole query. Of several with one name the last counts. */
function readSetting(reader: TokenReader, limits: StateLimits): void {
  reader.takes('set');
  const name = reader.identifier('The name of a setting');
  const setting = name.text.toLowerCase();
  if (!settings.includes(setting))
    reader.refuse(`There is no setting ${name.text}; there are ${settings.join(', ')}`, name);
  if (!reader.takes('to')) reader.expect('=', 'after the name of the setting');
  if (!reader.peek()) reader.refuse('The value of the setting is missing');
  const value = readOptionValue(reader, `the setting ${setting}`);
  const subject = `The setting ${setting}`;
  if (setting === 'updating_ttl')
    limits.ttl = readMicros(subject, value, { from: '1 second', to: '3650 days' }, reader.findings);
  else if (setting === 'max_state_bytes')
    limits.maxStateBytes = readBytes(subject, value, { from: '1 MiB', to: '1 TiB' }, reader.findings);
  else if (value.text === 'wait' || value.text === 'fail') limits.whenFull = value.text;
  else reader.refuse(`${subject} must be wait or fail`, value);
  if (reader.peek()) reader.refuse('Unexpected text after the setting; end the statement with a semicolon');
}

const settings = ['updating_ttl', 'max_state_bytes', 'when_state_full'];

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

function readInsert(reader: TokenReader): Insert[] {
  reader.takes('insert');
  reader.expect('INTO', 'after INSERT');
  const sink = reader.tableName('sink table');
  if (reader.sees('(') && !readsRows.has(reader.peek(1)?.text.toLowerCase() ?? ''))
    reader.refuse('A column list is not supported here; select all columns of the sink, in the same order');
  return readUnion(reader, sink);
}

/** Rows are processed one by one, so each SELECT of a UNION ALL is an insert of its own. */
function readUnion(reader: TokenReader, sink: Identifier | undefined): Insert[] {
  const { tokens } = readSelect(reader);
  const parts: Token[][] = [[]];
  const splits = !isWord(tokens[0], 'with');
  let depth = 0;
  for (let index = 0; index < tokens.length; index += 1) {
    const token = tokens[index] as Token;
    if (token.kind === 'symbol' && '([{'.includes(token.text)) depth += 1;
    if (token.kind === 'symbol' && ')]}'.includes(token.text)) depth -= 1;
    if (splits && depth === 0 && isWord(token, 'union') && isWord(tokens[index + 1], 'all')) {
      parts.push([]);
      index += 1;
    } else parts.at(-1)?.push(token);
  }
  return parts.map((part, index) => {
    const [first, last] = [part.at(0), part.at(-1)];
    if (!first || !last) return reader.refuse('A SELECT is missing beside UNION ALL', tokens.at(-1));
    return { sink, continues: index > 0, select: rangeOf(first, last), tokens: part };
  });
}

function readSelect(reader: TokenReader): SelectText {
  const tokens = reader.rest();
  const [first, last] = [tokens.at(0), tokens.at(-1)];
  if (!first || !last) return reader.refuse('A SELECT is missing here');
  return { select: rangeOf(first, last), tokens };
}
