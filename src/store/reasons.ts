import { type ErrorCode, PenstockError } from '../errors.ts';

/**
 * Why a database cannot be used: a code, and a hint that names the mend. The database's own sentence is in `facts.said`,
 * for the log and the terminal, and never in a response.
 */

/** Facts about a failure, whichever layer reported it. */
export interface Symptoms {
  /** SQLSTATE, or the code of a socket or TLS error. */
  code: string;
  /** Result code of SQLite. */
  result: number;
  said: string;
}

interface Reason {
  code: ErrorCode;
  message: string;
  hint: string;
}

const encode =
  'In the URL, special characters of the password must be percent-encoded: @ as %40, / as %2F, # as %23, % as %25, ? as %3F.';

/** Reasons with a mend of their own, first match first. */
const reasons: [(symptoms: Symptoms) => boolean, Reason | ((symptoms: Symptoms) => Reason)][] = [
  [
    ({ code, said }) => code.startsWith('25006') || /read[- ]?only (transaction|connection|mode)/i.test(said),
    {
      code: 'database_read_only',
      message: 'The database refuses writes',
      hint:
        'PENSTOCK_DATABASE_URL must lead to the primary, not to a standby. Otherwise check default_transaction_read_only ' +
        'of the role, the database and the server.',
    },
  ],
  [
    ({ result }) => result === 8,
    {
      code: 'database_read_only',
      message: 'The database file cannot be written',
      hint: 'Give the user that runs Penstock the right to write to the file and its folder, and check that the disk is not mounted read-only.',
    },
  ],
  [
    ({ code, result }) => result === 14 || /^(EACCES|EPERM|EROFS)$/.test(code),
    {
      code: 'database_forbidden',
      message: 'The database file cannot be opened',
      hint: 'Give the user that runs Penstock the right to read and write the file and its folder. The path must not be a folder.',
    },
  ],
  [
    ({ result }) => result === 11 || result === 26,
    {
      code: 'database_damaged',
      message: 'The database file is damaged, or no database',
      hint: 'Correct PENSTOCK_DATABASE_URL, or restore a backup.',
    },
  ],
  [
    ({ code, result, said }) => code === '53100' || result === 13 || /no space left/i.test(said),
    {
      code: 'database_full',
      message: 'The database has no space left',
      hint: 'Make room on the disk of the database. Penstock continues by itself.',
    },
  ],
  [
    ({ code, said }) =>
      /^(28000|28P01)$/.test(code) ||
      /^SASL: |password must be a string|authentication failed|no such user|auth failed/i.test(said),
    loginRefused,
  ],
  [
    ({ code, said }) => code === '3D000' || /no such database|database ".*" does not exist/i.test(said),
    {
      code: 'database_missing',
      message: 'The database does not exist',
      hint: 'Create it (CREATE DATABASE … OWNER …), or correct its name at the end of PENSTOCK_DATABASE_URL.',
    },
  ],
  [
    ({ code }) => code === '3F000',
    {
      code: 'database_missing',
      message: 'The schema does not exist',
      hint: 'Create the schema, or name an existing one with ?schema= in PENSTOCK_DATABASE_URL.',
    },
  ],
  [
    ({ code }) => code === '42501',
    {
      code: 'database_forbidden',
      message: 'The role of PENSTOCK_DATABASE_URL may not do this',
      hint:
        'Give the role USAGE and CREATE on its schema (GRANT USAGE, CREATE ON SCHEMA … TO …), and let it own the tables ' +
        'there. With ?schema=<name> Penstock creates a schema of its own, for which the role needs CREATE on the database.',
    },
  ],
  [
    ({ code, said }) =>
      /^(53300|53400)$/.test(code) ||
      /no more connections allowed|too many (clients|connections)/i.test(said),
    {
      code: 'database_too_many_connections',
      message: 'The database accepts no more connections',
      hint: 'A process of Penstock uses up to 10: lower this with ?connection_limit=, or raise the limit of the role, the server or the pooler.',
    },
  ],
  [isTlsFailure, tlsFailed],
  [
    ({ code, said }) =>
      /^(42704|22023|0A000|08P01)$/.test(code) &&
      /startup parameter|configuration parameter|parameter "/i.test(said),
    {
      code: 'database_parameter_refused',
      message: 'The database refuses a parameter of the connection',
      hint:
        'Correct or remove it from PENSTOCK_DATABASE_URL. Poolers refuse options=…: choose the schema with ?schema=, and ' +
        'set anything else with ALTER ROLE … SET.',
    },
  ],
];

function loginRefused({ code, said }: Symptoms): Reason {
  const refused = { code: 'database_login_refused', message: 'The database refuses the login' } as const;
  if (/password must be a string/.test(said))
    return {
      ...refused,
      message: 'The database asks for a password',
      hint: 'Put it into PENSTOCK_DATABASE_URL.',
    };
  if (code === '28000')
    return {
      ...refused,
      hint:
        'Check the user name, and that pg_hba.conf of the server admits this user, database and address. If it says "no ' +
        'encryption", add ?sslmode=verify-full or another mode with TLS to PENSTOCK_DATABASE_URL.',
    };
  return { ...refused, hint: `Correct the user name and the password in PENSTOCK_DATABASE_URL. ${encode}` };
}

function isTlsFailure({ code, said }: Symptoms): boolean {
  return (
    code === 'TlsConnectionError' ||
    /^(ERR_TLS|ERR_SSL|ERR_OSSL|EPROTO|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_(CA|PURPOSE))/.test(
      code,
    ) ||
    /SSL connection|certificate|altnames|self-signed/i.test(said)
  );
}

function tlsFailed({ code, said }: Symptoms): Reason {
  const failed = { code: 'database_tls_failed', message: 'TLS with the database fails' } as const;
  if (/does not support SSL/i.test(said))
    return {
      ...failed,
      hint: 'Turn on TLS at the server (ssl = on), or choose sslmode=disable if the network is trusted.',
    };
  if (/altnames|HOSTNAME_MISMATCH|ALTNAME/i.test(`${code} ${said}`))
    return {
      ...failed,
      hint: 'Use a host name that the certificate is for. sslmode=verify-ca with sslrootcert does not compare the name.',
    };
  if (/expired/i.test(`${code} ${said}`))
    return { ...failed, hint: 'Renew the certificate of the server, and check the clock of this machine.' };
  if (/self-signed|issuer|verify the first|SELF_SIGNED|UNABLE_TO_/i.test(`${code} ${said}`))
    return {
      ...failed,
      hint: 'Name the certificate of the authority that signed that of the server: ?sslrootcert=<path>, or sslrootcert=system.',
    };
  return { ...failed, hint: 'Check sslmode, sslrootcert, sslcert and sslkey in PENSTOCK_DATABASE_URL.' };
}

/** Returns the error for a database that cannot be used, when that is the reason; undefined for another mistake. */
export function unusable(symptoms: Symptoms, cause: unknown): PenstockError | undefined {
  const [, reason] = reasons.find(([fits]) => fits(symptoms)) ?? [];
  if (reason === undefined) return undefined;
  const { code, message, hint } = typeof reason === 'function' ? reason(symptoms) : reason;
  return new PenstockError(code, message, { hint, cause, facts: { said: symptoms.said } });
}

function symptomsOf(error: unknown): Symptoms {
  const { code, message, rawCode } = error as { code?: unknown; message?: unknown; rawCode?: unknown };
  const said = sentenceOf(error, String(message ?? error));
  // A file that cannot be opened: the result code is only in the text.
  const [, opening] = /^ConnectionFailed\(.*: (\d+)"\)$/s.exec(said) ?? [];
  return {
    code: typeof code === 'string' ? code : '',
    result: Number(rawCode ?? opening ?? 0) & 0xff,
    said,
  };
}

/** Several addresses of one host fail together, without a message of their own. */
function sentenceOf(error: unknown, message: string): string {
  if (error instanceof AggregateError && message === '')
    return error.errors.map((one: Error) => one.message).join(', ');
  return message;
}

/** The error for a database that does not respond, or for the reason that it gives. */
export function unreachable(cause: unknown): PenstockError {
  if (cause instanceof PenstockError) return cause;
  const symptoms = symptomsOf(cause);
  return unusable(symptoms, cause) ?? unavailable(cause, symptoms.said);
}

/** As `unreachable`, for errors that may have another cause, such as a statement that is wrong. */
export function whyUnusable(cause: unknown): PenstockError | undefined {
  return unusable(symptomsOf(cause), cause);
}

/** `conflict` in `facts`: the transaction was ended to break a deadlock, and may be repeated. */
export function unavailable(cause: unknown, said: string, facts: { conflict?: true } = {}): PenstockError {
  const hint =
    'Try again shortly. If it persists, check that the database runs, that PENSTOCK_DATABASE_URL is right, and that no ' +
    'other process holds it locked.';
  const message = 'The database does not respond';
  return new PenstockError('database_unavailable', message, { hint, cause, facts: { ...facts, said } });
}
