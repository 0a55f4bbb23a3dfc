import { PrismaPg } from '@prisma/adapter-pg';
import { PenstockError } from '../errors.ts';
import type { Prisma, PrismaClient } from '../generated/sqlite/client.ts';
import { translate, translateDriver } from './errors.ts';
import { SqliteAdapter } from './sqlite.ts';

/**
 * The Prisma client, the same for both databases. Calls throw `PenstockError`: `name_taken`, `not_found`,
 * `connection_profile_in_use`, `connection_table_in_use`, `database_unavailable` (passing) or `internal`. What the
 * database said is only in `cause`.
 *
 * Inside `$transaction(async (tx) => …)` use `tx` only: on SQLite a call on the client waits for the transaction to end.
 * PostgreSQL runs transactions concurrently (read committed): guard a write with a condition on what was read, such as
 * the version.
 */
export type Db = PrismaClient;

/** The client inside a transaction. */
export type Tx = Prisma.TransactionClient;

/** Deadlines, in milliseconds. */
const limits = {
  connect: 5_000,
  transactionStart: 10_000,
  transaction: 10_000,
  query: 10_000,
};

/** Returns the kind of database that a URL names. Throws `invalid_config`. */
export function providerOf(url: string): 'sqlite' | 'postgresql' {
  if (url.startsWith('file:')) return 'sqlite';
  if (/^postgres(ql)?:\/\//.test(url)) return 'postgresql';
  throw new PenstockError('invalid_config', 'The database URL must begin with file: or postgresql://', {
    hint: 'Set PENSTOCK_DATABASE_URL to file:<path> or postgresql://<user>:<password>@<host>/<database>.',
  });
}

/** Opens a migrated database. Throws `database_unavailable` when it does not respond. */
export async function openDb(url: string): Promise<Db> {
  const db = translating(await connect(url));
  try {
    await db.$queryRaw`SELECT 1`;
  } catch (error) {
    await closeDb(db);
    throw error;
  }
  return db;
}

/** Waits for running queries and closes every connection. */
export async function closeDb(db: Db): Promise<void> {
  await db.$disconnect();
}

/** Whether the database responds to a small query on our tables within `deadlineMs`. */
export async function healthy(db: Db, deadlineMs = 2_000): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, deadlineMs, false);
  const answered = db.job.findFirst({ select: { id: true } }).then(
    () => true,
    () => false,
  );
  const result = await Promise.race([answered, late]);
  clearTimeout(timer);
  return result;
}

async function connect(url: string): Promise<Db> {
  const options = {
    errorFormat: 'minimal',
    transactionOptions: { maxWait: limits.transactionStart, timeout: limits.transaction },
  } as const;
  if (providerOf(url) === 'sqlite') {
    const { PrismaClient } = await import('../generated/sqlite/client.ts');
    return new PrismaClient({ ...options, adapter: await openSqliteAdapter(url) });
  }
  const { PrismaClient } = await import('../generated/postgresql/client.ts');
  // Same schema. Features of PostgreSQL alone, such as case-insensitive filters, are not in the type.
  return new PrismaClient({ ...options, adapter: postgres(url) }) as unknown as Db;
}

async function openSqliteAdapter(url: string): Promise<SqliteAdapter> {
  try {
    return await SqliteAdapter.open(url);
  } catch (error) {
    throw translateDriver(error, { name: 'open' });
  }
}

function postgres(url: string): PrismaPg {
  return new PrismaPg({
    connectionString: url,
    application_name: 'penstock',
    keepAlive: true,
    connectionTimeoutMillis: limits.connect,
    statement_timeout: limits.query,
    // For a server that stopped responding altogether.
    query_timeout: limits.query + limits.connect,
    // Releases the locks of a process that vanished.
    idle_in_transaction_session_timeout: limits.transaction,
  });
}

/** Returns the client with every error of Prisma and the driver translated. */
function translating(client: Db): Db {
  const extended = client.$extends({
    query: {
      async $allOperations({ model, operation, args, query }) {
        try {
          return await query(args);
        } catch (error) {
          throw translateDriver(error, { model, name: operation });
        }
      },
    },
  }) as unknown as Db;
  // Extensions do not see the begin and commit of a transaction.
  const $transaction = translatingTransaction(extended);
  return new Proxy(extended, {
    get: (target, key) => (key === '$transaction' ? $transaction : Reflect.get(target, key)),
  });
}

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
