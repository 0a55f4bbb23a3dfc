import { BlockList, isIP } from 'node:net';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { Value } from 'typebox/value';
import { type FieldError, PenstockError } from './errors.ts';
import { type LabelMap, readLabels } from './jobs/placement.ts';
import { targetProblems } from './security/targets.ts';
import { explainViolations } from './violations.ts';

/** Every setting, as an environment variable: name, type, default and meaning. docs/settings.md is made from this schema. */
export const Environment = Type.Object({
  PENSTOCK_HOST: Type.String({
    default: '127.0.0.1',
    minLength: 1,
    description: 'address or host name to listen on; any but a loopback address needs an admin key',
  }),
  PENSTOCK_PORT: Type.Integer({
    default: 5115,
    minimum: 0,
    maximum: 65535,
    description: 'port to listen on; 0 picks a free one',
  }),
  PENSTOCK_WORKER_HTTP: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 65535,
      description:
        'port on which the role `worker` serves `/healthz`, `/readyz` and `/metrics`, at the address of PENSTOCK_HOST; ' +
        'when not set, it listens nowhere',
    }),
  ),
  PENSTOCK_DATABASE_URL: Type.String({
    pattern: '^(file:.+|postgres(ql)?://.+)$',
    default: 'file:./data/penstock.db',
    description:
      '`file:` for the embedded SQLite, or `postgresql://…` (docs/operate.md lists its parameters)',
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
  PENSTOCK_SEAL_STATE: Type.Boolean({
    default: false,
    description:
      'whether the rows and results that windows and aggregates keep in the database are encrypted with the secret key: ' +
      '`true` or `false`; what is stored already stays readable',
  }),
  PENSTOCK_ADMIN_KEY: Type.Optional(
    Type.String({
      minLength: 16,
      description: 'an admin key in addition to those in the database; at least 16 visible ASCII characters',
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
  PENSTOCK_FILE_DIR: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'folder below which tables may read and write local files; when not set, local paths are refused',
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
  PENSTOCK_WORKER_NAME: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9._-]{1,63}$',
      description:
        'name of this worker, of 1 to 63 letters, digits and ._-; when not set, the host name and the process id',
    }),
  ),
  PENSTOCK_WORKER_SLOTS: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 100_000,
      description: 'maximum number of tasks of this worker; when not set, it has no limit',
    }),
  ),
  PENSTOCK_WORKER_LABELS: Type.String({
    default: '',
    maxLength: 10_000,
    description:
      'labels of this worker, as in `site=north,line=2`; a pipeline with a `placement` runs only where all its labels are',
  }),
  PENSTOCK_WORKER_EXCLUSIVE: Type.Boolean({
    default: false,
    description:
      'whether this worker runs only pipelines whose `placement` names one of its labels: `true` or `false`',
  }),
  PENSTOCK_CONSOLE: Type.Enum(['on', 'off'], {
    default: 'on',
    description: 'whether the web console is served at `/`; with `off`, `/` leads to Swagger UI',
  }),
  PENSTOCK_LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'], {
    default: 'info',
    description: 'lowest level to log, as JSON lines on stderr or readable lines on a terminal',
  }),
});
export type Environment = Static<typeof Environment>;

export interface Config {
  host: string;
  port: number;
  workerPort: number | undefined;
  databaseUrl: string;
  dataDir: string;
  secretKeys: string[] | undefined;
  sealState: boolean;
  adminKey: string | undefined;
  allowedVars: string[];
  certDir: string | undefined;
  fileDir: string | undefined;
  targets: string[];
  requestsPerMinute: number;
  workerThreads: number | undefined;
  workerName: string | undefined;
  workerSlots: number | undefined;
  workerLabels: LabelMap;
  workerExclusive: boolean;
  console: boolean;
  logLevel: Environment['PENSTOCK_LOG_LEVEL'];
  /** Warnings about the environment, for the log. */
  warnings: string[];
}

const compiled = Compile(Environment);
const list = (text: string): string[] =>
  text
    .split(/[,\r\n]/)
    .map((part) => part.trim())
    .filter(Boolean);

/** Names of ours that the service ignores: those of the command line, and of the tests of a checkout. */
const foreignSettings = /^PENSTOCK_(SERVER|KEY|PLAN_KEY|SOAK(_.+)?|TEST_.+)$/;

type Variables = Record<string, string | undefined>;

const linkUrl = /^(tcp|udp|sctp):\/\/[^/\s]+:\d+$/i;
const address = (value: string): boolean => isIP(value) !== 0 || value === 'None';
const digits = (value: string): boolean => /^\d+$/.test(value);

/** Names that an orchestrator sets for a service called `penstock` or `penstock-…`, and the form of their values. */
const linkForms: [name: RegExp, hasForm: (value: string) => boolean][] = [
  [/_SERVICE_HOST$/, address],
  [/_SERVICE_PORT(_[A-Z0-9_]+)?$/, digits],
  [/_PORT(_\d+_(TCP|UDP|SCTP))?$/, (value) => linkUrl.test(value)],
  [/_PORT_\d+_(TCP|UDP|SCTP)_PROTO$/, (value) => /^(tcp|udp|sctp)$/i.test(value)],
  [/_PORT_\d+_(TCP|UDP|SCTP)_PORT(_START|_END)?$/, digits],
  [/_PORT_\d+_(TCP|UDP|SCTP)_ADDR$/, address],
  // Legacy links of Docker. Its _ENV_ names copy the environment of the other container.
  [/_NAME$/, (value) => /^\/[^/]+\/[^/]+$/.test(value)],
];

/** Whether a variable was set by an orchestrator to say where a service is. */
function isServiceLink(name: string, value: string, env: Variables): boolean {
  if (linkForms.some(([form, hasForm]) => form.test(name) && hasForm(value))) return true;
  const [, linked] = /^(PENSTOCK(?:_[A-Z0-9_]+)?)_ENV_/.exec(name) ?? [];
  return linked !== undefined && linkUrl.test(env[`${linked}_PORT`] ?? '');
}

/**
 * The variables that begin with PENSTOCK_ and are not blank: those of the process, else those of the file. The line
 * breaks at the end of a value are removed: `echo` and editors add one. Service links are left out.
 */
function ownVariables(env: Variables, file: Variables): { own: Map<string, string>; warnings: string[] } {
  const own = new Map<string, string>();
  const warnings: string[] = [];
  for (const source of [file, env])
    for (const [name, raw = ''] of Object.entries(source)) {
      const value = raw.replace(/[\r\n]+$/, '');
      if (!name.startsWith('PENSTOCK_') || value.trim() === '' || foreignSettings.test(name)) continue;
      if (!isServiceLink(name, value, source)) own.set(name, value);
      else if (name in Environment.properties)
        warnings.push(
          `${name} is a service link of the orchestrator and no setting of Penstock. To set it, set ${name} in the ` +
            'container itself; to be rid of service links, use enableServiceLinks: false or another name of the service',
        );
    }
  return { own, warnings };
}

/**
 * Reads the settings from the environment `env` and then the file `.env`. Empty variables count as not set, service links
 * as absent. Throws `invalid_config` naming each wrong or unknown one.
 */
export function loadConfig(env: Variables, file: Variables = {}): Config {
  const { own, warnings } = ownVariables(env, file);
  const known = [...own].filter(([name]) => name in Environment.properties);
  const candidate = Value.Convert(Environment, Value.Default(Environment, Object.fromEntries(known)));
  const errors = explainViolations(compiled.Errors(candidate)).map(({ path, message }) =>
    explain(path.slice(1), message),
  );
  const variables = list((candidate as Environment).PENSTOCK_ALLOWED_VARS ?? '');
  for (const name of own.keys()) {
    const isVariable = variables.some((pattern) => matchesName(pattern, name));
    if (!(name in Environment.properties) && !isVariable)
      errors.push({ path: name, message: `${name} ${whyUnknown(name)}` });
  }
  for (const problem of targetProblems(list((candidate as Environment).PENSTOCK_TARGETS ?? '')))
    errors.push({ path: 'PENSTOCK_TARGETS', message: `PENSTOCK_TARGETS ${problem}` });
  for (const [name, value] of known) {
    const problem = textProblem(name, value);
    if (problem === undefined) continue;
    // It tells the reason of what the schema refuses.
    errors.splice(0, errors.length, ...errors.filter(({ path }) => path !== name));
    errors.push({ path: name, message: `${name} ${problem}` });
  }
  if (errors.length > 0) {
    const sentences = errors.map((error) => error.message).join('; ');
    throw new PenstockError('invalid_config', `The settings are not valid: ${sentences}`, { errors });
  }
  return { ...toConfig(candidate as Environment), warnings };
}

const lists = ['PENSTOCK_SECRET_KEY', 'PENSTOCK_ALLOWED_VARS', 'PENSTOCK_TARGETS'];
const hostName = /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$/;

function whyUnknown(name: string): string {
  const setting = name.replace(/_FILE$/, '');
  return setting !== name && setting in Environment.properties
    ? `is not a setting, and no setting is read from a file of its own: set ${setting} to what the file holds`
    : 'is not a setting or an allowed variable: correct it, or add it to PENSTOCK_ALLOWED_VARS';
}

const typeOf = (name: string): string | undefined =>
  (Environment.properties as Record<string, { type?: string }>)[name]?.type;

/** Returns the fault of a setting's text; never shows the text, because it may be a secret. */
function textProblem(name: string, value: string): string | undefined {
  if (/^\s*(["'`]).*\1\s*$/s.test(value))
    return 'is in quotes: remove them (docker --env-file and Kubernetes keep those of a file as part of the value)';
  if (typeOf(name) === 'boolean' && !/^(true|false)$/i.test(value)) return 'must be true or false';
  if (typeOf(name) === 'integer' && !/^\s*-?\d+\s*$/.test(value))
    return 'must be a whole number, written in digits';
  if (/[\r\n]/.test(value) && !lists.includes(name)) return 'has more than one line';
  if (
    /^[\s\ufeff]|[\s\ufeff]$/.test(value) &&
    (name === 'PENSTOCK_ADMIN_KEY' || name === 'PENSTOCK_DATABASE_URL')
  )
    return 'begins or ends with white space or a byte order mark: remove it';
  if (name === 'PENSTOCK_ADMIN_KEY' && !/^[\x21-\x7e]*$/.test(value))
    return 'has a character that no HTTP client can send in a key: use visible ASCII characters without spaces';
  if (name === 'PENSTOCK_HOST' && isIP(bare(value)) === 0 && !hostName.test(value))
    return 'must be an IP address or a host name, without scheme and port (0.0.0.0 or :: for all addresses)';
  const labels = name === 'PENSTOCK_WORKER_LABELS' ? readLabels(list(value)) : {};
  if (typeof labels === 'string')
    return `has ${JSON.stringify(labels)}: write up to 64 labels such as site=north, separated by commas`;
  if (name === 'PENSTOCK_DATABASE_URL' && !/^(file:.|postgres(ql)?:\/\/.)/.test(value))
    return 'must begin with file:, as in file:./data/penstock.db, or with postgresql://';
  return undefined;
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

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

/** Whether only this machine can connect to a listening address. Without brackets, in any spelling. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return /^localhost\.?$/i.test(host);
  return loopback.check(host.replace(/%.*$/, ''), family === 4 ? 'ipv4' : 'ipv6');
}

/** An address without the brackets that it has in a URL. */
const bare = (host: string): string => host.replace(/^\[(.*)\]$/, '$1');

function toConfig(env: Environment): Omit<Config, 'warnings'> {
  return {
    host: bare(env.PENSTOCK_HOST),
    port: env.PENSTOCK_PORT,
    workerPort: env.PENSTOCK_WORKER_HTTP,
    databaseUrl: env.PENSTOCK_DATABASE_URL,
    dataDir: env.PENSTOCK_DATA_DIR,
    secretKeys: env.PENSTOCK_SECRET_KEY === undefined ? undefined : list(env.PENSTOCK_SECRET_KEY),
    sealState: env.PENSTOCK_SEAL_STATE,
    adminKey: env.PENSTOCK_ADMIN_KEY,
    allowedVars: list(env.PENSTOCK_ALLOWED_VARS),
    certDir: env.PENSTOCK_CERT_DIR,
    fileDir: env.PENSTOCK_FILE_DIR,
    targets: list(env.PENSTOCK_TARGETS ?? ''),
    requestsPerMinute: env.PENSTOCK_RATE_LIMIT,
    workerThreads: env.PENSTOCK_WORKER_THREADS,
    workerName: env.PENSTOCK_WORKER_NAME,
    workerSlots: env.PENSTOCK_WORKER_SLOTS,
    workerLabels: readLabels(list(env.PENSTOCK_WORKER_LABELS)) as LabelMap,
    workerExclusive: env.PENSTOCK_WORKER_EXCLUSIVE,
    console: env.PENSTOCK_CONSOLE === 'on',
    logLevel: env.PENSTOCK_LOG_LEVEL,
  };
}
