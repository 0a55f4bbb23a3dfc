import {
  PrismaClientInitializationError,
  PrismaClientKnownRequestError,
  PrismaClientRustPanicError,
  PrismaClientUnknownRequestError,
  PrismaClientValidationError,
} from '@prisma/client/runtime/client';
import { type ErrorCode, PenstockError } from '../errors.ts';
import { type Symptoms, unavailable, unreachable, unusable } from './reasons.ts';

/** Translates what Prisma and the drivers throw, inside the transactions of Prisma too. */

// A driver adapter's description of a failed statement, which Prisma passes on in `meta`, also for raw queries.
interface DriverFailure {
  kind: string;
  /** PostgreSQL: SQLSTATE. SQLite: the extended result code. */
  code?: string;
  extendedCode?: number;
  originalCode?: string;
  originalMessage?: string;
  message?: string;
  reason?: string;
  host?: string;
  port?: number;
  constraint?: { fields?: string[]; index?: string };
}

function symptomsOfDriver(failure: DriverFailure): Symptoms {
  const { kind, code, extendedCode = 0, originalCode, originalMessage, message, reason } = failure;
  const at = failure.host === undefined ? kind : `${kind} (${failure.host}:${failure.port})`;
  return {
    code: originalCode ?? code ?? kind,
    result: kind === 'sqlite' ? extendedCode & 0xff : 0,
    said: originalMessage ?? message ?? reason ?? at,
  };
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
  if (error instanceof PrismaClientInitializationError) return unreachable(error);
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
  return mistake ? error : unreachable(error);
}

function known(error: PrismaClientKnownRequestError, operation: DbOperation): PenstockError {
  const adapterError = error.meta?.driverAdapterError as { cause?: DriverFailure } | undefined;
  const failure = adapterError?.cause;
  if (failure?.kind === 'TransactionWriteConflict')
    return unavailable(error, failure.originalMessage ?? '', { conflict: true });
  if (error.code === 'P2025') return notFound(error, operation);
  if (failure?.kind === 'UniqueConstraintViolation' && isName(failure)) return nameTaken(error, operation);
  if (failure?.kind === 'ForeignKeyConstraintViolation' || failure?.kind === 'RestrictViolation')
    return stillReferred(error, operation);
  const symptoms = failure ? symptomsOfDriver(failure) : { code: '', result: 0, said: error.message };
  const reason = failure && unusable(symptoms, error);
  if (reason) return reason;
  if (unavailableCodes.has(error.code) || (failure && isUnavailable(failure)))
    return unavailable(error, symptoms.said);
  return new PenstockError('internal', 'The database refused an operation', { cause: error });
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
