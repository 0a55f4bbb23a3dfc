import type { ConnectionSchema, ConnectionTable, ConnectorDetail } from '../api/client.ts';
import { cleaned, isObject, type Json, type Schema } from '../parts/form-values.ts';

/** A table as it is edited, and the body of a request that it stands for. */

export type Direction = 'source' | 'sink';

export interface TableDraft {
  name: string;
  direction: Direction;
  profileId: string | null;
  config: Json;
  schema: ConnectionSchema;
  labels: Record<string, string>;
}

export type TableBody = ReturnType<typeof bodyOf>;

export const directionsOf = ({ source, sink }: ConnectorDetail): Direction[] => [
  ...(source ? (['source'] as const) : []),
  ...(sink ? (['sink'] as const) : []),
];

const titles = { source: 'Source', sink: 'Sink' } as const;

/** The property of a config that decides between source and sink: alternatives with these titles, or these words. */
function switchOf(schema: Schema): [name: string, property: Schema] | undefined {
  return Object.entries(schema.properties ?? {}).find(
    ([, { oneOf, enum: words }]) =>
      (oneOf?.length === 2 && oneOf.every(({ title }) => title === 'Source' || title === 'Sink')) ||
      (words?.length === 2 && words.includes('source') && words.includes('sink')),
  );
}

/** The schema of a config of one direction, without the choice between both. */
export function directed(connector: ConnectorDetail, direction: Direction): Schema {
  const schema = connector.table_schema as Schema;
  const found = switchOf(schema);
  if (found === undefined) return schema;
  const [name, { oneOf }] = found;
  const chosen = oneOf?.find(({ title }) => title === titles[direction]);
  const only: Schema = chosen
    ? { ...chosen, title: `${titles[direction]} options` }
    : { type: 'string', enum: [direction] };
  return { ...schema, properties: { ...schema.properties, [name]: only } };
}

/** Direction of a config. As in the API, an alternative without a mark of its own is told by its fields. */
function directionOf(connector: ConnectorDetail, config: Json): Direction {
  const [first = 'source'] = directionsOf(connector);
  const found = switchOf(connector.table_schema as Schema);
  if (found === undefined) return first;
  const [name, { oneOf }] = found;
  const value = config[name];
  if (value === 'source' || value === 'sink') return value;
  const fits = oneOf?.find((one) => isObject(value) && fitsTo(one, value));
  return fits?.title === titles.sink ? 'sink' : first;
}

const fitsTo = ({ properties = {}, required = [] }: Schema, value: Json): boolean =>
  required.every((name) => name in value) &&
  Object.entries(value).every(
    ([name, one]) => name in properties && (properties[name]?.enum?.includes(one) ?? true),
  );

/** A config after a change of its direction: what the other one does not have is left out. */
export function turned(connector: ConnectorDetail, config: Json, direction: Direction): Json {
  const found = switchOf(connector.table_schema as Schema);
  if (found === undefined) return config;
  const [name] = found;
  const { properties = {} } = directed(connector, direction).properties?.[name] ?? {};
  const value = config[name];
  if (!isObject(value)) return { ...config, [name]: undefined };
  const kept = Object.entries(value).filter(
    ([option]) => option in properties && properties[option]?.enum?.length !== 1,
  );
  return { ...config, [name]: Object.fromEntries(kept) };
}

/** A schema to begin with. */
export function emptySchema(connector: ConnectorDetail): ConnectionSchema {
  return connector.rows ? { fields: [] } : { format: { type: 'json' }, fields: [] };
}

export const draftOf = (table: ConnectionTable): TableDraft => ({
  name: table.name,
  direction: table.table_type,
  profileId: table.connection_profile_id,
  config: table.config,
  schema: trimmed(table.schema) as ConnectionSchema,
  labels: table.labels,
});

/** Without nulls, which mean the same as nothing, and without the SQL types that only responses have. */
function trimmed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(trimmed);
  if (!isObject(value)) return value;
  const kept = Object.entries(value).filter(
    ([name, one]) => one !== null && one !== undefined && name !== 'sql_name',
  );
  return Object.fromEntries(kept.map(([name, one]) => [name, trimmed(one)]));
}

export function bodyOf(connector: ConnectorDetail, draft: TableDraft) {
  const { name, direction, profileId, config, schema, labels } = draft;
  return {
    name,
    connector: connector.id,
    connection_profile_id: connector.connection_config === null ? null : profileId,
    config: cleaned(directed(connector, direction), config),
    ...(connector.custom_schemas ? { schema: trimmed(schema) as ConnectionSchema } : {}),
    labels,
  };
}

/** A draft from JSON that somebody wrote. Throws what is wrong with it. */
export function draftFrom(connector: ConnectorDetail, body: unknown): TableDraft {
  if (!isObject(body)) throw new Error('It must be an object: { … }');
  const {
    name = '',
    connector: id,
    connection_profile_id: profile = null,
    config = {},
    schema,
    labels = {},
  } = body;
  if (id !== connector.id) throw new Error(`"connector" must stay "${connector.id}"`);
  if (!isObject(config)) throw new Error('"config" must be an object');
  if (!isObject(labels)) throw new Error('"labels" must be an object');
  if (schema !== undefined && !isObject(schema)) throw new Error('"schema" must be an object');
  return {
    name: String(name),
    direction: directionOf(connector, config),
    profileId: typeof profile === 'string' ? profile : null,
    config,
    schema: (schema ?? {}) as ConnectionSchema,
    labels: labels as Record<string, string>,
  };
}
