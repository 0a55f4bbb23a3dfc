import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

/**
 * The command line: every command, its words and options, read by one parser. Loaded at every start, and before the process
 * replaces itself, so it imports nothing but Node.js.
 */

const options = {
  help: { type: 'boolean' },
  version: { type: 'boolean' },
  exit: { type: 'boolean' },
  role: { type: 'string' },
  'expires-days': { type: 'string' },
  file: { type: 'string', short: 'f' },
  selector: { type: 'string', short: 'l' },
  output: { type: 'string' },
  server: { type: 'string' },
  plan: { type: 'string' },
  format: { type: 'string' },
  seconds: { type: 'string' },
  rows: { type: 'string' },
  'exit-code': { type: 'boolean' },
  'no-publish': { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  'discard-state': { type: 'boolean' },
  undo: { type: 'boolean' },
} as const;

type Option = keyof typeof options;
export type OptionValues = {
  -readonly [O in Option]?: (typeof options)[O]['type'] extends 'boolean' ? boolean : string;
};

interface Command {
  summary: string;
  options?: readonly Option[];
  /** Minimum and maximum number of words after the command; none by default. */
  words?: readonly [number, number];
}

const serviceCommands = {
  all: { summary: 'serve the API and run pipelines (the default)' },
  api: { summary: 'serve the API only' },
  worker: { summary: 'run pipelines only' },
  migrate: { summary: 'bring the database up to date and exit' },
  keys: {
    summary: 'create, list and revoke API keys; rotate the secret key (penstock keys --help)',
    options: ['role', 'expires-days'],
    words: [1, 2],
  },
  health: {
    summary: 'exit with 0 if the process that these settings start is ready (health api | worker)',
    words: [0, 1],
  },
  demo: {
    summary: 'demonstrate everything with a built-in broker and devices (--exit ends it)',
    options: ['exit'],
  },
} as const satisfies Record<string, Command>;

const clientCommands = {
  plan: {
    summary: 'show what apply would change, and the hash of that plan',
    options: ['file', 'exit-code', 'discard-state'],
  },
  apply: {
    summary: 'create, update and delete the objects of a bundle, all or nothing',
    options: ['file', 'plan', 'discard-state'],
  },
  export: { summary: 'print profiles, tables and pipelines as a bundle', options: ['selector', 'format'] },
  test: {
    summary: 'test a connection profile or table, step by step',
    options: ['file', 'no-publish'],
    words: [0, 2],
  },
  tail: {
    summary: 'show the messages of a source table as they arrive',
    options: ['seconds', 'rows'],
    words: [1, 1],
  },
  get: { summary: 'list objects, or show one', options: ['selector'], words: [1, 2] },
  delete: { summary: 'delete an object', options: ['dry-run'], words: [2, 2] },
  drain: {
    summary: 'let a worker give its tasks to others (--undo lets it take tasks again)',
    options: ['undo'],
    words: [2, 2],
  },
} as const satisfies Record<string, Command>;

type ServiceCommand = keyof typeof serviceCommands;
export type ClientCommand = keyof typeof clientCommands;

const commands: Record<string, Command> = { ...serviceCommands, ...clientCommands };

export const isClientCommand = (name: string): name is ClientCommand => Object.hasOwn(clientCommands, name);

/** Exit codes that scripts may rely on. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, changes: 3, unreachable: 4 } as const;

const listed = (some: Record<string, Command>): string =>
  Object.entries(some)
    .map(([name, { summary }]) => `  ${name.padEnd(8)} ${summary}`)
    .join('\n');

const serviceUsage = `Usage: penstock [${Object.keys(serviceCommands).join(' | ')}] [--help] [--version]

${listed(serviceCommands)}

Commands for a running Penstock (penstock plan --help shows their options):

${listed(clientCommands)}

Settings come from the environment, or from a file .env: see docs/settings.md.
Exit codes: 0 success, 1 failure, 2 wrong usage.
`;

const keysUsage = `Usage: penstock keys list
       penstock keys create <name> --role viewer | operator | admin [--expires-days <days>]
       penstock keys revoke <name>
       penstock keys rotate      seal every secret with the first key of PENSTOCK_SECRET_KEY
`;

const clientUsage = `Usage: penstock plan   -f <file | -> [--exit-code] [--discard-state]
       penstock apply  -f <file | -> [--plan <hash>] [--discard-state]
       penstock export [-l <selector>] [--format yaml | json]
       penstock test   [profile | table] <name> [--no-publish]
       penstock test   -f <file | -> [--no-publish]
       penstock tail   <table> [--seconds <n>] [--rows <n>]
       penstock get    profiles | tables | pipelines | workers [<name>] [-l <selector>]
       penstock delete profile | table | pipeline <name> [--dry-run]
       penstock drain  worker <name> [--undo]

  -f, --file      bundle to read, as YAML or JSON; - reads standard input
  -l, --selector  only objects with these labels, such as app=overheating
  --discard-state lets a change lose the rows of open windows
  --output        table (the default) or json
  --server        address of Penstock; default PENSTOCK_SERVER, then http://127.0.0.1:5115

PENSTOCK_KEY holds the API key.
Exit codes: 0 success; 1 failure, such as a failed test or a refused bundle; 2 wrong usage; 3 the plan has changes
(plan --exit-code); 4 the server cannot be reached.
`;

function usageOf(command: string | undefined): string {
  if (command === 'keys') return keysUsage;
  return command !== undefined && isClientCommand(command) ? clientUsage : serviceUsage;
}

/** Wrong arguments: exit code 2. `usage` shows how the command is used. */
export class UsageError extends Error {
  readonly usage: string;

  constructor(message: string, command?: string) {
    super(message);
    this.usage = usageOf(command);
  }
}

export interface Invocation {
  command: ServiceCommand | ClientCommand;
  words: string[];
  values: OptionValues;
}

/** Returns the typed command, or the text to print (`--help`, `--version`). Throws `UsageError`. */
export function readCommandLine(argv: string[], version: string): Invocation | { text: string } {
  const [first] = argv;
  const typed = first === undefined || first.startsWith('-') ? undefined : first;
  const command = typed ?? 'all';
  if (!Object.hasOwn(commands, command)) throw new UsageError(`there is no command ${command}`);
  const { values, positionals } = parsed(typed === undefined ? argv : argv.slice(1), command);
  if (values.help) return { text: usageOf(typed) };
  if (values.version) return { text: `${version}\n` };
  const { options: known = [], words: [min, max] = [0, 0] } = commands[command] as Command;
  const shared: readonly Option[] = isClientCommand(command) ? ['output', 'server'] : [];
  for (const name of Object.keys(values) as Option[])
    if (![...known, ...shared].includes(name))
      throw new UsageError(`${command} has no option --${name}`, command);
  if (positionals.length > max)
    throw new UsageError(`too many arguments: ${positionals.slice(max).join(' ')}`, command);
  if (positionals.length < min) throw new UsageError(`${command} needs ${min} or more arguments`, command);
  return { command: command as ServiceCommand | ClientCommand, words: positionals, values };
}

function parsed(args: string[], command: string): { values: OptionValues; positionals: string[] } {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message, command);
  }
}

type ProcessEnvironment = Record<string, string | undefined>;

type Program = Pick<
  NodeJS.Process,
  'argv' | 'connected' | 'env' | 'execArgv' | 'execPath' | 'execve' | 'platform'
>;

/** Sizes of the heap, measured: see "Where the memory goes" in bench/README.md before you change them. */
const heapFlags = ['--max-semi-space-size=2', '--heap-growing-percent=60'];
/**
 * glibc gives each thread an arena of its own, and keeps what was freed there. It also keeps large pieces, once the first was freed,
 * unless the size is set from which on they go back to the system.
 */
const malloc = { MALLOC_ARENA_MAX: '1', MALLOC_MMAP_THRESHOLD_: String(512 * 1024) };

/**
 * Replaces this process by the same program with what is read only at start: heap sizes of V8, memory arenas of glibc and the
 * folder of compiled code. Does nothing when heap sizes are given already, under IPC (which would break), and on Windows.
 */
export function reexec(program: Program, environment: ProcessEnvironment): void {
  const { argv, connected, env, execArgv, execPath, platform } = program;
  const given = `${execArgv.join(' ')} ${env.NODE_OPTIONS ?? ''}`;
  if (/semi-space-size|heap-growing-percent/.test(given) || connected) return;
  if (platform === 'win32' || program.execve === undefined) return;
  const args = [execPath, ...heapFlags, ...execArgv, ...argv.slice(1)];
  program.execve(execPath, args, { ...malloc, ...env, ...compileCache(environment) });
}

/** Compiled code is kept in the data folder, which only the operator may write: it is executed at the next start. */
function compileCache(environment: ProcessEnvironment): NodeJS.ProcessEnv {
  const { NODE_COMPILE_CACHE: given, PENSTOCK_DATA_DIR: dataDir = './data' } = environment;
  if (given || !existsSync(dataDir)) return {};
  return { NODE_COMPILE_CACHE: resolve(join(dataDir, 'compile-cache')) };
}
