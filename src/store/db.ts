import { PrismaPg } from '@prisma/adapter-pg';
import {
  PrismaClientInitializationError,
  PrismaClientKnownRequestError,
  PrismaClientRustPanicError,
  PrismaClientUnknownRequestError,
  PrismaClientValidationError,
} from '@prisma/client/runtime/client';
import { type ErrorCode, PenstockError } from '../errors.ts';
import type { Prisma, PrismaClient } from '../generated/sqlite/client.ts';
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

export type Tx = Prisma.TransactionClient;

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

// A driver adapter's description of a failed statement, which Prisma passes on in `meta`, also for raw queries.
interface DriverFailure {
  kind: string;
  /** PostgreSQL: SQLSTATE. */
  code?: string;
  /** SQLite: the extended result code. */
  extendedCode?: number;
  constraint?: { fields?: string[]; index?: string };
}

const unavailableKinds = new Set([
  'AuthenticationFailed',
  'ConnectionClosed',
  'DatabaseAccessDenied',
  'DatabaseDoesNotExist',
  'DatabaseNotReachable',
  'SocketTimeout',
  'TlsConnectionError',
  'TooManyConnections',
  'TransactionAlreadyClosed',
]);

// Prisma's own timeouts: for a connection, and for a transaction.
const unavailableCodes = new Set(['P2024', 'P2028']);

// SQLSTATE classes: connection, resources, lock not available, shutdown or cancel, system.
const unavailableClasses = new Set(['08', '53', '55', '57', '58']);

// A transaction that PostgreSQL ended because it idled or took too long.
const unavailableStates = new Set(['25P03', '25P04']);

// LOCKED, NOMEM, IOERR, FULL, CANTOPEN, PROTOCOL
const unavailableResults = new Set([6, 7, 10, 13, 14, 15]);

const inUse: Record<string, ErrorCode> = {
  ConnectionProfile: 'connection_profile_in_use',
  ConnectionTable: 'connection_table_in_use',
};

interface DbOperation {
  model?: string | undefined;
  name: string;
}

/** Translates an error of a database call, keeping the original as `cause`. Other errors come back as they are. */
export function translate(error: unknown, operation: DbOperation): unknown {
  if (error instanceof PrismaClientKnownRequestError) return known(error, operation);
  if (error instanceof PrismaClientInitializationError) return unavailable(error);
  if (isPrismaError(error))
    return new PenstockError('internal', 'The store was used wrongly', { cause: error });
  return error;
}

/** As `translate`, for errors that can only come from Prisma or its driver. */
export function translateDriver(error: unknown, operation: DbOperation): unknown {
  const translated = translate(error, operation);
  if (translated !== error || error instanceof PenstockError) return translated;
  const mistake = error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError;
  // pg raises plain errors without a code for lost and failed connections.
  return mistake ? error : unavailable(error);
}

function known(error: PrismaClientKnownRequestError, operation: DbOperation): PenstockError {
  const failure = driverFailure(error);
  if (failure?.kind === 'TransactionWriteConflict') return unavailable(error, { conflict: true });
  if (error.code === 'P2025') return notFound(error, operation);
  if (unavailableCodes.has(error.code) || (failure && isUnavailable(failure))) return unavailable(error);
  if (failure?.kind === 'UniqueConstraintViolation' && isName(failure)) return nameTaken(error, operation);
  if (failure?.kind === 'ForeignKeyConstraintViolation' || failure?.kind === 'RestrictViolation')
    return stillReferred(error, operation);
  return new PenstockError('internal', 'The database refused an operation', { cause: error });
}

function driverFailure(error: PrismaClientKnownRequestError): DriverFailure | undefined {
  const adapterError = error.meta?.driverAdapterError as { cause?: DriverFailure } | undefined;
  return adapterError?.cause;
}

function isUnavailable({ kind, code, extendedCode }: DriverFailure): boolean {
  if (unavailableKinds.has(kind)) return true;
  if (kind === 'postgres' && code !== undefined)
    return unavailableStates.has(code) || unavailableClasses.has(code.slice(0, 2));
  return kind === 'sqlite' && unavailableResults.has((extendedCode ?? 0) & 0xff);
}

// PostgreSQL names the index, which Prisma calls <Model>_name_key; SQLite names the columns.
function isName({ constraint }: DriverFailure): boolean {
  return constraint?.fields?.join() === 'name' || (constraint?.index ?? '').endsWith('_name_key');
}

/** `conflict` in `facts`: the transaction was ended to break a deadlock, and may be repeated. */
function unavailable(cause: unknown, facts: { conflict?: true } = {}): PenstockError {
  const hint =
    'Try again shortly. If it persists, check that the database runs and that PENSTOCK_DATABASE_URL is right.';
  return new PenstockError('database_unavailable', 'The database does not respond', { hint, cause, facts });
}

function nameTaken(cause: unknown, { model }: DbOperation): PenstockError {
  return new PenstockError('name_taken', `Another ${spoken(model)} has this name`, {
    hint: 'Choose another name.',
    errors: [{ path: '/name', message: 'is already in use' }],
    cause,
  });
}

function notFound(cause: unknown, { model }: DbOperation): PenstockError {
  return new PenstockError('not_found', `The ${spoken(model)} does not exist`, { cause });
}

function stillReferred(cause: unknown, { model, name }: DbOperation): PenstockError {
  const object = `The ${spoken(model)}`;
  if (name.startsWith('delete'))
    return new PenstockError(
      inUse[model ?? ''] ?? 'internal',
      `${object} is in use; delete its users first`,
      { cause },
    );
  return new PenstockError('not_found', `${object} refers to a deleted object; read it again`, { cause });
}

const spoken = (model = 'object'): string => model.replace(/(?<=[a-z])(?=[A-Z])/g, ' ').toLowerCase();

function isPrismaError(error: unknown): boolean {
  return (
    error instanceof PrismaClientValidationError ||
    error instanceof PrismaClientUnknownRequestError ||
    error instanceof PrismaClientRustPanicError
  );
}
