import { parseArgs } from 'node:util';
import { clientCommands } from './client/commands.ts';
import { type KeysCommand, keysUsage, readKeysCommand } from './keys.ts';

/** The command line of the service; that of a client is read in `cli/`. */

const roles = {
  all: 'serve the API and run pipelines (the default)',
  api: 'serve the API only',
  worker: 'run pipelines only',
  migrate: 'bring the database up to date and exit',
  keys: 'make, list and revoke API keys, and rotate the secret key (penstock keys --help)',
  demo: 'show the whole on a broker and a fleet of its own (--exit ends by itself)',
} as const;
type Role = keyof typeof roles;

const listed = (commands: Record<string, string>): string =>
  Object.entries(commands)
    .map(([name, text]) => `  ${name.padEnd(8)} ${text}`)
    .join('\n');

export const usage = `Usage: penstock [${Object.keys(roles).join(' | ')}] [--help] [--version]

${listed(roles)}

Against a running Penstock (penstock ${Object.keys(clientCommands)[0]} --help says more):

${listed(clientCommands)}

Settings are read from the environment, and from a file .env if there is one: see README.md.
Exit codes: 0 fine, 1 failed, 2 usage.
`;

export class UsageError extends Error {}

export interface Arguments {
  role: Role;
  /** Whether the demo ends by itself. */
  exit: boolean;
  keys?: KeysCommand;
}

/** What the command line asks for, or what answers it. Throws `UsageError` and `KeysUsageError`. */
export function readArguments(argv: string[], version: string): Arguments | { answer: string } {
  if (argv[0] === 'keys') return readKeys(argv.slice(1));
  const options = {
    help: { type: 'boolean' },
    version: { type: 'boolean' },
    exit: { type: 'boolean' },
  } as const;
  let parsed: { values: { help?: boolean; version?: boolean; exit?: boolean }; positionals: string[] };
  try {
    parsed = parseArgs({ args: argv, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const { values, positionals } = parsed;
  if (values.help) return { answer: usage };
  if (values.version) return { answer: `${version}\n` };
  const [role = 'all', ...rest] = positionals;
  if (!Object.hasOwn(roles, role)) throw new UsageError(`there is no command ${role}`);
  if (rest.length > 0) throw new UsageError(`too many arguments: ${rest.join(' ')}`);
  if (values.exit && role !== 'demo') throw new UsageError('--exit goes with demo');
  return { role: role as Role, exit: values.exit ?? false };
}

const readKeys = (args: string[]): Arguments | { answer: string } =>
  args.includes('--help')
    ? { answer: keysUsage }
    : { role: 'keys', exit: false, keys: readKeysCommand(args) };
