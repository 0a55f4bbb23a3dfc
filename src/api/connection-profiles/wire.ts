import Type, { type Static, type TSchema } from 'typebox';
import { connectorFor } from '../../connectors/registry.ts';
import { checkProfileConfig } from '../../definitions/config-checks.ts';
import { PenstockError } from '../../errors.ts';
import { type JsonObject, mask, maskConfig, maskedPaths } from '../../security/config-secrets.ts';
import type { Db } from '../../store/db.ts';
import { Labels, LabelsPatch } from '../labels.ts';
import { ConnectorConfig, ConnectorId, Name, strict } from '../schemas.ts';
import type { ProfileRow } from '../staged-definitions.ts';

const post = {
  name: 'plant',
  connector: 'mqtt',
  config: { url: 'mqtt://localhost:1883', username: 'penstock', password: 'secret' },
};

/** As in responses, with secrets masked. */
export const exampleProfile = {
  id: 'cp_3fK0x9QzLm',
  ...post,
  config: { ...post.config, password: mask },
  description: post.config.url,
  labels: {},
};

export const ConnectionProfile = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    connector: Type.String(),
    config: ConnectorConfig,
    description: Type.String({ description: 'Address of the system, for people' }),
    labels: Labels,
  },
  { title: 'ConnectionProfile', examples: [exampleProfile] },
);

export const ConnectionProfilePost = Type.Object(
  { name: Name, connector: ConnectorId, config: ConnectorConfig, labels: Type.Optional(Labels) },
  { ...strict, title: 'ConnectionProfilePost', examples: [{ ...post, labels: { site: 'north' } }] },
);
export type ConnectionProfilePost = Static<typeof ConnectionProfilePost>;

export const ConnectionProfilePatch = Type.Object(
  {
    name: Type.Optional(Name),
    connector: Type.Optional(ConnectorId),
    config: Type.Optional(ConnectorConfig),
    labels: Type.Optional(LabelsPatch),
  },
  {
    ...strict,
    title: 'ConnectionProfilePatch',
    examples: [{ config: { password: 'another' } }, { labels: { site: null } }],
  },
);

export function profileToWire(row: ProfileRow): Static<typeof ConnectionProfile> {
  const connector = connectorFor(row.connector);
  const config = JSON.parse(row.config) as JsonObject;
  return {
    id: row.id,
    name: row.name,
    connector: row.connector,
    config: maskConfig(config, connector.profile) as never,
    description: connector.describe(config),
    labels: JSON.parse(row.labels),
  };
}

export const profileToBody = (row: ProfileRow): JsonObject => ({
  name: row.name,
  connector: row.connector,
  config: maskConfig(JSON.parse(row.config) as JsonObject, connectorFor(row.connector).profile),
  labels: JSON.parse(row.labels),
});

/** Arroyo's console repeats the name of the profile among the fields of the connector. */
function withoutName({ name, config }: Partial<ConnectionProfilePost>): JsonObject {
  const { name: again, ...fields } = config as unknown as JsonObject;
  return again !== undefined && again === name ? fields : (config as unknown as JsonObject);
}

/** Returns the config. Throws if it is invalid, or has the mask in place of a secret that is not stored. */
export function checkProfile(
  body: Pick<ConnectionProfilePost, 'connector' | 'config'> & { name?: string },
): JsonObject {
  const config = withoutName(body);
  checkProfileConfig(body.connector, config);
  refuseMasked(config, connectorFor(body.connector).profile);
  return config;
}

/** Throws if a config has the mask in place of a secret that is not stored. */
export function refuseMasked(config: JsonObject, schema: TSchema): void {
  const masked = maskedPaths(config, schema);
  if (masked.length === 0) return;
  throw new PenstockError(
    'invalid_config',
    `The config has the mask instead of a secret at ${masked.join(', ')}`,
    {
      hint: 'Send the secret itself: the mask only represents a stored secret.',
      errors: masked.map((path) => ({ path: `/config${path}`, message: 'is the mask, not a secret' })),
    },
  );
}

/** Throws `not_found`. */
export async function findProfile(db: Db, id: string) {
  const row = await db.connectionProfile.findUnique({ where: { id } });
  if (row) return row;
  throw new PenstockError('not_found', `There is no connection profile ${id}`);
}

/** Opens a stored config. Undefined if its secrets can no longer be opened and `sent` keeps none. */
export function readable(open: () => JsonObject, sent: JsonObject, schema: TSchema): JsonObject | undefined {
  try {
    return open();
  } catch (error) {
    const keeps = maskedPaths(sent, schema).length > 0;
    if (keeps || !(error instanceof PenstockError) || error.code !== 'secret_unreadable') throw error;
    return undefined;
  }
}
