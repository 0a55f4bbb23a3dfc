import type { Field, FieldTypeName, ListItem } from '../formats/schema/schema.ts';
import { fractionDigits, type TimestampUnit } from '../formats/schema/sql-type.ts';
import type { Range } from './diagnostic.ts';
import { typesByWord } from './field-types.ts';
import { isSameName, suggestion } from './names.ts';
import { TableOptions } from './table-options.ts';
import type { Identifier, TokenReader } from './token-reader.ts';
import type { Token } from './tokens.ts';

/** `CREATE TABLE name (columns) WITH (options)`, as written. */
export interface CreateTable extends Columns {
  name: Identifier;
  options: TableOptions;
  /** Undefined for a memory table, which has no WITH. */
  optionsRange: Range | undefined;
}

interface Columns {
  fields: Field[];
  fieldRanges: Range[];
  primaryKeys: string[];
  /** The expressions of `GENERATED ALWAYS AS (…)`, by the index of their field. */
  computed: Map<number, Expression>;
  /** `WATERMARK FOR column [AS expression]`. */
  watermark: { column: Identifier; expression: Expression | undefined } | undefined;
}

/** An expression inside a CREATE TABLE. */
export interface Expression extends Range {
  tokens: readonly Token[];
}

/**
 * Reads a whole CREATE TABLE statement. A sink without columns gets those of the SELECT that is inserted into it. A
 * table without WITH is a memory table: it takes the rows of one INSERT, and other statements read them.
 */
export function readCreateTable(tokens: TokenReader): CreateTable {
  const name = readTableHead(tokens);
  const options = new TableOptions(tokens.findings);
  const columns = { fields: [], fieldRanges: [], primaryKeys: [] };
  const table: Columns = { ...columns, computed: new Map(), watermark: undefined };
  if (tokens.takes('(')) readColumns(tokens, table);
  if (!tokens.peek() && table.fields.length > 0 && table.computed.size === 0 && !table.watermark)
    return { ...table, name, options, optionsRange: undefined };
  const from = tokens.here.from;
  tokens.expect(
    'WITH',
    "after the columns: it names the connector and its options, as in WITH (connector = '…', …)",
  );
  options.read(tokens);
  if (tokens.sees('partitioned'))
    tokens.refuse('PARTITIONED BY is for sinks that write files, which no connector here does; remove it');
  if (tokens.peek()) tokens.refuse('Unexpected text after the options; end the statement with a semicolon');
  return { ...table, name, options, optionsRange: { from, to: tokens.here.to } };
}

/** Reads `CREATE [TEMPORARY] TABLE [IF NOT EXISTS] name`. */
export function readTableHead(tokens: TokenReader): Identifier {
  tokens.takes('create');
  tokens.takes('temporary');
  if (!tokens.takes('table'))
    tokens.refuse('Only tables and views can be created; write CREATE TABLE or CREATE VIEW');
  tokens.takes('if', 'not', 'exists');
  return tokens.tableName('table');
}

function readColumns(tokens: TokenReader, table: Columns): void {
  do {
    if (tokens.sees('primary')) readKey(tokens, table);
    else if (tokens.sees('watermark', 'for')) readWatermark(tokens, table);
    else readColumn(tokens, table);
  } while (tokens.takes(','));
  tokens.expect(')', 'after the last column');
}

function readColumn(tokens: TokenReader, table: Columns): void {
  const name = tokens.identifier('The name of a column');
  if (table.fields.some((field) => isSameName(field.name, name.text)))
    tokens.refuse(`Two columns are called ${name.text}; column names do not differ by case`, name);
  const field: Field = { name: name.text, ...readType(tokens), required: false };
  table.fields.push(field);
  table.fieldRanges.push(name);
  while (!tokens.sees(',') && !tokens.sees(')')) readConstraint(tokens, field, table);
  const expression = table.computed.get(table.fields.length - 1);
  if (expression && field.metadata_key !== undefined)
    tokens.refuse(`The column ${name.text} cannot be both computed and METADATA`, name);
}

/** `WATERMARK FOR column [AS expression]`: how late a row may be, by the time in the column. */
function readWatermark(tokens: TokenReader, table: Columns): void {
  if (table.watermark) tokens.refuse('A table has one WATERMARK; remove this one');
  tokens.takes('watermark', 'for');
  const column = tokens.identifier('The name of a timestamp column');
  table.watermark = { column, expression: tokens.takes('as') ? readExpression(tokens, false) : undefined };
}

/** `GENERATED ALWAYS AS (expression) [STORED | VIRTUAL]`. Nothing is stored either way. */
function readComputed(tokens: TokenReader): Expression {
  tokens.takes('generated');
  tokens.expect('ALWAYS', 'after GENERATED');
  tokens.expect('AS', 'after GENERATED ALWAYS');
  if (!tokens.sees('(')) tokens.refuse('( is missing after GENERATED ALWAYS AS');
  const expression = readExpression(tokens, true);
  if (!tokens.takes('stored')) tokens.takes('virtual');
  return expression;
}

/** Reads an expression up to a comma or parenthesis that is not its own; one that is `enclosed` up to its parenthesis. */
function readExpression(tokens: TokenReader, enclosed: boolean): Expression {
  const read: Token[] = [];
  let depth = 0;
  for (let token = tokens.peek(); token; token = tokens.peek()) {
    const isSymbol = token.kind === 'symbol';
    if (isSymbol && depth === 0 && (token.text === ',' || token.text === ')')) break;
    if (isSymbol && '([{'.includes(token.text)) depth += 1;
    if (isSymbol && ')]}'.includes(token.text)) depth -= 1;
    read.push(token);
    tokens.next();
    if (enclosed && depth === 0) break;
  }
  const [first, last] = [read.at(0), read.at(-1)];
  if (!first || !last) return tokens.refuse('An expression is missing here');
  return { from: first.from, to: last.to, tokens: read };
}

function readConstraint(tokens: TokenReader, field: Field, table: Columns): void {
  if (tokens.sees('not', 'null') || tokens.sees('null')) {
    field.required = readNotNull(tokens);
  } else if (tokens.takes('metadata')) {
    tokens.expect('FROM', 'after METADATA');
    field.metadata_key = tokens.string('The name of the metadata').text;
  } else if (tokens.takes('primary', 'key')) {
    table.primaryKeys.push(field.name);
    field.required = true;
  } else if (tokens.sees('generated')) {
    table.computed.set(table.fields.indexOf(field), readComputed(tokens));
  } else {
    tokens.refuse(
      'Only NOT NULL, PRIMARY KEY, METADATA FROM, GENERATED ALWAYS AS, a comma or a closing parenthesis can follow the type of a column',
    );
  }
}

function readKey(tokens: TokenReader, table: Columns): void {
  tokens.takes('primary');
  tokens.expect('KEY', 'after PRIMARY');
  tokens.expect('(', 'after PRIMARY KEY');
  do table.primaryKeys.push(tokens.identifier('The name of a column').text);
  while (tokens.takes(','));
  tokens.expect(')', 'after the columns of the key');
}

const unsignedTypes: Readonly<Partial<Record<FieldTypeName, FieldTypeName>>> = {
  int32: 'uint32',
  int64: 'uint64',
};
/** Types that take a length, as in `VARCHAR(20)`. It is not enforced, as in Arroyo. */
const sizedTypes: ReadonlySet<string> = new Set([
  ...['text', 'varchar', 'string', 'char', 'binary', 'varbinary', 'int', 'integer', 'bigint'],
]);
const parsedTypes = ['timestamp', 'datetime', 'decimal', 'numeric', 'struct', 'array'];

const maxDepth = 32;

/**
 * Reads a type, e.g. `BIGINT`, `DECIMAL(10, 2)`, `STRUCT<a INT, b TEXT[]>` or `JSON[]`. A name has Arroyo's meaning if
 * it has one: `FLOAT` has 32 bits, `TIMESTAMP` counts nanoseconds and `DECIMAL` is `DECIMAL(38, 10)`.
 */
function readType(tokens: TokenReader, depth = 1): ListItem {
  if (depth > maxDepth) tokens.refuse(`Types can be nested at most ${maxDepth} levels deep`);
  let type = readElement(tokens, depth);
  while (tokens.takes('[')) {
    tokens.expect(']', 'after [');
    type = { type: 'list', items: { name: 'item', ...type } };
  }
  return type;
}

function readElement(tokens: TokenReader, depth: number): ListItem {
  const name = tokens.identifier('The type');
  const word = name.text.toLowerCase();
  if (word === 'timestamp' || word === 'datetime') return readTimestamp(tokens);
  if (word === 'decimal' || word === 'numeric') return readDecimal(tokens);
  if (word === 'struct') return readStruct(tokens, depth);
  if (word === 'array') return readArray(tokens, depth);
  const type = typesByWord.get(word);
  if (!type || name.exact) {
    const known = suggestion(word, [...typesByWord.keys(), ...parsedTypes]);
    return tokens.refuse(`There is no type ${name.text}${known}`, name);
  }
  if (word === 'double') tokens.takes('precision');
  if (sizedTypes.has(word) && tokens.takes('(')) {
    tokens.count('The length');
    tokens.expect(')', 'after the length');
  }
  return { type: (tokens.takes('unsigned') && unsignedTypes[type]) || type };
}

function readTimestamp(tokens: TokenReader): ListItem {
  if (tokens.takes('(')) {
    const range = tokens.here;
    const digits = tokens.count('The precision of a timestamp');
    tokens.expect(')', 'after the precision');
    const units = Object.keys(fractionDigits) as TimestampUnit[];
    const unit = units.find((candidate) => fractionDigits[candidate] === digits);
    if (!unit) return tokens.refuse('The precision of a timestamp must be 0, 3, 6 or 9', range);
    return { type: 'timestamp', unit };
  }
  if (tokens.sees('with', 'time'))
    tokens.refuse('Time zones are not supported: timestamps are in UTC; write TIMESTAMP');
  if (tokens.takes('without')) {
    tokens.expect('TIME', 'after WITHOUT');
    tokens.expect('ZONE', 'after WITHOUT TIME');
  }
  return { type: 'timestamp', unit: 'nanosecond' };
}

function readDecimal(tokens: TokenReader): ListItem {
  if (!tokens.takes('(')) return { type: 'decimal128', precision: 38, scale: 10 };
  const range = tokens.here;
  const precision = tokens.count('The precision of a decimal');
  const scale = tokens.takes(',') ? tokens.count('The scale of a decimal') : 0;
  tokens.expect(')', 'after the precision and the scale');
  if (precision < 1 || precision > 38 || scale > precision)
    tokens.refuse('A decimal must have 1 to 38 digits, and a scale of at most that number', range);
  return { type: 'decimal128', precision, scale };
}

/** `STRUCT<a INT, …>`, or with round brackets. */
function readStruct(tokens: TokenReader, depth: number): ListItem {
  const close = tokens.takes('(') ? ')' : '>';
  if (close === '>') tokens.expect('<', 'after STRUCT');
  const fields: Field[] = [];
  do {
    const name = tokens.identifier('The name of a member');
    const type = readType(tokens, depth + 1);
    if (fields.some((field) => isSameName(field.name, name.text)))
      tokens.refuse(`The struct has two members called ${name.text}`, name);
    fields.push({ ...type, name: name.text, required: readNotNull(tokens) });
  } while (tokens.takes(','));
  tokens.expect(close, 'after the last member');
  return { type: 'struct', fields };
}

function readArray(tokens: TokenReader, depth: number): ListItem {
  tokens.expect('<', 'after ARRAY');
  const items = readType(tokens, depth + 1);
  tokens.expect('>', 'after the type of the items');
  return { type: 'list', items: { name: 'item', ...items } };
}

function readNotNull(tokens: TokenReader): boolean {
  if (tokens.takes('not', 'null')) return true;
  tokens.takes('null');
  return false;
}
