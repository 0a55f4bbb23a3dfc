import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PenstockError } from '../errors.ts';
import { providerOf } from './db.ts';
import {
  type Migration,
  PostgresSession,
  type Recorded,
  type Session,
  SqliteSession,
} from './migration-session.ts';
import { unreachable, whyUnusable } from './reasons.ts';

const committed = fileURLToPath(new URL('../../prisma/migrations', import.meta.url));

/**
 * Applies missing migrations and returns their names. Safe in several processes at once. `_prisma_migrations` is kept as
 * `prisma migrate deploy` keeps it, so both can be used on one database.
 *
 * Each migration and its record are one transaction, so a crash leaves none half applied. Throws
 * `database_migration_failed`, `database_migration_edited`, `database_too_new` or `database_unavailable`.
 *
 * @param folder holds one folder of migrations for each provider
 */
export async function applyMigrations(url: string, folder = committed): Promise<string[]> {
  const provider = providerOf(url);
  const migrations = await readMigrations(join(folder, provider));
  const session = await reached((provider === 'sqlite' ? SqliteSession : PostgresSession).open(url));
  try {
    const applied: string[] = [];
    for (;;) {
      const name = await applyNext(session, migrations);
      if (name === null) return applied;
      applied.push(name);
    }
  } finally {
    await session.close();
  }
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(names.sort().map((name) => readMigration(folder, name)));
}

async function readMigration(folder: string, name: string): Promise<Migration> {
  // The checksum is that of the committed file, also when a checkout changed its line endings.
  const sql = (await readFile(join(folder, name, 'migration.sql'), 'utf8')).replaceAll('\r\n', '\n');
  return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
}

/** Applies the first missing migration and returns its name, or null when none is missing. */
async function applyNext(session: Session, migrations: Migration[]): Promise<string | null> {
  const startedAt = new Date();
  await reached(session.begin());
  const recorded = (await reached(session.recorded())).filter((row) => !row.rolledBack);
  assertFits(recorded, migrations);
  const done = new Set(recorded.map((row) => row.name));
  const next = migrations.find((migration) => !done.has(migration.name));
  if (next === undefined) {
    await reached(session.rollback());
    return null;
  }
  await session.apply(next, startedAt).catch((cause: unknown) => {
    throw didNotApply(next, cause);
  });
  return next.name;
}

/** Refuses a database on which these migrations cannot be continued. */
function assertFits(recorded: Recorded[], migrations: Migration[]): void {
  const known = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const { name, checksum, finished } of recorded) {
    const migration = known.get(name);
    if (!finished) throw halfApplied(name);
    if (migration === undefined)
      throw recorded.some((row) => known.has(row.name)) ? tooNew(name) : foreign(name);
    if (migration.checksum !== checksum) throw edited(name);
  }
}

function halfApplied(name: string): PenstockError {
  return new PenstockError(
    'database_migration_failed',
    `The migration ${name} was begun and never finished`,
    {
      hint:
        'Undo by hand what it left behind (or restore a backup), then mark it as undone with: ' +
        'UPDATE "_prisma_migrations" SET "rolled_back_at" = CURRENT_TIMESTAMP ' +
        `WHERE "migration_name" = '${name}' AND "finished_at" IS NULL; and start again.`,
    },
  );
}

function tooNew(name: string): PenstockError {
  return new PenstockError(
    'database_too_new',
    `The database has a migration this version does not know: ${name}`,
    {
      hint: 'Run the version of Penstock that was used last, or a newer one, or restore a backup from before it.',
    },
  );
}

function foreign(name: string): PenstockError {
  return new PenstockError(
    'database_too_new',
    `The database has the migrations of another program: ${name}`,
    {
      hint: 'Give Penstock a database or a schema of its own: ?schema=penstock in PENSTOCK_DATABASE_URL.',
    },
  );
}

function edited(name: string): PenstockError {
  return new PenstockError(
    'database_migration_edited',
    `The migration ${name} is not the one that was applied`,
    {
      hint: `Restore the released migration.sql of ${name}, and put further changes into a new migration.`,
    },
  );
}

function didNotApply({ name }: Migration, cause: unknown): PenstockError {
  const reason = whyUnusable(cause);
  if (reason !== undefined) return reason;
  const said = (cause as Error).message;
  return new PenstockError('database_migration_failed', `The migration ${name} could not be applied`, {
    hint: 'The database is unchanged. Correct the cause, and start again.',
    cause,
    facts: { said },
  });
}

async function reached<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw unreachable(cause);
  }
}
