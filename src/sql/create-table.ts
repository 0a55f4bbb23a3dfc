import type { Field } from '../formats/schema/schema.ts';
import type { Range } from './diagnostic.ts';
import { TableOptions } from './table-options.ts';
import type { Identifier, TokenReader } from './token-reader.ts';
import { readNotNull, readType } from './type-parser.ts';

/** `CREATE TABLE name (columns) WITH (options)`, as written. */
export interface CreateTable {
  name: Identifier;
  fields: Field[];
  /** Where each field is written. */
  fieldRanges: Range[];
  primaryKeys: string[];
  options: TableOptions;
  optionsRange: Range;
}

/** Reads a whole CREATE statement. Without columns a sink takes those of what is inserted into it. */
export function readCreateTable(tokens: TokenReader): CreateTable {
  tokens.takes('create');
  tokens.takes('temporary');
  if (!tokens.takes('table'))
    tokens.refuse('Only tables and views can be created: CREATE TABLE name (…) WITH (…)');
  tokens.takes('if', 'not', 'exists');
  const name = tokens.identifier('The name of the table');
  if (tokens.sees('.')) tokens.refuse('Tables have a single name, without a schema before it');
  const options = new TableOptions(tokens.findings);
  const table: CreateTable = {
    name,
    fields: [],
    fieldRanges: [],
    primaryKeys: [],
    options,
    optionsRange: name,
  };
  if (tokens.takes('(')) readColumns(tokens, table);
  if (tokens.sees('as')) tokens.refuse('CREATE TABLE … AS is not possible; write INSERT INTO a sink table');
  const from = tokens.here.from;
  tokens.expect(
    'WITH',
    "after the columns: it names the connector and its options, as in WITH (connector = '…', …)",
  );
  options.read(tokens);
  if (tokens.peek()) tokens.refuse('The statement should end here; a ; is missing');
  return { ...table, optionsRange: { from, to: tokens.here.to } };
}

function readColumns(tokens: TokenReader, table: CreateTable): void {
  do {
    if (tokens.sees('primary')) readKey(tokens, table);
    else if (tokens.sees('watermark', 'for')) tokens.refuse('WATERMARK is not supported');
    else readColumn(tokens, table);
  } while (tokens.takes(','));
  tokens.expect(')', 'after the last column');
}

function readColumn(tokens: TokenReader, table: CreateTable): void {
  const name = tokens.identifier('The name of a column');
  const twin = table.fields.find((field) => field.name.toLowerCase() === name.text.toLowerCase());
  if (twin) tokens.refuse(`There are two columns called ${name.text}; case makes no difference here`, name);
  const field: Field = { name: name.text, ...readType(tokens), required: false };
  table.fields.push(field);
  table.fieldRanges.push(name);
  while (!tokens.sees(',') && !tokens.sees(')')) readConstraint(tokens, field, table);
}

function readConstraint(tokens: TokenReader, field: Field, table: CreateTable): void {
  if (tokens.sees('not', 'null') || tokens.sees('null')) {
    field.required = readNotNull(tokens);
  } else if (tokens.takes('metadata')) {
    tokens.expect('FROM', 'after METADATA');
    field.metadata_key = tokens.string('The name of the metadata').text;
  } else if (tokens.takes('primary', 'key')) {
    table.primaryKeys.push(field.name);
    field.required = true;
  } else if (tokens.sees('generated')) {
    tokens.refuse('Computed columns are not supported; compute the value in the SELECT');
  } else {
    tokens.refuse('After the type of a column come NOT NULL, METADATA FROM, a comma or a closing bracket');
  }
}

function readKey(tokens: TokenReader, table: CreateTable): void {
  tokens.takes('primary');
  tokens.expect('KEY', 'after PRIMARY');
  tokens.expect('(', 'after PRIMARY KEY');
  do table.primaryKeys.push(tokens.identifier('The name of a column').text);
  while (tokens.takes(','));
  tokens.expect(')', 'after the columns of the key');
}
