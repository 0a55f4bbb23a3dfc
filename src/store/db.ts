import type { PrismaPg } from '@prisma/adapter-pg';
import { asPenstockError, PenstockError } from '../errors.ts';
import type { Prisma, PrismaClient } from '../generated/sqlite/client.ts';
import { followClock } from './clock.ts';
import { translate, translateDriver } from './failures.ts';
import type { SqliteAdapter } from './sqlite.ts';

/**
 * The Prisma client, the same for both databases. Calls throw `PenstockError`: `name_taken`, `not_found`,
 * `connection_profile_in_use`, `connection_table_in_use`, `database_…` (passing: see `isDatabaseFailure`) or `internal`.
 * The database's own words are only in `facts.said` and `cause`.
 *
 * Inside `$transaction(async (tx) => …)` use `tx` only: on SQLite a call on the client waits for the transaction to end.
 * PostgreSQL runs transactions concurrently (read committed): guard a write with a condition on what was read, such as
 * the version.
 */
export type Db = PrismaClient;

export type Tx = Prisma.TransactionClient;

const limits = { transactionStart: 10_000, transaction: 10_000 };

/** Returns the kind of database that a URL names. Throws `invalid_config`. */
export function providerOf(url: string): 'sqlite' | 'postgresql' {
  if (url.startsWith('file:')) return 'sqlite';
  if (/^postgres(ql)?:\/\//.test(url)) return 'postgresql';
  throw new PenstockError('invalid_config', 'The database URL must begin with file: or postgresql://', {
    hint: 'Set PENSTOCK_DATABASE_URL to file:<path> or postgresql://<user>:<password>@<host>/<database>.',
  });
}

const stopFollowing = new WeakMap<Db, () => void>();
const sqlite = new WeakMap<Db, SqliteAdapter>();

export const providerIn = (db: Db): 'sqlite' | 'postgresql' => (sqlite.has(db) ? 'sqlite' : 'postgresql');

/** Opens a migrated database. Throws `database_unavailable` and other codes when it cannot be used. */
export async function openDb(url: string): Promise<Db> {
  const { client, adapter } = await connect(url);
  const db = translating(client);
  try {
    await db.$queryRaw`SELECT 1`;
    // Processes that share a file share the clock of its machine.
    if (adapter) sqlite.set(db, adapter);
    else stopFollowing.set(db, await followClock(() => timeOf(db)));
  } catch (error) {
    await closeDb(db);
    throw error;
  }
  return db;
}

async function timeOf(db: Db): Promise<bigint> {
  const [row] = await db.$queryRaw<{ now: bigint }[]>`
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now`;
  return row?.now as bigint;
}

export async function closeDb(db: Db): Promise<void> {
  stopFollowing.get(db)?.();
  await db.$disconnect();
}

/** The tables that workers follow, and of which a write is noticed. */
const followed: ReadonlySet<string | undefined> = new Set([
  ...['Pipeline', 'Job', 'Task', 'DeadLetter', 'SourceSession'],
]);

/** Number of writes of this process to them. Those that a transaction rolls back count too. */
const writes = new WeakMap<Db, { count: number }>();

/**
 * A text that stays the same as long as nobody writes what workers follow. Read it before the rows. Undefined for PostgreSQL:
 * only reading them tells.
 */
export async function versionOf(db: Db): Promise<string | undefined> {
  const adapter = sqlite.get(db);
  if (!adapter) return undefined;
  const own = writes.get(db)?.count;
  try {
    return `${await adapter.version()} ${own}`;
  } catch (error) {
    throw translateDriver(error, { name: '$queryRaw' });
  }
}

/** Why the database cannot be used; undefined when it takes writes. */
export async function databaseFailure(db: Db, deadlineMs = 2_000): Promise<PenstockError | undefined> {
  const late = new PenstockError('database_unavailable', 'The database does not respond', {
    hint: 'Try again shortly.',
  });
  const { promise, resolve } = Promise.withResolvers<PenstockError>();
  const timer = setTimeout(resolve, deadlineMs, late);
  const written = probes.get(db) ?? probe(db).finally(() => probes.delete(db));
  probes.set(db, written);
  const result = await Promise.race([written, promise]);
  clearTimeout(timer);
  return result;
}

/** Running probes. Requests that come meanwhile share one. */
const probes = new WeakMap<Db, Promise<PenstockError | undefined>>();

async function probe(db: Db): Promise<PenstockError | undefined> {
  try {
    // PostgreSQL refuses a write that finds no row, too. SQLite notices a full disk only when it writes a page.
    if (providerIn(db) === 'sqlite')
      await db.$executeRaw`UPDATE "_prisma_migrations" SET "applied_steps_count" = "applied_steps_count"
        WHERE "migration_name" = (SELECT min("migration_name") FROM "_prisma_migrations")`;
    else await db.job.updateMany({ where: { id: '' }, data: { updatedAt: 0n } });
    return undefined;
  } catch (error) {
    return asPenstockError(error);
  }
}

/**
 * Maximum number of queries whose plans Prisma keeps, instead of 1,000. An OR has a plan for each number of its conditions, and one of 200
 * takes a quarter of a megabyte.
 */
const maxPlans = 200;

async function connect(url: string): Promise<{ client: Db; adapter?: SqliteAdapter }> {
  const options = {
    errorFormat: 'minimal',
    queryPlanCacheMaxSize: maxPlans,
    transactionOptions: { maxWait: limits.transactionStart, timeout: limits.transaction },
  } as const;
  if (providerOf(url) === 'sqlite') {
    const { PrismaClient } = await import('../generated/sqlite/client.ts');
    const adapter = await openSqliteAdapter(url);
    return { client: new PrismaClient({ ...options, adapter }), adapter };
  }
  const { PrismaClient } = await import('../generated/postgresql/client.ts');
  // Same schema. Features of PostgreSQL alone, such as case-insensitive filters, are not in the type.
  return { client: new PrismaClient({ ...options, adapter: await postgres(url) }) as unknown as Db };
}

async function openSqliteAdapter(url: string): Promise<SqliteAdapter> {
  const { SqliteAdapter } = await import('./sqlite.ts');
  try {
    return await SqliteAdapter.open(url);
  } catch (error) {
    throw translateDriver(error, { name: 'open' });
  }
}

async function postgres(url: string): Promise<PrismaPg> {
  const [{ PrismaPg }, { findPostgres }] = await Promise.all([
    import('@prisma/adapter-pg'),
    import('./postgres.ts'),
  ]);
  const { config, schema } = await findPostgres(url);
  return new PrismaPg(config, { schema });
}

/** Returns the client with every error of Prisma and the driver translated. */
function translating(client: Db): Db {
  const own = { count: 0 };
  const extended = client.$extends({
    query: {
      async $allOperations({ model, operation, args, query }) {
        try {
          return await query(args);
        } catch (error) {
          throw translateDriver(error, { model, name: operation });
        } finally {
          // Afterwards: who reads between the two reads again.
          if (followed.has(model) && !isRead(operation)) own.count++;
        }
      },
    },
  }) as unknown as Db;
  // Extensions do not see the begin and commit of a transaction.
  const $transaction = translatingTransaction(extended);
  const db = new Proxy(extended, {
    get: (target, key) => (key === '$transaction' ? $transaction : Reflect.get(target, key)),
  });
  writes.set(db, own);
  return db;
}

const isRead = (operation: string): boolean => /^(find|count|aggregate|groupBy)/.test(operation);

type Body = (tx: Tx) => Promise<unknown>;
type TransactionOptions = {
  isolationLevel?: Prisma.TransactionIsolationLevel;
  maxWait?: number;
  timeout?: number;
};

function translatingTransaction(client: Db) {
  return async (
    work: Body | Prisma.PrismaPromise<unknown>[],
    options?: TransactionOptions,
  ): Promise<unknown> => {
    let thrown: unknown;
    const run = (body: Body) =>
      client.$transaction(async (tx) => {
        try {
          return await body(tx);
        } catch (error) {
          thrown = error;
          throw error;
        }
      }, options);
    try {
      return await (typeof work === 'function' ? run(work) : client.$transaction(work, options));
    } catch (error) {
      const operation = { name: '$transaction' };
      throw error === thrown ? translate(error, operation) : translateDriver(error, operation);
    }
  };
}
