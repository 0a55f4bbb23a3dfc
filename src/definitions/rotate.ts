import type { TSchema } from 'typebox';
import { connectorFor } from '../connectors/registry.ts';
import { PenstockError } from '../errors.ts';
import { type JsonObject, openConfig, sealConfig, sealedIn } from '../security/config-secrets.ts';
import type { SecretBox } from '../security/secret-box.ts';
import type { Db } from '../store/db.ts';
import { profileOwner, sessionOwner, stateOwner, statePartOwner, tableOwner, taskOwner } from './catalog.ts';
import { openQuery, sealedInQuery, sealQuery } from './query-secrets.ts';

/** Checks that every stored secret can be opened, and rotates them to a new key. */

const pageSize = 200;

interface Sealed {
  blobs: string[];
  /** Seals them with the first key unless the row has changed since it was read; returns the number of rows written. */
  rotate(): Promise<number>;
}

async function* pages<T extends { id: string }>(
  find: (page: { where: { id: { gt: string } }; orderBy: { id: 'asc' }; take: number }) => Promise<T[]>,
): AsyncGenerator<T> {
  for (let after = ''; ; ) {
    const rows = await find({ where: { id: { gt: after } }, orderBy: { id: 'asc' }, take: pageSize });
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < pageSize) return;
    after = last.id;
  }
}

type WriteConfig = (written: {
  where: { id: string; config: string };
  data: { config: string };
}) => Promise<{ count: number }>;

function sealedConfig(
  { id, config }: { id: string; config: string },
  schema: TSchema,
  box: SecretBox,
  owner: string,
  write: WriteConfig,
): Sealed {
  const stored = JSON.parse(config) as JsonObject;
  const rotate = async (): Promise<number> => {
    const fresh = JSON.stringify(sealConfig(openConfig(stored, schema, box, owner), schema, box, owner));
    return (await write({ where: { id, config }, data: { config: fresh } })).count;
  };
  return { blobs: sealedIn(stored, schema), rotate };
}

async function* everySealed(db: Db, box: SecretBox): AsyncGenerator<Sealed> {
  for await (const row of pages((page) => db.connectionProfile.findMany(page))) {
    const { profile } = connectorFor(row.connector);
    yield sealedConfig(row, profile, box, profileOwner(row.id), (to) => db.connectionProfile.updateMany(to));
  }
  for await (const row of pages((page) => db.connectionTable.findMany(page))) {
    const { table } = connectorFor(row.connector);
    yield sealedConfig(row, table, box, tableOwner(row.id), (to) => db.connectionTable.updateMany(to));
  }
  for await (const { id, query } of pages((page) => db.pipeline.findMany(page))) {
    const rotate = async (): Promise<number> => {
      const fresh = sealQuery(box, id, openQuery(box, id, query));
      return (await db.pipeline.updateMany({ where: { id, query }, data: { query: fresh } })).count;
    };
    yield { blobs: sealedInQuery(query), rotate };
  }
  for await (const { id, work } of pages((page) => db.task.findMany(page))) {
    const owner = taskOwner(id);
    const rotate = async (): Promise<number> => {
      const fresh = box.seal(box.open(work, owner), owner);
      return (await db.task.updateMany({ where: { id, work }, data: { work: fresh } })).count;
    };
    yield { blobs: [work], rotate };
  }
  for await (const row of pages((page) => db.sourceSession.findMany(page))) {
    const { id, connector, profile, insert } = row;
    const { profile: schema } = connectorFor(connector);
    const stored = JSON.parse(profile) as JsonObject;
    const owner = sessionOwner(id);
    const rotate = async (): Promise<number> => {
      const opened = openConfig(stored, schema, box, owner);
      const fresh = {
        profile: JSON.stringify(sealConfig(opened, schema, box, owner)),
        insert: insert === null ? null : box.seal(box.open(insert, owner), owner),
      };
      return (await db.sourceSession.updateMany({ where: { id, profile, insert }, data: fresh })).count;
    };
    yield { blobs: [...sealedIn(stored, schema), ...(insert === null ? [] : [insert])], rotate };
  }
  yield* sealedStates(db, box);
}

/** The states of jobs that are sealed. Their bytes are read only to rotate them. */
async function* sealedStates(db: Db, box: SecretBox): AsyncGenerator<Sealed> {
  const states = {
    select: { jobId: true, operatorId: true, sealed: true },
    where: { sealed: { not: null } },
  };
  for (const { sealed: blob, ...place } of await db.taskState.findMany(states)) {
    const rotate = async (): Promise<number> => {
      const row = await db.taskState.findFirst({ where: { ...place, sealed: { not: null } } });
      if (row?.sealed == null) return 0;
      const { commits, sealed, control } = row;
      const opened = box.openBytes({ sealed, data: control }, stateOwner(place));
      const fresh = box.sealBytes(opened, stateOwner(place));
      const data = { sealed: fresh.sealed, control: fresh.data };
      return (await db.taskState.updateMany({ where: { ...place, commits }, data })).count;
    };
    yield { blobs: [blob ?? ''], rotate };
  }
  const select = { jobId: true, operatorId: true, segment: true, part: true, sealed: true };
  for (const { sealed, ...id } of await db.statePart.findMany({ where: { sealed: { not: null } }, select })) {
    const rotate = async (): Promise<number> => {
      const row = await db.statePart.findFirst({ where: { ...id, sealed } });
      if (row?.sealed == null) return 0;
      const owner = statePartOwner(id);
      const fresh = box.sealBytes(box.openBytes({ sealed: row.sealed, data: row.data }, owner), owner);
      return (await db.statePart.updateMany({ where: { ...id, sealed }, data: fresh })).count;
    };
    yield { blobs: [sealed ?? ''], rotate };
  }
}

/**
 * Returns the number of objects with a secret whose key is missing. Throws `secret_unreadable` when that is all of them:
 * the key belongs to another database.
 */
export async function countUnreadable(db: Db, box: SecretBox): Promise<number> {
  let sealed = 0;
  let unreadable = 0;
  for await (const { blobs } of everySealed(db, box)) {
    if (blobs.length > 0) sealed += 1;
    if (!blobs.every((blob) => box.hasKeyOf(blob))) unreadable += 1;
  }
  if (sealed === 0 || unreadable < sealed) return unreadable;
  throw wrongKey();
}

/** The same for a process that need not know how many: reads until it finds one that it can open. */
export async function checkKey(db: Db, box: SecretBox): Promise<void> {
  let sealed = false;
  for await (const { blobs } of everySealed(db, box)) {
    if (blobs.length === 0) continue;
    if (blobs.every((blob) => box.hasKeyOf(blob))) return;
    sealed = true;
  }
  if (sealed) throw wrongKey();
}

const wrongKey = (): PenstockError =>
  new PenstockError('secret_unreadable', 'The secret key is not the key of this database', {
    hint: 'Set PENSTOCK_SECRET_KEY to the key that was used before, or put its secret.key into the data folder.',
  });

/**
 * Seals every secret with the first key, so that the other keys can be removed from the settings. Safe during a running
 * service: rows that are edited at the same time are left alone. Returns the number of rows written.
 */
export async function rotateSecrets(db: Db, box: SecretBox): Promise<number> {
  let written = 0;
  for await (const { blobs, rotate } of everySealed(db, box)) {
    if (!blobs.every((blob) => box.isCurrent(blob))) written += await rotate();
  }
  return written;
}
