import Type, { type Static } from 'typebox';
import { PenstockError } from '../../errors.ts';
import type { ConnectionSchema } from '../../formats/schema.ts';
import type { Db } from '../../store/db.ts';
import { ConnectionProfile, exampleProfile, profileToWire } from '../connection-profiles/wire.ts';
import { ConnectorConfig, Id, Name, strict } from '../schemas.ts';

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
    table_type: Type.Enum(['source', 'sink']),
    config: ConnectorConfig,
    schema: Type.Unsafe<ConnectionSchema>({ $ref: 'ConnectionSchema#' }),
    consumers: Type.Integer({ description: 'Pipelines that use it' }),
  },
  {
    examples: [
      {
        id: 'ct_8Qm2Vh4TzX',
        name: post.name,
        created_at: 1_790_000_000_000_000,
        connector: post.connector,
        connection_profile: exampleProfile,
        table_type: 'source',
        config: post.config,
        schema: post.schema,
        consumers: 1,
      },
    ],
  },
);

export const ConnectionTablePost = Type.Object(
  {
    name: Name,
    connector: Type.String({ maxLength: 64 }),
    connection_profile_id: Type.Optional(Type.Union([Id, Type.Null()])),
    config: ConnectorConfig,
    schema: Type.Optional(
      Type.Union([Type.Unsafe<ConnectionSchema>({ $ref: 'ConnectionSchema#' }), Type.Null()]),
    ),
  },
  { ...strict, examples: [post] },
);
export type ConnectionTablePost = Static<typeof ConnectionTablePost>;

/** What is read with a table to answer it. */
export const include = { connectionProfile: true, _count: { select: { pipelines: true } } } as const;

/** A table with its profile; throws `not_found`. */
export async function findTable(db: Db, id: string) {
  const row = await db.connectionTable.findUnique({ where: { id }, include });
  if (row) return row;
  throw new PenstockError('not_found', `There is no connection table ${id}`);
}

export const toWire = (row: Awaited<ReturnType<typeof findTable>>): Static<typeof ConnectionTable> => ({
  id: row.id,
  name: row.name,
  created_at: Number(row.createdAt),
  connector: row.connector,
  connection_profile: row.connectionProfile ? profileToWire(row.connectionProfile) : null,
  table_type: row.tableType as 'source' | 'sink',
  config: JSON.parse(row.config),
  schema: JSON.parse(row.schema ?? '{}'),
  consumers: row._count.pipelines,
});
