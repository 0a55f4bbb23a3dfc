import { readFileSync } from 'node:fs';
import { checkServerIdentity, getCACertificates } from 'node:tls';
import pg from 'pg';
import { PenstockError } from '../errors.ts';
import { unreachable } from './reasons.ts';

/**
 * The one reader of a `postgresql://` URL: migrations and Prisma connect with what it returns, in the schema that it
 * decides. A parameter that is not understood is refused, because it may be about safety.
 */

const limits = { connect: 5_000, idleInTransaction: 10_000, query: 10_000 };

interface Target {
  config: pg.PoolConfig;
  /** The schema that the URL names. */
  schema: string | undefined;
  /** Whether the URL says that a pooler is in between. */
  pooled: boolean;
}

interface PostgresConnection {
  config: pg.PoolConfig;
  schema: string;
}

const grammar =
  /^postgres(?:ql)?:\/\/(?:(?<user>[^:/?#]*)(?::(?<password>[^/?#]*))?@)?(?<host>\[[^\]@/?#]+\]|[^:@/?#,]*)(?::(?<port>\d{1,5}))?(?:\/(?<database>[^/?#@]*))?(?:\?(?<query>[^#@]*))?$/;

/** Reads a URL. Throws `invalid_config`, never with a part of the user name or password. */
export function readPostgresUrl(url: string): Target {
  const parts = grammar.exec(url)?.groups;
  if (parts === undefined) throw wrong(whyUnreadable(url));
  const decode = (part: string | undefined, name: string): string | undefined => {
    try {
      return part ? decodeURIComponent(part) : undefined;
    } catch {
      throw wrong(`its ${name} has a % that begins no percent-encoded byte: write %25 for a percent sign`);
    }
  };
  const query = readQuery(parts.query ?? '', decode);
  const port = query.take('port') ?? parts.port;
  const host = query.take('host') ?? decode(parts.host?.replace(/^\[(.*)\]$/, '$1'), 'host');
  const config: pg.PoolConfig = {
    ...given('user', query.take('user') ?? decode(parts.user, 'user name')),
    ...given('password', query.take('password') ?? decode(parts.password, 'password')),
    ...given('host', host),
    ...given('port', port === undefined ? undefined : whole('port', port, 65_535)),
    ...given('database', query.take('dbname') ?? decode(parts.database, 'database name')),
    ...given('options', query.take('options')),
    application_name: query.take('application_name') ?? 'penstock',
    keepAlive: true,
    connectionTimeoutMillis: 1000 * whole('connect_timeout', query.take('connect_timeout') ?? '5', 600),
    // For a server that stopped responding altogether.
    query_timeout: limits.query + limits.connect,
    max: whole('connection_limit', query.take('connection_limit') ?? '10', 1000),
    ...given('ssl', readTls(query, host ?? 'localhost')),
  };
  const schema = query.take('schema');
  if (schema !== undefined) checkSchema(schema);
  const pooled = query.take('pgbouncer') === 'true';
  query.end();
  return { config, schema, pooled };
}

/** Prisma writes the name between quotes, and does not escape what is in it. */
function checkSchema(schema: string): void {
  if (Buffer.byteLength(schema) <= 63 && !/^pg_|["\p{Cc}]/u.test(schema)) return;
  const rule = 'the name of its schema must have at most 63 bytes, no quotes, and must not begin with pg_';
  throw wrong(rule, 'Write ?schema=<name>.');
}

const given = <K extends string, V>(name: K, value: V | undefined): { [k in K]?: V } =>
  (value === undefined ? {} : { [name]: value }) as { [k in K]?: V };

const wrong = (why: string, hint = 'See "The database" in docs/operate.md.'): PenstockError =>
  new PenstockError('invalid_config', `PENSTOCK_DATABASE_URL cannot be used: ${why}`, { hint });

const encoding =
  'a user name, a password or a name has a character that must be percent-encoded: @ as %40, / as %2F, : as %3A, # as ' +
  '%23, ? as %3F, % as %25, a space as %20';

/** Says what may be wrong. A slash in a password, for example, moves the end of the host, so no part can be trusted. */
function whyUnreadable(url: string): string {
  const rest = url.replace(/^[a-z]+:\/\//, '');
  if (/^[^/?#]*[/?#].*@/s.test(rest) || /[#\s]/.test(rest)) return encoding;
  if (/,/.test(rest.replace(/\?.*$/s, '').replace(/^.*@/s, '')))
    return 'it names several hosts; name one, or a name that leads to the primary';
  return `it is not of the form postgresql://user:password@host:port/database?parameters, or ${encoding}`;
}

/** Parameters that others write into URLs, and the values with which ours does what they ask. */
const withoutEffect: Record<string, RegExp> = {
  gssencmode: /^(disable|prefer)$/,
  channel_binding: /^(disable|prefer)$/,
  target_session_attrs: /^(any|read-write|primary)$/,
  uselibpqcompat: /^true$/,
  sslnegotiation: /^postgres$/,
};

const understood =
  'schema, sslmode, sslrootcert, sslcert, sslkey, options, application_name, connect_timeout, connection_limit, pgbouncer, ' +
  'host, port, user, password, dbname';

/** The parameters of a URL. Each is taken once; what is left in the end is refused. */
class Query {
  readonly #values: Map<string, string>;

  constructor(values: Map<string, string>) {
    this.#values = values;
  }

  take(name: string): string | undefined {
    const value = this.#values.get(name);
    this.#values.delete(name);
    return value === '' ? undefined : value;
  }

  end(): void {
    for (const [name, values] of Object.entries(withoutEffect)) {
      const value = this.take(name);
      if (value !== undefined && !values.test(value))
        throw wrong(
          `its parameter ${name} has a value that Penstock cannot satisfy`,
          `Remove ${name}, or use ${values.source.replace(/[$^()]/g, '').replaceAll('|', ' or ')}.`,
        );
    }
    const [left] = this.#values.keys();
    if (left === undefined) return;
    const shown = /^[A-Za-z_]{1,40}$/.test(left) ? left : 'of this name';
    throw wrong(`the parameter ${shown} is not understood`, `Remove it. Penstock understands ${understood}.`);
  }
}

function readQuery(text: string, decode: (part: string, name: string) => string | undefined): Query {
  const values = new Map<string, string>();
  for (const pair of text.split('&').filter(Boolean)) {
    const [name = '', value = ''] = pair.split(/=(.*)/s);
    if (values.has(name)) throw wrong('it has a parameter twice');
    values.set(name, decode(value.replaceAll('+', '%20'), 'query') ?? '');
  }
  return new Query(values);
}

function whole(name: string, text: string, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  throw wrong(`its parameter ${name} must be a whole number from 1 to ${max}`);
}

type Tls = Exclude<pg.PoolConfig['ssl'], undefined>;

const oldNames: Record<string, string> = {
  true: 'verify-full',
  1: 'verify-full',
  false: 'disable',
  0: 'disable',
  'no-verify': 'require',
};

/** TLS as libpq means it: `require` encrypts, `verify-ca` checks who signed, `verify-full` the name too. */
function readTls(query: Query, host: string): Tls | undefined {
  const legacy = query.take('ssl');
  const asked = query.take('sslmode') ?? (legacy === undefined ? undefined : (oldNames[legacy] ?? legacy));
  const files = ['sslrootcert', 'sslcert', 'sslkey'].map((name) => readPem(name, query.take(name)));
  const [root, cert, key] = files;
  const mode = asked === 'no-verify' ? 'require' : asked;
  if (mode === undefined && files.every((file) => file === undefined)) return undefined;
  if (mode === 'disable') return false;
  const checked = { ...given('cert', cert as string), ...given('key', key as string), ...given('ca', root) };
  switch (mode) {
    case 'require':
      if (root === undefined) return { ...checked, rejectUnauthorized: false };
      return { ...checked, checkServerIdentity: () => undefined };
    case 'verify-ca':
      if (root === undefined)
        throw wrong(
          'sslmode=verify-ca needs sslrootcert',
          'Add sslrootcert=<path of the certificate of the authority>.',
        );
      return { ...checked, checkServerIdentity: () => undefined };
    case undefined:
    case 'verify-full':
      // The driver does not tell TLS a host that is an address, and the name localhost would be compared.
      return { ...checked, checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate) };
    default:
      throw wrong(
        'its sslmode is none of disable, require, verify-ca and verify-full',
        'Choose one of them: Penstock does not fall back from encrypted to plain connections.',
      );
  }
}

function readPem(name: string, path: string | undefined): string | string[] | undefined {
  if (path === undefined) return undefined;
  if (name === 'sslrootcert' && path === 'system') return getCACertificates('system');
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw wrong(`the file of its parameter ${name} cannot be read (${code})`, `Check the path ${path}.`);
  }
  if (text.includes('-----BEGIN ')) return text;
  throw wrong(`the file of its parameter ${name} is not in PEM format`, `Check the file ${path}.`);
}

/** Settings of the session that release what a process that vanished holds. */
const sessionLimits = {
  statement_timeout: limits.query,
  idle_in_transaction_session_timeout: limits.idleInTransaction,
};

/**
 * Returns how to connect, after a first connection: without the settings that a pooler refuses, and with the schema. That
 * is the schema that the URL names, or else where our tables are on the search path of the role, or else its first schema.
 */
export async function findPostgres(url: string): Promise<PostgresConnection> {
  const { config, schema, pooled } = readPostgresUrl(url);
  const full = pooled ? config : { ...config, ...sessionLimits };
  try {
    return await look(full, schema);
  } catch (error) {
    const { code, message = '' } = error as { code?: string; message?: string };
    const refused = code === '08P01' && /startup parameter/i.test(message) && !pooled;
    if (!refused) throw withoutSecret(unreachable(error), config.password);
  }
  return look(config, schema).catch((error: unknown) => {
    throw withoutSecret(unreachable(error), config.password);
  });
}

async function look(config: pg.PoolConfig, named: string | undefined): Promise<PostgresConnection> {
  const client = new pg.Client(config);
  client.on('error', () => {});
  try {
    await client.connect();
    if (named !== undefined) return { config, schema: named };
    const { rows } = await client.query<{ current: string | null; used: string | null }>(
      `SELECT current_schema() AS current, (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.oid = to_regclass('"ConnectionProfile"')) AS used`,
    );
    const schema = rows[0]?.used ?? rows[0]?.current;
    if (schema) {
      checkSchema(schema);
      return { config, schema };
    }
    throw new PenstockError(
      'database_missing',
      'The search_path of the role names no schema that it may use',
      {
        hint: 'Create the schema and give the role USAGE and CREATE on it, or name another with ?schema= in PENSTOCK_DATABASE_URL.',
      },
    );
  } finally {
    await client.end().catch(() => {});
  }
}

/** A server repeats no password. A message of the network may show a part of a URL that was read wrongly. */
function withoutSecret(error: PenstockError, password: unknown): PenstockError {
  const { said } = error.facts;
  if (typeof password === 'string' && password.length > 2 && typeof said === 'string')
    error.facts.said = said.replaceAll(password, '…');
  return error;
}
