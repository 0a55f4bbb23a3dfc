import { type ConnectorDefinition, noProfile } from '../../connectors/connector.ts';
import { connectorFor } from '../../connectors/registry.ts';
import {
  checkTableColumns,
  checkTableConfig,
  checkTableSchema,
  withDefaultSchema,
} from '../../definitions/config-checks.ts';
import { type FieldError, PenstockError } from '../../errors.ts';
import { expandSchema, type KnownMetadata, validateSchema } from '../../formats/codec.ts';
import type { ConnectionSchema } from '../../formats/schema/schema.ts';
import { type JsonObject, keepMasked } from '../../security/config-secrets.ts';
import { unnameable } from '../../sql/names.ts';
import { refuseMasked } from '../connection-profiles/wire.ts';
import type { Deps } from '../deps.ts';
import { type ProfileRow, StagedDefinitions } from '../staged-definitions.ts';
import { withRegistered } from './registered.ts';
import { type ConnectionTablePost, findTable } from './wire.ts';

interface CheckedTable {
  connector: ConnectorDefinition;
  /** As it is stored. */
  body: ConnectionTablePost;
  profileRow: ProfileRow | null;
  profile: JsonObject;
  config: JsonObject;
  schema: ConnectionSchema;
}

/** Throws what is wrong with the body of a table, with paths. */
export async function checkTable(
  deps: Deps,
  body: ConnectionTablePost,
  staged = new StagedDefinitions(deps.db),
): Promise<CheckedTable> {
  const connector = connectorFor(body.connector);
  const profileRow = await profileRowOf(staged, body);
  const profile = profileRow ? deps.catalog.profile(profileRow) : {};
  checkTableConfig(body.connector, body.config, profile);
  refuseMasked(body.config as JsonObject, connector.table);
  const stored = await withRegistered(deps, completed(body), profile);
  const missing = [{ path: '/schema', message: 'is required: it defines how a message becomes a row' }];
  const sent = stored.schema;
  if (!sent) throw new PenstockError('invalid_schema', 'The table has no schema', { errors: missing });
  const isSink = connector.direction(body.config) === 'sink';
  if (isSink && sent.time)
    throw invalidSchema([{ path: '/time', message: 'is for sources; remove it from this sink' }], '/schema');
  const takesRows = isSink && connector.takesRows?.(body.config, sent);
  const schema = checkSchema(sent, '/schema', connector.metadata, takesRows);
  const unfit = checkTableSchema(body.connector, body.config, profile, schema);
  if (unfit.length > 0) throw invalidSchema(unfit, '/schema');
  // A sink without columns gets those of its query, and is then checked against them.
  if (schema.fields?.length || !schema.inferred)
    checkTableColumns(body.connector, body.config, schema.fields ?? []);
  return { connector, body: stored, profileRow, profile, config: body.config as JsonObject, schema };
}

/** Returns a table's body as it is stored, with its connector's default schema if it has none. Throws `invalid_schema`. */
function completed(body: ConnectionTablePost): ConnectionTablePost {
  try {
    const schema = withDefaultSchema(body.connector, withoutDefinedFields(body.schema ?? undefined));
    const { connection_profile_id = null } = body;
    return schema ? { ...body, connection_profile_id, schema } : body;
  } catch (error) {
    if (error instanceof PenstockError && error.code === 'invalid_schema')
      throw invalidSchema(error.errors, '/schema');
    throw error;
  }
}

/** Leaves out the fields that a definition gives: responses have them, and they may come back. */
function withoutDefinedFields(schema: ConnectionSchema | undefined): ConnectionSchema | undefined {
  if (!schema?.definition) return schema;
  const { fields = [], ...rest } = schema;
  const own = fields.filter(({ metadata_key }) => typeof metadata_key === 'string');
  return own.length > 0 ? { ...rest, fields: own } : rest;
}

/** The profile that a body names; null if its connector needs none. Throws if there is none. */
export async function profileRowOf(
  definitions: StagedDefinitions,
  body: Pick<ConnectionTablePost, 'connector' | 'connection_profile_id'>,
): Promise<ProfileRow | null> {
  const { connector, connection_profile_id: id } = body;
  const { profile, profileOptional } = connectorFor(connector);
  if (!id && (profile === noProfile || profileOptional)) return null;
  if (!id) throw wrongProfile('is required: create a connection profile first');
  const row = await definitions.profile({ id });
  if (!row) throw wrongProfile(`names no connection profile: there is no ${id}`);
  if (row.connector !== connector)
    throw wrongProfile(`names a profile of the connector ${row.connector}, not ${connector}`);
  return row;
}

function wrongProfile(message: string): PenstockError {
  const path = '/connection_profile_id';
  return new PenstockError('invalid_request', `${path} ${message}`, { errors: [{ path, message }] });
}

/**
 * Returns the schema with all fields. Throws `invalid_schema` with paths below `at`. Without `metadata` any metadata key
 * is accepted.
 */
export function checkSchema(
  schema: ConnectionSchema,
  at: string,
  metadata?: readonly KnownMetadata[],
  takesRows?: boolean,
): ConnectionSchema {
  const full = expandBelow(schema, at);
  const errors = validateSchema(full, metadata, takesRows);
  if (errors.length > 0) throw invalidSchema(errors, at);
  const unusable = unnameable(full.fields ?? []).map(({ path, message }) => ({
    path,
    message: `makes the table one that no query can use: it has ${message}. Make the object a json column, or the whole message with unstructured`,
  }));
  if (unusable.length > 0) throw invalidSchema(unusable, at);
  return full;
}

function expandBelow(schema: ConnectionSchema, at: string): ConnectionSchema {
  try {
    return expandSchema(schema);
  } catch (error) {
    if (error instanceof PenstockError && error.code === 'invalid_schema')
      throw invalidSchema(error.errors, at);
    throw error;
  }
}

function invalidSchema(errors: FieldError[], at: string): PenstockError {
  const moved = errors.map(({ path, message }) => ({ path: `${at}${path}`, message }));
  const sentences = moved.map(({ path, message }) => `${path} ${message}`).join('; ');
  return new PenstockError('invalid_schema', `The schema is not valid: ${sentences}`, { errors: moved });
}

/** The config of a table with the secrets of a stored one in place of their masks. Throws `not_found`. */
export async function withStoredSecrets(
  { db, catalog }: Pick<Deps, 'db' | 'catalog'>,
  connector: ConnectorDefinition,
  config: JsonObject,
  id: string | null | undefined,
): Promise<JsonObject> {
  if (!id) return config;
  const row = await findTable(db, id);
  if (row.connector !== connector.id) {
    const message = `is of a table of the connector ${row.connector}`;
    const errors = [{ path: '/connection_table_id', message }];
    throw new PenstockError('invalid_request', `/connection_table_id ${message}`, { errors });
  }
  return keepMasked(config, catalog.tableConfig(row), connector.table);
}
