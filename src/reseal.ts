import { profileOwner } from './catalog.ts';
import { connectorFor } from './connectors/registry.ts';
import { PenstockError } from './errors.ts';
import { type JsonObject, openConfig, type SecretBox, sealConfig, sealedIn } from './secrets.ts';
import type { Db } from './store/db.ts';

/** Every stored secret at once: whether they can be opened at all, and how they get under a new key. */

const pageSize = 200;

interface SealedRow {
  id: string;
  connector: string;
  config: string;
}

/** All profiles with a secret, page by page. */
async function* sealedProfiles(db: Db): AsyncGenerator<SealedRow> {
  for (let after = ''; ; ) {
    const rows = await db.connectionProfile.findMany({
      where: { id: { gt: after }, config: { contains: '"$sealed"' } },
      orderBy: { id: 'asc' },
      take: pageSize,
      select: { id: true, connector: true, config: true },
    });
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < pageSize) return;
    after = last.id;
  }
}

const read = ({ connector, config }: SealedRow) => {
  const { profile: schema } = connectorFor(connector);
  const stored = JSON.parse(config) as JsonObject;
  return { schema, stored, blobs: sealedIn(stored, schema) };
};

/**
 * Answers how many profiles have a secret that was sealed with a key we do not have. Throws `secret_unreadable` when
 * all of them have: then the key is not the one of this database.
 */
export async function countUnreadable(db: Db, box: SecretBox): Promise<number> {
  let sealed = 0;
  let unreadable = 0;
  for await (const row of sealedProfiles(db)) {
    sealed += 1;
    if (!read(row).blobs.every((blob) => box.hasKeyOf(blob))) unreadable += 1;
  }
  if (sealed === 0 || unreadable < sealed) return unreadable;
  throw new PenstockError(
    'secret_unreadable',
    'The secret key is not the one this database was written with',
    {
      hint: 'Set PENSTOCK_SECRET_KEY to the key that was used before, or put its secret.key into the data folder.',
    },
  );
}

/**
 * Seals every secret with the first key again, so that the others can be taken out of the settings. Safe beside a
 * running service: a profile that is edited meanwhile is left to that edit. Answers how many profiles were written.
 */
export async function resealAll(db: Db, box: SecretBox): Promise<number> {
  let written = 0;
  for await (const row of sealedProfiles(db)) {
    const { schema, stored, blobs } = read(row);
    if (blobs.every((blob) => box.isCurrent(blob))) continue;
    const owner = profileOwner(row.id);
    const config = JSON.stringify(sealConfig(openConfig(stored, schema, box, owner), schema, box, owner));
    const { count } = await db.connectionProfile.updateMany({
      where: { id: row.id, config: row.config },
      data: { config },
    });
    written += count;
  }
  return written;
}
