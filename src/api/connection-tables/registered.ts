import { connectorFor } from '../../connectors/registry.ts';
import {
  type CachedSchemas,
  type Connected,
  registryClient,
} from '../../connectors/schema-registry/schemas.ts';
import {
  type RegistryFormat,
  registryFormatOf,
  subjectOf,
} from '../../connectors/schema-registry/subject.ts';
import { checkTableSchema } from '../../definitions/config-checks.ts';
import { asPenstockError, PenstockError } from '../../errors.ts';
import { expandSchema } from '../../formats/codec.ts';
import { registeredIdOf, usesRegistry } from '../../formats/confluent.ts';
import { type RegisteredSchema, schemaTypes } from '../../formats/registered.ts';
import { formatOf } from '../../formats/registry.ts';
import {
  type ConnectionSchema,
  type Format,
  messageFields,
  type SchemaDefinition,
} from '../../formats/schema/schema.ts';
import { maxDefinition } from '../../formats/schema/wire-format.ts';
import type { JsonObject } from '../../security/config-secrets.ts';
import type { Deps } from '../deps.ts';
import type { ConnectionTablePost } from './wire.ts';

/** How long a registry may take in all. */
const timeoutMs = 20_000;

/**
 * Takes the definition of a table from the schema registry, if its format needs one and the body says nothing of the columns. A
 * sink whose subject is new gets its columns from its query. Throws `invalid_schema`, and what asking the registry throws.
 */
export async function withRegistered(
  { catalog }: Pick<Deps, 'catalog'>,
  body: ConnectionTablePost,
  profile: JsonObject,
): Promise<ConnectionTablePost> {
  const { schema } = body;
  const format = schema && registryFormatOf(schema);
  if (!schema || !format || schema.inferred || schema.definition) return body;
  const connector = connectorFor(body.connector);
  const isSink = connector.direction(body.config) === 'sink';
  const isWhole = formatOf(format)?.wholeMessage?.(format) !== undefined;
  // Whole documents are read with the schemas of the messages alone.
  if (messageFields(schema.fields ?? []).length > 0 || (isWhole && (!isSink || format.type === 'json')))
    return body;
  const [unfit] = checkTableSchema(body.connector, body.config, profile, schema);
  if (unfit) throw refused(unfit.path, unfit.message);
  const config = catalog.resolveTable(connector, body.config);
  const named = subjectOf({ connector, config }, format, undefined);
  if (typeof named === 'string')
    throw refused(
      '/definition',
      `is required, or subject in the format: the subject in the registry ${named}`,
    );
  const client = registryClient(
    { connector, config, ...catalog.resolve(connector, profile) },
    AbortSignal.timeout(timeoutMs),
  );
  try {
    const found = await client.latest(named.subject);
    const shown = JSON.stringify(named.subject);
    if (found) {
      const definition = definitionOf(found, format, `the latest schema of the subject ${shown}`);
      return { ...body, schema: { ...schema, definition } };
    }
    if (isSink && format.type !== 'protobuf') return { ...body, schema: { ...schema, inferred: true } };
    const message = `is required, because the schema registry has no subject ${shown}`;
    throw refused('/definition', message);
  } catch (error) {
    const raised = asPenstockError(error);
    throw raised.code === 'bad_data' ? refused('/definition', `cannot be taken: ${raised.message}`) : raised;
  } finally {
    await client.close();
  }
}

/** A proposal for messages, or why none can be made. Without `schema` what the messages show counts. */
interface RegisteredProposal {
  schema?: ConnectionSchema | null;
  notes: string[];
}

/**
 * Proposes the newest schema that the messages have in the registry of their profile. Undefined if they have none, unless the
 * format demands it. Throws what asking the registry throws if the format demands it.
 */
export async function proposeRegistered(
  connected: Connected,
  format: Format | undefined,
  payloads: readonly Buffer[],
  schemas: CachedSchemas,
): Promise<RegisteredProposal | undefined> {
  if (
    !connected.connector.registryOf?.(connected.profile, connected.config) ||
    (format && !usesRegistry(format))
  )
    return undefined;
  const ids = payloads.flatMap((payload) => registeredIdOf(payload) ?? []);
  try {
    await schemas.load(new Set(ids));
  } catch (error) {
    if (format || !(error instanceof PenstockError)) throw error;
    return { notes: [`The schemas of the messages are unknown. ${error.message}`] };
  }
  const newest = ids.toSorted((one, other) => other - one).find((id) => isSchema(schemas.get(id)));
  const found = newest === undefined ? undefined : schemas.get(newest);
  if (!isSchema(found) || ids.length * 2 <= payloads.length)
    return format && { schema: null, notes: ['Most messages have no schema of the registry'] };
  const type = (['avro', 'json', 'protobuf'] as const).find((one) => schemaTypes[one] === found.type);
  const wanted = (format ?? { type, confluent_schema_registry: true }) as RegistryFormat;
  try {
    const definition = definitionOf(found, wanted, `the schema with the id ${newest}`);
    const schema = { format: wanted, definition };
    expandSchema(schema);
    return {
      schema,
      notes: [`The messages have schemas in the registry; the newest has the id ${newest}`],
    };
  } catch (error) {
    const { code, message } = asPenstockError(error);
    if (code !== 'invalid_schema' && code !== 'bad_data') throw error;
    return { schema: null, notes: [message] };
  }
}

const isSchema = (found: RegisteredSchema | PenstockError | undefined): found is RegisteredSchema =>
  found !== undefined && !(found instanceof PenstockError);

/** `what` names the schema for people. */
function definitionOf(found: RegisteredSchema, format: RegistryFormat, what: string): SchemaDefinition {
  if (found.type !== schemaTypes[format.type])
    throw refused('/format/type', `must fit ${what}, which is ${found.type}`);
  const definition = formatOf(format)?.registry?.definitionOf(found);
  if (definition && JSON.stringify(definition).length <= maxDefinition) return definition;
  throw refused('/definition', `cannot be taken: ${what} is too large`);
}

function refused(path: string, message: string): PenstockError {
  const errors = [{ path: `/schema${path}`, message }];
  return new PenstockError('invalid_schema', `The schema is not valid: /schema${path} ${message}`, {
    errors,
  });
}
