import Type, { type Static } from 'typebox';
import { connectorFor } from '../../connectors/registry.ts';
import { PenstockError } from '../../errors.ts';
import { expandSchema } from '../../formats/codec.ts';
import type { ConnectionSchema } from '../../formats/schema/schema.ts';
import { type JsonObject, mask, maskConfig, maskedPaths } from '../../security/config-secrets.ts';
import { optionName } from '../../sql/table-options.ts';
import { writeTable } from '../../sql/write-table.ts';
import type { Db } from '../../store/db.ts';
import { ConnectionProfile, exampleProfile, profileToWire } from '../connection-profiles/wire.ts';
import { Labels, LabelsPatch } from '../labels.ts';
import { ConnectorConfig, ConnectorId, Id, Micros, Name, nullable, strict } from '../schemas.ts';

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
    created_at: Micros,
    connector: Type.String(),
    connection_profile: nullable(ConnectionProfile),
    connection_profile_id: nullable(Type.String()),
    table_type: Type.Enum(['source', 'sink']),
    config: ConnectorConfig,
    schema: Type.Unsafe<ConnectionSchema>({ $ref: 'ConnectionSchema#' }),
    consumers: Type.Integer({ description: 'Number of pipelines that use it' }),
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
    connection_profile_id: Type.Optional(nullable(Id)),
    config: ConnectorConfig,
    schema: Type.Optional(nullable(Type.Unsafe<ConnectionSchema>({ $ref: 'ConnectionSchema#' }))),
    labels: Type.Optional(Labels),
  },
  { ...strict, title: 'ConnectionTablePost', examples: [{ ...post, labels: { site: 'north' } }] },
);
export type ConnectionTablePost = Static<typeof ConnectionTablePost>;

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

export const include = { connectionProfile: true, _count: { select: { pipelines: true } } } as const;

/** Throws `not_found`. */
export async function findTable(db: Db, id: string) {
  const row = await db.connectionTable.findUnique({ where: { id }, include });
  if (row) return row;
  throw new PenstockError('not_found', `There is no connection table ${id}`);
}

export type TableRow = Awaited<ReturnType<typeof findTable>>;

/** A single table: its config and schema are as they were sent, with the fields that a definition gives. */
export const toWire = (row: TableRow): Static<typeof ConnectionTable> => ({
  id: row.id,
  name: row.name,
  created_at: Number(row.createdAt),
  connector: row.connector,
  connection_profile: row.connectionProfile ? profileToWire(row.connectionProfile) : null,
  connection_profile_id: row.connectionProfileId,
  table_type: row.tableType as 'source' | 'sink',
  config: maskedConfig(row) as never,
  schema: withDefinedFields(JSON.parse(row.schema ?? '{}')),
  consumers: row._count.pipelines,
  labels: JSON.parse(row.labels),
});

const maskedConfig = ({ connector, config }: TableRow): JsonObject =>
  maskConfig(JSON.parse(config) as JsonObject, connectorFor(connector).table);

const withDefinedFields = (schema: ConnectionSchema): ConnectionSchema =>
  schema.definition ? expandSchema(schema) : schema;

/** A table in a list: its schema is complete, as Arroyo's console needs it. */
export const toListed = (row: TableRow): Static<typeof ConnectionTable> => {
  const table = toWire(row);
  return { ...table, schema: expandSchema(table.schema) };
};

export const tableToBody = (row: TableRow): JsonObject => ({
  name: row.name,
  connector: row.connector,
  connection_profile_id: row.connectionProfileId,
  config: maskedConfig(row),
  schema: JSON.parse(row.schema ?? '{}'),
  labels: JSON.parse(row.labels),
});

export const ConnectionTableSql = Type.Object(
  {
    sql: Type.String(),
    notes: Type.Array(Type.String(), {
      description: 'Parts of the table that SQL cannot say, and secrets to write',
    }),
  },
  {
    title: 'ConnectionTableSql',
    examples: [
      {
        sql: `CREATE TABLE "readings" (
  "device" TEXT NOT NULL,
  "celsius" DOUBLE
) WITH (
  connector = 'mqtt',
  connection_profile = 'plant',
  topic = 'plant/+/temperature',
  qos = 'AtLeastOnce',
  type = 'source',
  format = 'json',
  bad_data = 'drop'
);`,
        notes: [],
      },
    ],
  },
);

export function tableSql(row: TableRow): Static<typeof ConnectionTableSql> {
  const { id: connector, table: configSchema, defaultSchema } = connectorFor(row.connector);
  const config = maskedConfig(row);
  const { sql, notes } = writeTable({
    ...{ name: row.name, connector, profileName: row.connectionProfile?.name, config, configSchema },
    schema: JSON.parse(row.schema ?? '{}'),
    hasFixedColumns: defaultSchema?.fields !== undefined,
  });
  const secrets = maskedPaths(config, configSchema).map(
    (path) => `The option ${optionName(path.slice(1))} is a secret: write it in place of ${mask}`,
  );
  return { sql, notes: [...secrets, ...notes] };
}
