import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { Value } from 'typebox/value';
import { type FieldError, PenstockError } from './errors.ts';
import { targetProblems } from './security/targets.ts';
import { explainViolations } from './violations.ts';

/** Every setting, as an environment variable: name, type, default and meaning. docs/settings.md is made from this schema. */
export const Environment = Type.Object({
  PENSTOCK_HOST: Type.String({
    default: '127.0.0.1',
    minLength: 1,
    description: 'address to listen on; any but a loopback address needs an admin key',
  }),
  PENSTOCK_PORT: Type.Integer({
    default: 5115,
    minimum: 0,
    maximum: 65535,
    description: 'port to listen on; 0 picks a free one',
  }),
  PENSTOCK_DATABASE_URL: Type.String({
    pattern: '^(file:.+|postgres(ql)?://.+)$',
    default: 'file:./data/penstock.db',
    description: '`file:` for the embedded SQLite, or `postgresql://…`',
  }),
  PENSTOCK_DATA_DIR: Type.String({
    default: './data',
    minLength: 1,
    description: 'folder for the generated secret key and for compiled code',
  }),
  PENSTOCK_SECRET_KEY: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        '32 bytes in base64, or several separated by commas: the first seals, all open; generated when not set',
    }),
  ),
  PENSTOCK_ADMIN_KEY: Type.Optional(
    Type.String({
      minLength: 16,
      description: 'an admin key in addition to those in the database; at least 16 characters',
    }),
  ),
  PENSTOCK_ALLOWED_VARS: Type.String({
    default: 'PENSTOCK_VAR_*',
    description: 'variables that `{{ NAME }}` may read, separated by commas; a final `*` matches any rest',
  }),
  PENSTOCK_CERT_DIR: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'folder with certificates and keys that profiles may name by path; when not set, paths are refused',
    }),
  ),
  PENSTOCK_TARGETS: Type.Optional(
    Type.String({
      maxLength: 65_536,
      description:
        'hosts, `*.suffix`, addresses and networks that tests and jobs may reach, separated by commas; a leading `!` ' +
        'denies; when nothing is allowed explicitly, all but link-local and metadata addresses are (docs/security.md)',
    }),
  ),
  PENSTOCK_RATE_LIMIT: Type.Integer({
    default: 6000,
    minimum: 0,
    maximum: 10_000_000,
    description: 'maximum number of requests of each caller in a minute; 0 for no limit',
  }),
  PENSTOCK_WORKER_THREADS: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 64,
      description:
        'maximum number of threads that jobs run in; when not set, one less than the number of cores',
    }),
  ),
  PENSTOCK_LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'], {
    default: 'info',
    description: 'lowest level to log, as JSON lines on stderr or readable lines on a terminal',
  }),
});
export type Environment = Static<typeof Environment>;

export interface Config {
  host: string;
  port: number;
  databaseUrl: string;
  dataDir: string;
  secretKeys: string[] | undefined;
  adminKey: string | undefined;
  allowedVars: string[];
  certDir: string | undefined;
  targets: string[];
  requestsPerMinute: number;
  workerThreads: number | undefined;
  logLevel: Environment['PENSTOCK_LOG_LEVEL'];
}

const compiled = Compile(Environment);
const loopback = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/;
const list = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);

/** Names of the command line's own settings: the service ignores them. */
const clientSettings: readonly string[] = ['PENSTOCK_SERVER', 'PENSTOCK_KEY'];

/** Reads the settings from `env`. Empty variables count as not set. Throws `invalid_config` naming each wrong or unknown one. */
export function loadConfig(env: Record<string, string | undefined>): Config {
  const given = Object.entries(env).filter(
    ([name, value]) => name.startsWith('PENSTOCK_') && value !== '' && !clientSettings.includes(name),
  );
  const known = given.filter(([name]) => name in Environment.properties);
  const candidate = Value.Convert(Environment, Value.Default(Environment, Object.fromEntries(known)));
  const errors = explainViolations(compiled.Errors(candidate)).map(({ path, message }) =>
    explain(path.slice(1), message),
  );
  const variables = list((candidate as Environment).PENSTOCK_ALLOWED_VARS ?? '');
  for (const [name] of given) {
    const isVariable = variables.some((pattern) => matchesName(pattern, name));
    if (!(name in Environment.properties) && !isVariable)
      errors.push({
        path: name,
        message: `${name} is not a setting or an allowed variable: correct it, or add it to PENSTOCK_ALLOWED_VARS`,
      });
  }
  for (const problem of targetProblems(list((candidate as Environment).PENSTOCK_TARGETS ?? '')))
    errors.push({ path: 'PENSTOCK_TARGETS', message: `PENSTOCK_TARGETS ${problem}` });
  if (errors.length > 0) {
    const sentences = errors.map((error) => error.message).join('; ');
    throw new PenstockError('invalid_config', `The settings are not valid: ${sentences}`, { errors });
  }
  return toConfig(candidate as Environment);
}

function explain(name: string, message: string): FieldError {
  const { description = '' } =
    (Environment.properties as Record<string, { description?: string }>)[name] ?? {};
  return { path: name, message: `${name} ${message} (${description})` };
}

/** Whether `name` matches `pattern`, in which a final `*` matches any rest. */
export function matchesName(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}

/** Whether only this machine can connect to a listening address. */
export const isLoopback = (host: string): boolean => loopback.test(host);

function toConfig(env: Environment): Config {
  return {
    host: env.PENSTOCK_HOST,
    port: env.PENSTOCK_PORT,
    databaseUrl: env.PENSTOCK_DATABASE_URL,
    dataDir: env.PENSTOCK_DATA_DIR,
    secretKeys: env.PENSTOCK_SECRET_KEY === undefined ? undefined : list(env.PENSTOCK_SECRET_KEY),
    adminKey: env.PENSTOCK_ADMIN_KEY,
    allowedVars: list(env.PENSTOCK_ALLOWED_VARS),
    certDir: env.PENSTOCK_CERT_DIR,
    targets: list(env.PENSTOCK_TARGETS ?? ''),
    requestsPerMinute: env.PENSTOCK_RATE_LIMIT,
    workerThreads: env.PENSTOCK_WORKER_THREADS,
    logLevel: env.PENSTOCK_LOG_LEVEL,
  };
}
