import type { TSchema } from 'typebox';
import { expandSchema, validateSchema } from '../formats/codec.ts';
import type { ConnectionSchema, Field, ListItem } from '../formats/schema/schema.ts';
import { sqlType } from '../formats/schema/sql-type.ts';
import { defaultDelayMs } from '../formats/schema/table-time.ts';
import { lengthText } from './durations.ts';
import { quoteName } from './names.ts';
import { alternativeName, type JsonSchema, optionName } from './table-options.ts';

/** Writes the `CREATE TABLE` of a stored table: the inverse of `create-table.ts`, `table-options.ts` and `tables.ts`. */

export interface StoredTable {
  name: string;
  connector: string;
  /** The name of its profile, if it has one. */
  profileName: string | undefined;
  config: object;
  /** The JSON Schema of `config`. */
  configSchema: TSchema;
  schema: ConnectionSchema;
  /** Whether the connector gives the format and the columns, except those of metadata. */
  hasFixedColumns: boolean;
}

export interface WrittenTable {
  sql: string;
  /** Sentences about properties of the table that SQL cannot express. */
  notes: string[];
}

/** Writes the statement. A secret is written as it is in the config, so mask it before. */
export function writeTable(table: StoredTable): WrittenTable {
  const { name, connector, profileName, config, configSchema, hasFixedColumns } = table;
  const schema = expandSchema(table.schema);
  const notes: string[] = [];
  const fields = (schema.fields ?? []).filter(
    ({ metadata_key }) => !hasFixedColumns || typeof metadata_key === 'string',
  );
  const options: Options = [
    ['connector', textOf(connector)],
    ...(profileName === undefined ? [] : [['connection_profile', textOf(profileName)] as const]),
    ...configOptions(config, configSchema, '', notes),
    ...(hasFixedColumns ? [] : formatOptions(schema)),
    ...schemaOptions(schema),
    ...timeOptions(schema),
  ];
  if (schema.definition) notes.push(withoutDefinition(schema));
  const columns = [...fields.map((field) => columnOf(field, notes)), ...constraints(schema)];
  const head = `CREATE TABLE ${quoteName(name)}${columns.length > 0 ? ` (\n${lines(columns)}\n)` : ''}`;
  const given = options.map(([option, value]) => `${option} = ${value}`);
  return { sql: `${head} WITH (\n${lines(given)}\n);`, notes };
}

type Options = (readonly [name: string, value: string])[];

const lines = (items: readonly string[]): string => items.map((item) => `  ${item}`).join(',\n');

const textOf = (value: string): string => `'${value.replaceAll("'", "''")}'`;

/** The inverse of `TableOptions.takeObject`. */
function configOptions(
  value: object,
  { properties = {} }: JsonSchema,
  prefix: string,
  notes: string[],
): Options {
  return Object.entries(properties).flatMap(([key, property]) => {
    const inner = (value as Record<string, unknown>)[key];
    if (inner === undefined || inner === null) return [];
    const name = `${prefix}${property.option ?? optionName(key)}`;
    if (property.oneOf) return alternativeOptions(inner as object, property, { name, prefix }, notes);
    if (property.properties) return configOptions(inner as object, property, `${name}.`, notes);
    const written = literalOf(inner, property);
    if (written !== undefined) return [[name, written] as const];
    notes.push(`The option ${name} cannot be written in SQL`);
    return [];
  });
}

/** The inverse of the alternatives there: the option names the one that the value fits. */
function alternativeOptions(
  value: object,
  { oneOf = [], option, optionGroup }: JsonSchema,
  { name, prefix }: { name: string; prefix: string },
  notes: string[],
): Options {
  const isNamed = ({ properties }: JsonSchema) => option !== undefined && properties?.type !== undefined;
  const fits = (each: JsonSchema) =>
    Object.keys(value).every((key) => Object.hasOwn(each.properties ?? {}, key)) &&
    (each.required ?? []).every((key) => Object.hasOwn(value, key)) &&
    (!isNamed(each) || (value as { type?: unknown }).type === alternativeName(each));
  // The one that requires more is the one that was meant.
  const chosen = oneOf.filter(fits).sort((a, b) => (b.required ?? []).length - (a.required ?? []).length)[0];
  if (!chosen) {
    notes.push(`The option ${name} cannot be written in SQL`);
    return [];
  }
  const title = alternativeName(chosen);
  if (optionGroup !== undefined) {
    const group = `${prefix}${optionGroup}.`;
    return [[`${group}type`, textOf(title)], ...configOptions(value, chosen, group, notes)];
  }
  const { type: _, ...rest } = value as Record<string, unknown>;
  const inner =
    option === undefined
      ? configOptions(value, chosen, `${prefix}${title}.`, notes)
      : configOptions(isNamed(chosen) ? rest : value, chosen, prefix, notes);
  return option === '' ? inner : [[name, textOf(title)], ...inner];
}

/** A value as an option has it; undefined if none has. */
function literalOf(value: unknown, { type }: JsonSchema): string | undefined {
  if (typeof value === 'boolean' || typeof value === 'number') return String(value);
  if (typeof value === 'string') return textOf(value);
  if (!Array.isArray(value)) return type === 'object' ? textOf(JSON.stringify(value)) : undefined;
  if (!value.every((item) => typeof item === 'string')) return undefined;
  return `[${value.map(textOf).join(', ')}]`;
}

function formatOptions({ format }: ConnectionSchema): Options {
  if (!format) return [];
  const { type, ...rest } = format;
  return [['format', textOf(type)], ...given(`${type}.`, rest)];
}

/** Options of plain values, except those that are null or left out. */
function given(prefix: string, values: object): Options {
  return Object.entries(values).flatMap(([name, value]) => {
    const written = value === null ? undefined : literalOf(value, {});
    return written === undefined ? [] : [[`${prefix}${name}`, written] as const];
  });
}

function schemaOptions({ framing, bad_data }: ConnectionSchema): Options {
  const { behavior, ...bounds } = bad_data ?? {};
  return [
    ...(framing ? given('', { framing: framing.method }) : []),
    ...(framing ? given('framing.newline.', { max_length: framing.max_line_length ?? null }) : []),
    ...(behavior ? given('', { bad_data: behavior }) : []),
    ...given('bad_data.', bounds),
  ];
}

function timeOptions({ time }: ConnectionSchema): Options {
  if (!time) return [];
  const { event_time_field, idle_timeout_ms, max_ahead_ms, late_data, dedupe } = time;
  const length = (ms: number | null | undefined) => (typeof ms === 'number' ? lengthText(ms * 1000) : null);
  return [
    ...given('', {
      event_time_field: event_time_field ?? null,
      idle_timeout: idle_timeout_ms === 0 ? 'off' : length(idle_timeout_ms),
      max_ahead: length(max_ahead_ms),
      late_data: late_data ?? null,
    }),
    ...(dedupe ? given('dedupe.', { columns: dedupe.columns, horizon: length(dedupe.horizon_ms) }) : []),
  ];
}

/** Those that stand among the columns: the key, and a watermark with another delay than the default. */
function constraints({ primary_keys = [], time }: ConnectionSchema): string[] {
  const key = primary_keys.length > 0 ? [`PRIMARY KEY (${primary_keys.map(quoteName).join(', ')})`] : [];
  const { event_time_field: column, watermark_delay_ms: delay } = time ?? {};
  if (typeof column !== 'string' || typeof delay !== 'number' || delay === defaultDelayMs) return key;
  const name = quoteName(column);
  const late = delay === 0 ? '' : ` AS ${name} - INTERVAL '${delay} milliseconds'`;
  return [...key, `WATERMARK FOR ${name}${late}`];
}

function columnOf(field: Field, notes: string[]): string {
  const { name, metadata_key, required } = field;
  const from = typeof metadata_key === 'string' ? ` METADATA FROM ${textOf(metadata_key)}` : '';
  if (hasRequiredItems(field))
    notes.push(`Items of lists in the column ${name} are required, which SQL cannot say: they may be null`);
  return `${quoteName(name)} ${typeOf(field)}${required ? ' NOT NULL' : ''}${from}`;
}

/** As `sqlType` writes it, with quoted names and the members that are required. */
function typeOf(item: ListItem): string {
  if (item.type === 'list') return `${item.items ? typeOf(item.items) : 'TEXT'}[]`;
  if (item.type !== 'struct') return sqlType(item);
  const members = (item.fields ?? []).map(
    (member) => `${quoteName(member.name)} ${typeOf(member)}${member.required ? ' NOT NULL' : ''}`,
  );
  return `STRUCT<${members.join(', ')}>`;
}

function hasRequiredItems({ items, fields = [] }: ListItem): boolean {
  return items?.required === true || (items ? hasRequiredItems(items) : fields.some(hasRequiredItems));
}

function withoutDefinition({ definition, ...schema }: ConnectionSchema): string {
  const [problem] = validateSchema(schema);
  const lost = `SQL has no place for the definition (${definition?.type}): the columns are those that it gives`;
  return problem ? `${lost}, and the statement is refused without it: ${problem.message}` : lost;
}
