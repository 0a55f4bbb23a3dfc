import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { applyFile, exportBundle, planFile } from './bundle.ts';
import { testFile, testNamed } from './check.ts';
import { type Asked, type Option, options, type Terminal, Usage } from './command.ts';
import { type ClientCommand, clientUsage, exitCodes } from './commands.ts';
import { clean } from './draw.ts';
import { deleteNamed, getObjects } from './objects.ts';
import { Refused, Server, Unreachable } from './server.ts';
import { tail } from './tail.ts';

/** Which options go with a command, and how many words at least and at most. */
const taken: Record<ClientCommand, { options: Option[]; words: [number, number] }> = {
  plan: { options: ['file', 'exit-code'], words: [0, 0] },
  apply: { options: ['file', 'plan'], words: [0, 0] },
  export: { options: ['selector', 'format'], words: [0, 0] },
  test: { options: ['file', 'no-publish'], words: [0, 2] },
  tail: { options: ['seconds', 'rows'], words: [1, 1] },
  get: { options: ['selector'], words: [1, 2] },
  delete: { options: ['dry-run'], words: [2, 2] },
};

/** Runs one command; answers the exit code. */
export async function runClient(command: ClientCommand, args: string[], terminal: Terminal): Promise<number> {
  try {
    const asked = read(command, args, terminal);
    if (asked === 'help') {
      terminal.print(clientUsage.trimEnd());
      return exitCodes.fine;
    }
    return await run(command, asked);
  } catch (error) {
    return explain(error, terminal);
  }
}

function run(command: ClientCommand, asked: Asked): Promise<number> {
  switch (command) {
    case 'plan':
      return planFile(asked);
    case 'apply':
      return applyFile(asked);
    case 'export':
      return exportBundle(asked);
    case 'test':
      return asked.values.file === undefined ? testNamed(asked) : testFile(asked);
    case 'tail':
      return tail(asked);
    case 'get':
      return getObjects(asked);
    case 'delete':
      return deleteNamed(asked);
  }
}

function read(command: ClientCommand, args: string[], terminal: Terminal): Asked | 'help' {
  const { values, positionals } = parsed(args);
  if (values.help) return 'help';
  const { options: known, words } = taken[command];
  for (const name of Object.keys(values) as Option[])
    if (![...known, 'output', 'server'].includes(name))
      throw new Usage(`--${name} does not go with ${command}`);
  if (positionals.length < words[0] || positionals.length > words[1]) throw new Usage('wrong arguments');
  const { output = 'table', file } = values;
  if (output !== 'table' && output !== 'json') throw new Usage('--output must be table or json');
  return {
    server: serverOf(values.server, terminal),
    terminal,
    words: positionals,
    values,
    json: output === 'json',
    async file() {
      if (file === undefined) throw new Usage('-f <file> is missing; -f - reads the standard input');
      return file === '-' ? terminal.standardInput() : fileText(file);
    },
  };
}

function parsed(args: string[]) {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new Usage((error as Error).message);
  }
}

function serverOf(given: string | undefined, { environment, complain }: Terminal): Server {
  const { PENSTOCK_SERVER: set, PENSTOCK_KEY: key } = environment;
  const address = given ?? (set || 'http://127.0.0.1:5115');
  const url = URL.parse(address.endsWith('/') ? address : `${address}/`);
  if (!url || !/^https?:$/.test(url.protocol))
    throw new Usage('the server must be an address such as https://host:5115');
  if (url.username || url.password) throw new Usage('the key goes into PENSTOCK_KEY, not into the address');
  if (key && !/^[\x21-\x7e]+$/.test(key)) throw new Usage('PENSTOCK_KEY holds characters that no key has');
  if (key && url.protocol === 'http:' && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname))
    complain('penstock: warning: the key is sent over plain http');
  return new Server(url, key || undefined);
}

async function fileText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new Usage(`${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
  }
}

function explain(error: unknown, { complain }: Terminal): number {
  if (error instanceof Usage) {
    complain(`penstock: ${error.message}`);
    complain(clientUsage.trimEnd());
    return exitCodes.usage;
  }
  if (error instanceof Unreachable) {
    complain(`penstock: ${clean(error.message)}`);
    return exitCodes.unreachable;
  }
  if (!(error instanceof Refused)) throw error;
  const { code, detail, hint, errors } = error.problem;
  complain(`penstock: ${code}: ${clean(detail)}`);
  for (const { path, message } of errors) complain(`  ${clean(path)} ${clean(message)}`);
  if (hint) complain(`  ${clean(hint)}`);
  return exitCodes.failed;
}
