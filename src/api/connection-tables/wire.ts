import Type, { type Static } from 'typebox';
import { PenstockError } from '../../errors.ts';
import { expandSchema } from '../../formats/codec.ts';
import type { ConnectionSchema } from '../../formats/schema/schema.ts';
import type { JsonObject } from '../../security/config-secrets.ts';
import type { Db } from '../../store/db.ts';
import { ConnectionProfile, exampleProfile, profileToWire } from '../connection-profiles/wire.ts';
import { Labels, LabelsPatch } from '../labels.ts';
import { ConnectorConfig, ConnectorId, Id, Name, strict } from '../schemas.ts';

const post = {
  name: 'readings',
  connector: 'mqtt',
  connection_profile_id: 'cp_3fK0x9QzLm',
  config: { topic: 'plant/+/temperature', qos: 'AtLeastOnce', type: {} },
  schema: {
    format: { type: 'json' },
    bad_data: { behavior: 'drop' },
    fields: [
      { name: 'device', type: 'string', required: true },
      { name: 'celsius', type: 'float64' },
    ],
  },
};

export const ConnectionTable = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    created_at: Type.Integer({ description: 'Unix microseconds' }),
    connector: Type.String(),
    connection_profile: Type.Union([ConnectionProfile, Type.Null()]),
    connection_profile_id: Type.Union([Type.String(), Type.Null()]),
    table_type: Type.Enum(['source', 'sink']),
    config: ConnectorConfig,
    schema: Type.Unsafe<ConnectionSchema>({ $ref: 'ConnectionSchema#' }),
    consumers: Type.Integer({ description: 'Pipelines that use it' }),
    labels: Labels,
  },
  {
    title: 'ConnectionTable',
    examples: [
      {
        id: 'ct_8Qm2Vh4TzX',
        name: post.name,
        created_at: 1_790_000_000_000_000,
        connector: post.connector,
        connection_profile: exampleProfile,
        connection_profile_id: exampleProfile.id,
        table_type: 'source',
        config: post.config,
        schema: post.schema,
        consumers: 1,
        labels: {},
      },
    ],
  },
);

export const ConnectionTablePost = Type.Object(
  {
    name: Name,
    connector: ConnectorId,
    connection_profile_id: Type.Optional(Type.Union([Id, Type.Null()])),
    config: ConnectorConfig,
    schema: Type.Optional(
      Type.Union([Type.Unsafe<ConnectionSchema>({ $ref: 'ConnectionSchema#' }), Type.Null()]),
    ),
    labels: Type.Optional(Labels),
  },
  { ...strict, title: 'ConnectionTablePost', examples: [{ ...post, labels: { site: 'north' } }] },
);
export type ConnectionTablePost = Static<typeof ConnectionTablePost>;

/** A merge patch for a schema; what comes of it is checked. */
export const SchemaPatch = Type.Unsafe<object>({
  type: 'object',
  additionalProperties: true,
  description: 'A merge patch for the schema',
});

export const ConnectionTablePatch = Type.Object(
  {
    name: Type.Optional(Name),
    connector: Type.Optional(ConnectorId),
    connection_profile_id: Type.Optional(Id),
    config: Type.Optional(ConnectorConfig),
    schema: Type.Optional(SchemaPatch),
    labels: Type.Optional(LabelsPatch),
  },
  { ...strict, title: 'ConnectionTablePatch', examples: [{ config: { topic: 'plant/+/humidity' } }] },
);

/** What is read with a table to answer it. */
export const include = { connectionProfile: true, _count: { select: { pipelines: true } } } as const;

/** A table with its profile; throws `not_found`. */
export async function findTable(db: Db, id: string) {
  const row = await db.connectionTable.findUnique({ where: { id }, include });
  if (row) return row;
  throw new PenstockError('not_found', `There is no connection table ${id}`);
}

export type TableRow = Awaited<ReturnType<typeof findTable>>;

/** A table by itself: its config and schema as they were sent. */
export const toWire = (row: TableRow): Static<typeof ConnectionTable> => ({
  id: row.id,
  name: row.name,
  created_at: Number(row.createdAt),
  connector: row.connector,
  connection_profile: row.connectionProfile ? profileToWire(row.connectionProfile) : null,
  connection_profile_id: row.connectionProfileId,
  table_type: row.tableType as 'source' | 'sink',
  config: JSON.parse(row.config),
  schema: JSON.parse(row.schema ?? '{}'),
  consumers: row._count.pipelines,
  labels: JSON.parse(row.labels),
});

/** A table in a list: with every column and its SQL type, as Arroyo's console shows them. */
export const toListed = (row: TableRow): Static<typeof ConnectionTable> => {
  const table = toWire(row);
  return { ...table, schema: expandSchema(table.schema) };
};

/** What would have to be sent to store the row as it is. */
export const tableToBody = (row: TableRow): JsonObject => ({
  name: row.name,
  connector: row.connector,
  connection_profile_id: row.connectionProfileId,
  config: JSON.parse(row.config),
  schema: JSON.parse(row.schema ?? '{}'),
  labels: JSON.parse(row.labels),
});
