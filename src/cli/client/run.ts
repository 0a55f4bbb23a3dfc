import { readFile } from 'node:fs/promises';
import { type ClientCommand, exitCodes, type Invocation } from '../commands.ts';
import { testFile, testNamed } from './check.ts';
import { type Request, type Terminal, usageError } from './command.ts';
import { clean, drawPlan, type Plan } from './draw.ts';
import { byName, deleteNamed, getObjects } from './objects.ts';
import { Refused, Server, Unreachable } from './server.ts';

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

export async function planFile(request: Request): Promise<number> {
  const plan = await send(request, { dry_run: 'true' });
  const { created, updated, deleted } = plan.summary;
  return request.values['exit-code'] && created + updated + deleted > 0 ? exitCodes.changes : exitCodes.ok;
}

export async function applyFile(request: Request): Promise<number> {
  await send(request, { plan: request.values.plan as string | undefined });
  return exitCodes.ok;
}

async function send(request: Request, query: Record<string, string | undefined>): Promise<Plan> {
  const text = await request.file();
  // JSON is also YAML, but a JSON parser reports better errors.
  const type = /^\s*\{/.test(text) && isJson(text) ? 'application/json' : 'application/yaml';
  const plan = await request.server.json<Plan>('/apply', { method: 'POST', query, body: { type, text } });
  request.terminal.print(request.json ? JSON.stringify(plan, null, 2) : drawPlan(plan));
  return plan;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

export async function exportBundle({ server, terminal, values, json }: Request): Promise<number> {
  const { format = json ? 'json' : 'yaml', selector } = values;
  if (format !== 'yaml' && format !== 'json') throw usageError('--format must be yaml or json');
  const query = { format, label_selector: selector as string | undefined };
  const text = await server.text('/export', { query });
  terminal.print(format === 'json' ? JSON.stringify(JSON.parse(text), null, 2) : text.trimEnd());
  return exitCodes.ok;
}

/** Shows the messages of a table; with `--output json`, each event as one line of JSON. */
export async function tail({ server, terminal, words, values, json }: Request): Promise<number> {
  const query = { seconds: count(values.seconds, 'seconds'), rows: count(values.rows, 'rows') };
  const { id } = await byName(server, 'table', words[0] as string);
  let last: TailEvent | undefined;
  for await (const text of server.events(`/connection_tables/${id}/tail`, { query })) {
    last = parseExact(text);
    terminal.print(json ? text : drawEvent(last));
  }
  if (!last?.done) terminal.complain('penstock: the server ended the stream');
  return last?.done && !last.error ? exitCodes.ok : exitCodes.failed;
}

interface TailEvent {
  error: boolean;
  done: boolean;
  name: string;
  message: string;
  row?: object;
  metadata?: { topic?: string };
  code?: string | null;
}

function drawEvent({ name, message, row, code }: TailEvent): string {
  if (name === 'row') return clean(JSON.stringify(row ?? {}));
  return code ? `# ${code}: ${clean(message)}` : `# ${clean(message)}`;
}

/** Keeps integers that a double cannot hold as they were written. */
const parseExact = (text: string): TailEvent =>
  JSON.parse(text, ((_name, value, ...context: unknown[]) => {
    const { source } = (context[0] ?? {}) as { source?: string };
    const exact = JSON as unknown as { rawJSON(text: string): unknown };
    return typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(source ?? '')
      ? exact.rawJSON(source as string)
      : value;
  }) as (this: unknown, key: string, value: unknown) => unknown) as TailEvent;

function count(given: string | boolean | undefined, what: string): string | undefined {
  if (given === undefined || /^[1-9]\d{0,5}$/.test(String(given))) return given as string | undefined;
  throw usageError(`--${what} must be a whole number`);
}
