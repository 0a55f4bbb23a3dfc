import { isDeepStrictEqual } from 'node:util';
import { connectorFor } from '../../connectors/registry.ts';
import { PenstockError } from '../../errors.ts';
import { type JsonObject, keepMasked, maskedPaths } from '../../security/config-secrets.ts';
import type { Tx } from '../../store/db.ts';
import { newId } from '../../store/id.ts';
import { type Approve, approveProfile, refuseRename, refuseUsedProfile } from '../dependents.ts';
import type { Deps } from '../deps.ts';
import type { Kind, Saved } from '../kind.ts';
import { refuseOtherConnector } from '../merge-patch.ts';
import { nowMicros } from '../schemas.ts';
import { expectOne, hold } from '../write.ts';
import {
  ConnectionProfile,
  ConnectionProfilePatch,
  ConnectionProfilePost,
  checkProfile,
  profileToBody,
  profileToWire,
} from './wire.ts';

type Row = NonNullable<Awaited<ReturnType<Deps['db']['connectionProfile']['findUnique']>>>;

/** Creating, replacing, changing and deleting profiles. */
export const profileKind = (
  deps: Deps,
  approve: Pick<Approve, 'profile'> = { profile: approveProfile },
): Kind<Row, ConnectionProfilePost> => ({
  path: 'connection_profiles',
  title: 'ConnectionProfile',
  noun: 'connection profile',
  creates: 'Create a connection profile',
  changes: 'Change a connection profile',
  deletes: 'Delete a connection profile that nothing uses',
  Answer: ConnectionProfile,
  Body: ConnectionProfilePost,
  Patch: ConnectionProfilePatch,
  besides: [],
  find: (where) => deps.db.connectionProfile.findUnique({ where }),
  toBody: profileToBody,
  toWire: profileToWire,
  save: (body, current) => (current ? replace(deps, body, current, approve) : create(deps, body)),
  async remove({ id, version }) {
    await refuseUsedProfile(deps.db, id);
    return async (tx) => {
      await hold(tx, { profiles: new Map([[id, version]]) });
      await refuseUsedProfile(tx, id);
      await tx.connectionProfile.delete({ where: { id } });
    };
  },
});

async function create({ catalog }: Deps, body: ConnectionProfilePost) {
  const config = checkProfile(body);
  const id = newId('cp');
  const now = nowMicros();
  const { name, connector, labels = {} } = body;
  const data = {
    id,
    name,
    connector,
    config: catalog.sealProfile(id, connector, config),
    labels: JSON.stringify(labels),
    createdAt: now,
    updatedAt: now,
  };
  return async (tx: Tx): Promise<Saved<Row>> => ({
    row: await tx.connectionProfile.create({ data }),
    drains: [],
    forWorker: false,
  });
}

async function replace(
  deps: Deps,
  body: ConnectionProfilePost,
  current: Row,
  approve: Pick<Approve, 'profile'>,
) {
  const { id, version, connector } = current;
  refuseOtherConnector(connectorFor(connector), body.connector);
  const stored = storedConfig(deps, current, body.config);
  const kept = keepMasked(body.config, stored ?? {}, connectorFor(connector).profile);
  const config = checkProfile({ ...body, config: kept as never });
  const sameConfig = isDeepStrictEqual(config, stored);
  const labels = body.labels ?? {};
  const sameLabels = isDeepStrictEqual(labels, JSON.parse(current.labels));
  if (sameConfig && sameLabels && body.name === current.name)
    return async (): Promise<Saved<Row>> => ({ row: current, drains: [], forWorker: false });

  if (body.name !== current.name) await refuseRename(deps.db, 'profile', id);
  const data = {
    name: body.name,
    labels: JSON.stringify(labels),
    config: sameConfig ? current.config : deps.catalog.sealProfile(id, connector, config),
    updatedAt: nowMicros(),
  };
  const approved = sameConfig ? undefined : await approve.profile(deps, { ...current, ...data });
  return async (tx: Tx): Promise<Saved<Row>> => {
    const where = { id, version };
    expectOne(await tx.connectionProfile.updateMany({ where, data: { ...data, version: version + 1 } }));
    if (body.name !== current.name) await refuseRename(tx, 'profile', id);
    await approved?.announce(tx);
    const row = await tx.connectionProfile.findUniqueOrThrow({ where: { id } });
    return { row, drains: approved?.drains ?? [], forWorker: approved !== undefined };
  };
}

/** What is stored, opened; undefined when it cannot be opened any more and nothing of it is to be kept. */
function storedConfig({ catalog }: Deps, row: Row, sent: JsonObject): JsonObject | undefined {
  try {
    return catalog.profile(row);
  } catch (error) {
    const keeps = maskedPaths(sent, connectorFor(row.connector).profile).length > 0;
    if (keeps || !(error instanceof PenstockError) || error.code !== 'secret_unreadable') throw error;
    return undefined;
  }
}
