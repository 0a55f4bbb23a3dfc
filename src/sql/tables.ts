import type { TSchema } from 'typebox';
import { PenstockError } from '../errors.ts';
import { expandSchema, validateSchema } from '../formats/codec.ts';
import { allFormatTypes } from '../formats/registry.ts';
import {
  type BadData,
  badDataBehaviors,
  type ConnectionSchema,
  type Field,
  type Format,
  whenFull,
} from '../formats/schema/schema.ts';
import { formatVariants } from '../formats/schema/wire-format.ts';
import type { CreateTable, Expression } from './create-table.ts';
import type { Findings, Range } from './diagnostic.ts';
import { findNamed, suggestion } from './names.ts';
import type { Catalog, InlineConnection, TableDefinition } from './plan.ts';
import type { TableOptions } from './table-options.ts';
import { checkTimes, takeTimes } from './table-time.ts';
import type { Identifier } from './token-reader.ts';

/**
 * Takes `format` and its options from a `WITH (…)`: each property of the format on the wire is an option
 * `<format>.<property>`, e.g. `csv.delimiter`.
 */
function readFormat(options: TableOptions): Format | undefined {
  const names = [...allFormatTypes, debeziumJson] as const;
  const name = options.takeOneOf('format', names);
  if (name === undefined) return undefined;
  const type = name === debeziumJson ? 'json' : name;
  const format: Record<string, unknown> = { type };
  if (name === debeziumJson) Object.assign(format, debeziumDefaults);
  for (const [property, schema] of Object.entries(formatVariants[type].properties)) {
    const value = property === 'type' ? undefined : takeProperty(options, `${type}.${property}`, schema);
    if (value !== undefined) format[property] = value;
  }
  return format as Format;
}

/** Arroyo's name for json in an envelope, and what it then takes for granted. */
const debeziumJson = 'debezium_json';
const debeziumDefaults = {
  debezium: true,
  timestamp_format: 'unix_millis',
  decimal_encoding: 'bytes',
} as const;

const spellings = new Map([
  ['RFC3339', 'rfc3339'],
  ['UnixSeconds', 'unix_seconds'],
  ['UnixMillis', 'unix_millis'],
  ['UnixMicros', 'unix_micros'],
  ['UnixNanos', 'unix_nanos'],
]);

function takeProperty(options: TableOptions, name: string, schema: TSchema): unknown {
  const {
    type,
    enum: values,
    anyOf = [],
  } = schema as {
    type?: string;
    enum?: string[];
    anyOf?: { type?: string }[];
  };
  if (values) {
    const others = [...spellings].filter(([, known]) => values.includes(known)).map(([other]) => other);
    const value = options.takeOneOf(name, [...values, ...others]);
    return value === undefined ? undefined : (spellings.get(value) ?? value);
  }
  // A property that may only be null on the wire is not an option.
  const taken = [type, ...anyOf.map((choice) => choice.type)].find(
    (one) => one !== undefined && one !== 'null',
  );
  return taken === undefined ? undefined : options.takeAs(name, { type: taken });
}

function readFraming(options: TableOptions): ConnectionSchema['framing'] {
  const method = options.takeOneOf('framing', ['newline']);
  if (method === undefined) return undefined;
  const longest = options.takeInteger('framing.newline.max_length');
  return longest === undefined ? { method } : { method, max_line_length: longest };
}

/** Additions of a source to its messages: columns that it computes, and its watermark. */
export interface Computed {
  source: TableDefinition;
  /** All columns of the table; only those that are computed have an expression. */
  columns: readonly { field: Field; expression: Expression | undefined }[];
  watermark: Expression | undefined;
}

/** A table without a connector, which takes the rows of one INSERT. */
interface MemoryTable {
  name: string;
  fields: readonly Field[];
}

/** The tables that one query may use: those it creates, then the stored ones. */
export class Tables {
  readonly #catalog: Catalog;
  readonly #findings: Findings;
  readonly #created = new Map<string, TableDefinition>();
  readonly #memory = new Map<string, MemoryTable>();

  constructor(catalog: Catalog, findings: Findings) {
    this.#catalog = catalog;
    this.#findings = findings;
  }

  /** Creates a table. Returns what it computes, if it does. */
  async create(statement: CreateTable): Promise<Computed | undefined> {
    const { text } = statement.name;
    const name = { text, exact: false };
    if (findNamed(this.#created, name) || findNamed(this.#memory, name))
      this.#findings.stop(`The query creates two tables called ${text}`, statement.name);
    const { optionsRange, computed: expressions, watermark } = statement;
    if (!optionsRange) {
      const { fields = [] } = expandSchema({ fields: statement.fields });
      this.#memory.set(text, { name: text, fields });
      return undefined;
    }
    const source = await connectTable({ ...statement, optionsRange }, this.#catalog, this.#findings);
    this.#created.set(text, source);
    if (expressions.size === 0 && !watermark?.expression) return undefined;
    const { fields = [] } = expandSchema({ fields: statement.fields });
    const declared = fields.map((field, index) => ({ field, expression: expressions.get(index) }));
    const isFixed = declared.every(({ expression }) => expression);
    const sent = isFixed
      ? (source.schema.fields ?? []).map((field) => ({ field, expression: undefined }))
      : [];
    return { source, columns: [...sent, ...declared], watermark: watermark?.expression };
  }

  isMemory(name: { text: string; exact: boolean }): boolean {
    return findNamed(this.#memory, name) !== undefined;
  }

  memory(name: { text: string; exact: boolean }): MemoryTable {
    return findNamed(this.#memory, name) as MemoryTable;
  }

  /** Returns the table of that name. Reports an unknown one with similar names, `others` included. */
  async named(
    { text, exact, ...range }: Identifier,
    others: readonly string[] = [],
  ): Promise<TableDefinition> {
    const table = findNamed(this.#created, { text, exact }) ?? (await this.#catalog.table(text, exact));
    if (table) return table;
    const names = [...this.#created.keys(), ...others, ...(await this.#catalog.tableNames())];
    return this.#findings.stop(`There is no table called ${text}${suggestion(text, names)}`, range);
  }
}

async function connectTable(
  statement: CreateTable & { optionsRange: Range },
  catalog: Catalog,
  findings: Findings,
): Promise<TableDefinition> {
  const { name, options, optionsRange } = statement;
  const connector = options.take('connector');
  if (connector === undefined) return findings.stop('The option connector is missing', optionsRange);
  const profileName = options.take('connection_profile');
  const isSent = (_: unknown, index: number) => !statement.computed.has(index);
  const fields = statement.fields.filter(isSent);
  const sent = {
    ...statement,
    fields,
    fieldRanges: statement.fieldRanges.filter(isSent),
    primaryKeys: statement.primaryKeys.filter(
      (key) => fields.length === statement.fields.length || fields.some(({ name: of }) => of === key),
    ),
  };
  const schema = declaredSchema(sent);
  const times = takeTimes(statement, findings);
  const inline = { name: name.text, connector, profileName, options, schema };
  const connection = await asFinding(
    () => catalog.inline(inline),
    findings,
    (path) => options.placeOf(path) ?? optionsRange,
  );
  options.refuseRest();
  findings.settle();
  const {
    direction,
    schema: connected = schema,
    metadata: _,
    checkSchema: __,
    uses = [],
    ...rest
  } = connection;
  const complete = completeSchema(sent, connected, connection, findings);
  checkComputed(statement, direction, complete, findings);
  const computed = expandSchema({ fields: statement.fields.filter((_, index) => !isSent(_, index)) }).fields;
  const columns = [...(complete.fields ?? []), ...(computed ?? [])];
  const table = { name: name.text, connector, direction, schema: complete, ...rest, uses };
  return { ...table, ...checkTimes(statement, times, direction, columns, findings) };
}

function checkComputed(
  { computed, watermark, fieldRanges }: CreateTable,
  direction: TableDefinition['direction'],
  { format }: ConnectionSchema,
  findings: Findings,
): void {
  const [first] = computed.keys();
  const range = first === undefined ? watermark?.column : fieldRanges[first];
  if (range && direction === 'sink')
    findings.stop('Computed columns and WATERMARK are for sources; remove them from this sink', range);
  if (first !== undefined && format?.type === 'json' && format.debezium === true)
    findings.stop('A table in Debezium format cannot have computed columns; compute in the SELECT', range);
}

function declaredSchema({ fields, primaryKeys, options }: CreateTable): ConnectionSchema {
  const badData = readBadData(options);
  const schema: ConnectionSchema = { fields, inferred: fields.length === 0, primary_keys: primaryKeys };
  const format = readFormat(options);
  if (format) schema.format = format;
  const framing = readFraming(options);
  if (framing) schema.framing = framing;
  if (badData) schema.bad_data = badData;
  return schema;
}

function readBadData(options: CreateTable['options']): BadData | undefined {
  const behavior = options.takeOneOf('bad_data', badDataBehaviors);
  if (behavior !== 'dead_letter') return behavior && { behavior };
  const max_count = options.takeInteger('bad_data.max_count');
  const max_bytes = options.takeInteger('bad_data.max_bytes');
  const when_full = options.takeOneOf('bad_data.when_full', whenFull);
  return {
    behavior,
    ...(max_count === undefined ? {} : { max_count }),
    ...(max_bytes === undefined ? {} : { max_bytes }),
    ...(when_full === undefined ? {} : { when_full }),
  };
}

/** Turns an error in the table's options into findings. Others, such as an unavailable database, pass through. */
async function asFinding<T>(
  work: () => Promise<T>,
  findings: Findings,
  place: (path: string) => Range,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PenstockError) || error.passing || error.code === 'invalid_query') throw error;
    for (const { path, message } of error.errors)
      findings.add(path ? `${path}: ${message}` : message, place(path));
    if (error.errors.length === 0) findings.add(error.message, place(''));
    findings.settle();
    throw error;
  }
}

/** A source without columns gets the one that its format fixes; a sink gets those of its SELECT later. */
function completeSchema(
  { name, fields, fieldRanges }: CreateTable,
  declared: ConnectionSchema,
  { direction, metadata, takesRows, checkSchema }: InlineConnection,
  findings: Findings,
): ConnectionSchema {
  const inferred = direction === 'sink' && fields.length === 0;
  const schema = expandSchema({ ...declared, inferred });
  const errors = validateSchema(schema, metadata, takesRows);
  for (const { path, message } of errors.length > 0 ? errors : (checkSchema?.(schema) ?? [])) {
    const index = /^\/fields\/(\d+)/.exec(path)?.[1];
    findings.add(message, (index !== undefined && fieldRanges[Number(index)]) || name);
  }
  for (const [index, field] of fields.entries()) {
    if (direction === 'source' || typeof field.metadata_key !== 'string') continue;
    findings.add('METADATA FROM is for sources; remove it from this sink', fieldRanges[index]);
  }
  findings.settle();
  return schema;
}
