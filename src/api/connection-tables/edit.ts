import { isDeepStrictEqual } from 'node:util';
import { connectorFor } from '../../connectors/registry.ts';
import type { Tx } from '../../store/db.ts';
import { newId } from '../../store/id.ts';
import { type Approve, approveTable, refuseRename, refuseUsedTable } from '../dependents.ts';
import type { Deps } from '../deps.ts';
import type { Kind, Saved } from '../kind.ts';
import { refuseOtherConnector } from '../merge-patch.ts';
import { nowMicros } from '../schemas.ts';
import { expectOne, hold } from '../write.ts';
import { checkTable, completed } from './checks.ts';
import {
  ConnectionTable,
  ConnectionTablePatch,
  ConnectionTablePost,
  include,
  type TableRow,
  tableToBody,
  toWire,
} from './wire.ts';

/** Creating, replacing, changing and deleting tables. */
export const tableKind = (
  deps: Deps,
  approve: Pick<Approve, 'table'> = { table: approveTable },
): Kind<TableRow, ConnectionTablePost> => ({
  path: 'connection_tables',
  title: 'ConnectionTable',
  noun: 'connection table',
  creates: 'Create a connection table',
  changes: 'Change a connection table',
  deletes: 'Delete a connection table that no pipeline uses',
  Answer: ConnectionTable,
  Body: ConnectionTablePost,
  Patch: ConnectionTablePatch,
  besides: [],
  find: (where) => deps.db.connectionTable.findUnique({ where, include }),
  toBody: tableToBody,
  toWire,
  async save(sent, current) {
    const body = completed(sent);
    return current ? replace(deps, body, current, approve) : create(deps, body);
  },
  async remove({ id, version }) {
    await refuseUsedTable(deps.db, id);
    return async (tx) => {
      await hold(tx, { tables: new Map([[id, version]]) });
      await refuseUsedTable(tx, id);
      await tx.connectionTable.delete({ where: { id } });
    };
  },
});

/** The columns of a checked table, and the version of the profile that it was checked with. */
async function checkedColumns(deps: Deps, body: ConnectionTablePost) {
  const { connector, profileRow } = await checkTable(deps, body);
  const columns = {
    name: body.name,
    connectionProfileId: profileRow?.id ?? null,
    tableType: connector.direction(body.config),
    config: JSON.stringify(body.config),
    schema: JSON.stringify(body.schema),
    labels: JSON.stringify(body.labels ?? {}),
    updatedAt: nowMicros(),
  };
  return { columns, profileRow, profiles: new Map(profileRow ? [[profileRow.id, profileRow.version]] : []) };
}

async function create(deps: Deps, body: ConnectionTablePost) {
  const { columns, profiles } = await checkedColumns(deps, body);
  const { connector } = body;
  const data = { ...columns, id: newId('ct'), connector, createdAt: columns.updatedAt };
  return async (tx: Tx): Promise<Saved<TableRow>> => {
    await hold(tx, { profiles });
    return { row: await tx.connectionTable.create({ data, include }), drains: [], forWorker: false };
  };
}

async function replace(
  deps: Deps,
  body: ConnectionTablePost,
  current: TableRow,
  approve: Pick<Approve, 'table'>,
) {
  const { id, version } = current;
  refuseOtherConnector(connectorFor(current.connector), body.connector);
  const { columns, profileRow, profiles } = await checkedColumns(deps, body);
  const { name: oldName, labels: oldLabels, ...before } = tableToBody(current);
  const { name, labels = {}, ...after } = body;
  const sameForJobs = isDeepStrictEqual(before, after);
  if (sameForJobs && name === oldName && isDeepStrictEqual(labels, oldLabels))
    return async (): Promise<Saved<TableRow>> => ({ row: current, drains: [], forWorker: false });

  if (name !== oldName) await refuseRename(deps.db, 'table', id);
  const changed = { ...current, ...columns, connectionProfile: profileRow };
  const approved = sameForJobs ? undefined : await approve.table(deps, changed);
  return async (tx: Tx): Promise<Saved<TableRow>> => {
    await hold(tx, { profiles });
    const where = { id, version };
    expectOne(await tx.connectionTable.updateMany({ where, data: { ...columns, version: version + 1 } }));
    if (name !== oldName) await refuseRename(tx, 'table', id);
    await approved?.announce(tx);
    const row = await tx.connectionTable.findUniqueOrThrow({ where: { id }, include });
    return { row, drains: approved?.drains ?? [], forWorker: approved !== undefined };
  };
}
