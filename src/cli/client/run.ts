import { readFile } from 'node:fs/promises';
import { type ClientCommand, exitCodes, type Invocation } from '../commands.ts';
import { applyFile, exportBundle, planFile } from './bundle.ts';
import { testFile, testNamed } from './check.ts';
import { type Request, type Terminal, usageError } from './command.ts';
import { clean } from './draw.ts';
import { deleteNamed, getObjects } from './objects.ts';
import { Refused, Server, Unreachable } from './server.ts';
import { tail } from './tail.ts';

const handlers: Record<ClientCommand, (request: Request) => Promise<number>> = {
  plan: planFile,
  apply: applyFile,
  export: exportBundle,
  test: (request) => (request.values.file === undefined ? testNamed(request) : testFile(request)),
  tail,
  get: getObjects,
  delete: deleteNamed,
};

/** Runs one command against a running Penstock; returns the exit code. Throws `UsageError`. */
export async function runClient({ command, words, values }: Invocation, terminal: Terminal): Promise<number> {
  const { output = 'table', file } = values;
  if (output !== 'table' && output !== 'json') throw usageError('--output must be table or json');
  const request: Request = {
    server: serverOf(values.server, terminal),
    terminal,
    words,
    values,
    json: output === 'json',
    async file() {
      if (file === undefined) throw usageError('-f <file> is missing; -f - reads standard input');
      return file === '-' ? terminal.standardInput() : fileText(file);
    },
  };
  try {
    return await handlers[command as ClientCommand](request);
  } catch (error) {
    return explain(error, terminal);
  }
}

function serverOf(given: string | undefined, { environment, complain }: Terminal): Server {
  const { PENSTOCK_SERVER: set, PENSTOCK_KEY: key } = environment;
  const address = given ?? (set || 'http://127.0.0.1:5115');
  const url = URL.parse(address.endsWith('/') ? address : `${address}/`);
  if (!url || !/^https?:$/.test(url.protocol))
    throw usageError('the server must be an address such as https://host:5115');
  if (url.username || url.password) throw usageError('the key goes into PENSTOCK_KEY, not into the address');
  if (key && !/^[\x21-\x7e]+$/.test(key)) throw usageError('PENSTOCK_KEY holds characters that no key has');
  if (key && url.protocol === 'http:' && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname))
    complain('penstock: warning: the key is sent over plain http');
  return new Server(url, key || undefined);
}

async function fileText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw usageError(`${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
  }
}

function explain(error: unknown, { complain }: Terminal): number {
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
