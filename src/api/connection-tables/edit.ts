import { isDeepStrictEqual } from 'node:util';
import { connectorFor } from '../../connectors/registry.ts';
import { newId } from '../../store/id.ts';
import { refuseRename, refuseUsedTable } from '../dependents.ts';
import type { Deps } from '../deps.ts';
import type { Change, Kind } from '../kind.ts';
import { refuseOtherConnector } from '../merge-patch.ts';
import { nowMicros } from '../schemas.ts';
import type { StagedDefinitions } from '../staged-definitions.ts';
import { checkTable, completed } from './checks.ts';
import {
  ConnectionTable,
  ConnectionTablePatch,
  ConnectionTablePost,
  include,
  type TableRow,
  tableToBody,
  toListed,
  toWire,
} from './wire.ts';

export const tableKind = (deps: Deps): Kind<TableRow, ConnectionTablePost> => ({
  path: 'connection_tables',
  title: 'ConnectionTable',
  noun: 'connection table',
  summaries: {
    create: 'Create a connection table',
    change: 'Change a connection table',
    delete: 'Delete a connection table that no pipeline uses',
  },
  listDescription: 'The schemas are complete: they include every column and its SQL type.',
  paged: true,
  Response: ConnectionTable,
  Body: ConnectionTablePost,
  Patch: ConnectionTablePatch,
  besides: [],
  find: (where) => deps.db.connectionTable.findUnique({ where, include }),
  rows: (query) => deps.db.connectionTable.findMany({ ...query, include }),
  toBody: tableToBody,
  toOpenBody: tableToBody,
  toWire,
  toListed,
  save: (body, current, staged) => save(deps, body, current, staged),
  remove: (row) => ({
    reads: { tables: new Map([[row.id, row.version]]) },
    written: row.id,
    forWorker: true,
    async store(tx) {
      await refuseUsedTable(tx, row.id);
      await tx.connectionTable.delete({ where: { id: row.id } });
      return { row };
    },
  }),
});

async function save(
  deps: Deps,
  sent: ConnectionTablePost,
  current: TableRow | undefined,
  staged: StagedDefinitions,
): Promise<Change<TableRow>> {
  const body = completed(sent);
  if (current) refuseOtherConnector(connectorFor(current.connector), body.connector);
  const { connector, profileRow } = await checkTable(deps, body, staged);
  const id = current?.id ?? newId('ct');
  const reads = {
    profiles: new Map(profileRow ? [[profileRow.id, profileRow.version]] : []),
    tables: new Map([[id, current?.version ?? 0]]),
  };
  const { name, labels = {}, ...after } = body;
  const { name: oldName, labels: oldLabels, ...before } = current ? tableToBody(current) : {};
  const sameForJobs = isDeepStrictEqual(before, after);
  const renamed = current !== undefined && name !== oldName;
  if (current && sameForJobs && !renamed && isDeepStrictEqual(labels, oldLabels))
    return { reads, forWorker: false, store: async () => ({ row: current }) };

  if (renamed) await refuseRename(deps.db, 'table', id);
  const updatedAt = nowMicros();
  const row = {
    id,
    name,
    connector: body.connector,
    connectionProfileId: profileRow?.id ?? null,
    tableType: connector.direction(body.config),
    config: JSON.stringify(body.config),
    schema: JSON.stringify(body.schema),
    labels: JSON.stringify(labels),
    version: current?.version ?? 0,
    createdAt: current?.createdAt ?? updatedAt,
    updatedAt,
  };
  if (!sameForJobs) staged.tables.set(id, { ...row, connectionProfile: profileRow });
  return {
    reads,
    forWorker: current !== undefined && !sameForJobs,
    async store(tx) {
      const data = { ...row, version: row.version + 1 };
      if (!current) return { row: await tx.connectionTable.create({ data, include }) };
      if (renamed) await refuseRename(tx, 'table', id);
      return { row: await tx.connectionTable.update({ where: { id }, data, include }) };
    },
  };
}
