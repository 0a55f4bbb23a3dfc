import { isDeepStrictEqual } from 'node:util';
import { connectorFor } from '../../connectors/registry.ts';
import { PenstockError } from '../../errors.ts';
import { type JsonObject, keepMasked, maskedPaths } from '../../security/config-secrets.ts';
import { newId } from '../../store/id.ts';
import { refuseRename, refuseUsedProfile } from '../dependents.ts';
import type { Deps } from '../deps.ts';
import type { Change, Kind } from '../kind.ts';
import { refuseOtherConnector } from '../merge-patch.ts';
import { nowMicros } from '../schemas.ts';
import type { ProfileRow, StagedDefinitions } from '../staged-definitions.ts';
import {
  ConnectionProfile,
  ConnectionProfilePatch,
  ConnectionProfilePost,
  checkProfile,
  profileToBody,
  profileToWire,
} from './wire.ts';

export const profileKind = (deps: Deps): Kind<ProfileRow, ConnectionProfilePost> => ({
  path: 'connection_profiles',
  title: 'ConnectionProfile',
  noun: 'connection profile',
  summaries: {
    create: 'Create a connection profile',
    change: 'Change a connection profile',
    delete: 'Delete an unused connection profile',
  },
  paged: false,
  Response: ConnectionProfile,
  Body: ConnectionProfilePost,
  Patch: ConnectionProfilePatch,
  besides: [],
  find: (where) => deps.db.connectionProfile.findUnique({ where }),
  rows: (query) => deps.db.connectionProfile.findMany(query),
  toBody: profileToBody,
  toOpenBody: (row) => ({ ...profileToBody(row), config: deps.catalog.profile(row) }),
  toWire: profileToWire,
  toListed: profileToWire,
  save: (body, current, staged) => save(deps, body, current, staged),
  remove: (row) => ({
    reads: { profiles: new Map([[row.id, row.version]]) },
    written: row.id,
    forWorker: true,
    async store(tx) {
      await refuseUsedProfile(tx, row.id);
      return { row: await tx.connectionProfile.delete({ where: { id: row.id } }) };
    },
  }),
});

async function save(
  deps: Deps,
  body: ConnectionProfilePost,
  current: ProfileRow | undefined,
  staged: StagedDefinitions,
): Promise<Change<ProfileRow>> {
  const { name, connector, labels = {} } = body;
  if (current) refuseOtherConnector(connectorFor(current.connector), connector);
  const stored = current && storedConfig(deps, current, body.config);
  const sent = current ? keepMasked(body.config, stored ?? {}, connectorFor(connector).profile) : body.config;
  const config = checkProfile({ ...body, config: sent as never });
  const id = current?.id ?? newId('cp');
  const reads = { profiles: new Map([[id, current?.version ?? 0]]) };
  const sameConfig = current !== undefined && isDeepStrictEqual(config, stored);
  const renamed = current !== undefined && name !== current.name;
  if (sameConfig && !renamed && isDeepStrictEqual(labels, JSON.parse(current.labels)))
    return { reads, forWorker: false, store: async () => ({ row: current }) };

  if (renamed) await refuseRename(deps.db, 'profile', id);
  const updatedAt = nowMicros();
  const row: ProfileRow = {
    id,
    name,
    connector,
    config: sameConfig ? current.config : deps.catalog.sealProfile(id, connector, config),
    labels: JSON.stringify(labels),
    version: current?.version ?? 0,
    createdAt: current?.createdAt ?? updatedAt,
    updatedAt,
  };
  if (!sameConfig) staged.profiles.set(id, row);
  return {
    reads,
    forWorker: current !== undefined && !sameConfig,
    async store(tx) {
      const data = { ...row, version: row.version + 1 };
      if (!current) return { row: await tx.connectionProfile.create({ data }) };
      if (renamed) await refuseRename(tx, 'profile', id);
      return { row: await tx.connectionProfile.update({ where: { id }, data }) };
    },
  };
}

/** The stored config with its secrets; undefined when they can no longer be opened and none is to be kept. */
function storedConfig({ catalog }: Deps, row: ProfileRow, sent: JsonObject): JsonObject | undefined {
  try {
    return catalog.profile(row);
  } catch (error) {
    const keeps = maskedPaths(sent, connectorFor(row.connector).profile).length > 0;
    if (keeps || !(error instanceof PenstockError) || error.code !== 'secret_unreadable') throw error;
    return undefined;
  }
}
