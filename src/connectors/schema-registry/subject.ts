import { isDeepStrictEqual } from 'node:util';
import { asPenstockError, PenstockError } from '../../errors.ts';
import { usesRegistry } from '../../formats/confluent.ts';
import { type RegisteredSchema, schemaTypes, type WrittenSchema } from '../../formats/registered.ts';
import { formatOf } from '../../formats/registry.ts';
import type { ConnectionSchema, Format } from '../../formats/schema/schema.ts';
import type { RegistryClient, SubjectVersion } from './client.ts';
import { Kept, keyOf } from './kept.ts';
import { type Connected, registryClient } from './schemas.ts';

/** Names of subjects in a schema registry, and the ids of the schemas that sinks write. */

export type RegistryFormat = Extract<Format, { confluent_schema_registry?: boolean }>;

/** The format of a table that uses a registry; undefined for another. */
export const registryFormatOf = ({ format }: ConnectionSchema): RegistryFormat | undefined =>
  usesRegistry(format) ? (format as RegistryFormat) : undefined;

/**
 * The subject of a table. Returns a predicate if it is unknown. Subjects that are named after a record need its name, which only a
 * schema has.
 */
export function subjectOf(
  { connector, config }: Pick<Connected, 'connector' | 'config'>,
  { subject, subject_strategy: strategy = 'topic' }: RegistryFormat,
  record: string | undefined,
): { subject: string } | string {
  const own = connector.subjectOf?.(config) ?? {};
  const fixed = subject || own.subject;
  if (fixed) return { subject: fixed };
  if (strategy !== 'topic' && record === undefined) return 'is named after a record, whose name is not known';
  if (strategy === 'record') return { subject: record ?? '' };
  if (!own.topic) return 'is unknown because the table has no fixed topic';
  return { subject: `${own.topic}-${strategy === 'topic' ? 'value' : record}` };
}

/** Throws `invalid_config`. */
export function subjectFor(
  table: Parameters<typeof subjectOf>[0],
  format: RegistryFormat,
  record: string | undefined,
): string {
  const found = subjectOf(table, format, record);
  if (typeof found === 'object') return found.subject;
  throw new PenstockError('invalid_config', `The subject in the schema registry ${found}`, {
    hint: 'Set subject in the format of the table.',
  });
}

/** The schema that a sink writes with. Throws `invalid_schema` if the table says too little. */
export function writtenBy(schema: ConnectionSchema, format: RegistryFormat): WrittenSchema {
  const definition = formatOf(format);
  if (!definition?.registry) throw new Error(`${format.type} has no schemas in a registry`);
  return definition.registry.written({ ...schema, format });
}

/** Ids that sinks write, and the places of what their schemas refer to, for all attempts of a thread. */
const keptIds = new Kept<number>(10_000);
const keptPlaces = new Kept<SubjectVersion>(10_000);
/** How long an id is not asked for again. */
const recentMs = 60_000;

/**
 * Returns the schema of a sink with the id that its messages have in the registry. Registers the schema if need be and allowed. An
 * id that is known is not asked for again at once, and stays if the registry is unavailable.
 * Throws `schema_incompatible`, `schema_not_registered`, and what the registry responds.
 */
export async function withSchemaId(
  sink: Connected,
  schema: ConnectionSchema,
  signal: AbortSignal,
): Promise<ConnectionSchema> {
  const format = registryFormatOf(schema);
  if (!format || typeof format.schema_id === 'number') return schema;
  const written = writtenBy(schema, format);
  const subject = subjectFor(sink, format, written.name);
  const type = schemaTypes[format.type];
  const client = registryClient(sink, signal, keptPlaces);
  const key = keyOf(client.key, type, subject, written.schema, schema.definition);
  const withId = (id: number) => ({ ...schema, format: { ...format, schema_id: id } });
  const recent = keptIds.get(key, recentMs);
  if (recent !== undefined) return withId(recent);
  try {
    const found =
      (await placeOf(client, subject, schema, format, written)) ??
      (format.register_schema === false ? undefined : await client.register(type, subject, written));
    if (!found) throw notRegistered(subject);
    keptIds.put(key, found.id);
    return withId(found.id);
  } catch (error) {
    const known = keptIds.get(key);
    if (known === undefined || asPenstockError(error).code !== 'schema_registry_unavailable') throw error;
    return withId(known);
  } finally {
    await client.close();
  }
}

/** The place of the schema of a sink in its subject; undefined if it is not there. */
export async function placeOf(
  client: RegistryClient,
  subject: string,
  schema: ConnectionSchema,
  format: RegistryFormat,
  written: WrittenSchema,
): Promise<SubjectVersion | undefined> {
  const latest = schema.definition && (await client.latest(subject).catch(unusable));
  // A definition that was taken from the registry is not what is registered if that refers to other schemas.
  if (latest && latest.type === schemaTypes[format.type] && isDefinition(latest, format, schema))
    return latest;
  return client.find(schemaTypes[format.type], subject, written);
}

function isDefinition(
  found: RegisteredSchema,
  format: RegistryFormat,
  { definition }: ConnectionSchema,
): boolean {
  try {
    return isDeepStrictEqual(formatOf(format)?.registry?.definitionOf(found), definition);
  } catch (error) {
    return unusable(error) !== undefined;
  }
}

/** A schema that others have registered and that cannot be used is not that of the table. */
function unusable(error: unknown): undefined {
  const { code } = asPenstockError(error);
  if (code !== 'bad_data' && code !== 'invalid_schema') throw error;
}

export const notRegistered = (subject: string): PenstockError =>
  new PenstockError(
    'schema_not_registered',
    `The subject ${JSON.stringify(subject)} of the schema registry does not have the schema of the sink`,
    { hint: 'Register it, set schema_id, or set register_schema to true.' },
  );
