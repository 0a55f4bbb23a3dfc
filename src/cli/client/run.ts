import { readFile } from 'node:fs/promises';
import { isLoopbackName } from '../../security/targets.ts';
import { type ClientCommand, exitCodes, type Invocation } from '../commands.ts';
import { type Request, type Terminal, usageError } from './command.ts';
import { type BundlePlan, clean, drawPlan, drawStep, type Step } from './draw.ts';
import { byName, deleteNamed, getObjects, ifThere, kindOf, kinds, type Listed } from './objects.ts';
import { Refused, Server, Unreachable } from './server.ts';
import { drainWorker, getWorkers, isWorker } from './workers.ts';

const handlers: Record<ClientCommand, (request: Request) => Promise<number>> = {
  plan: planFile,
  apply: applyFile,
  export: exportBundle,
  test: (request) => (request.values.file === undefined ? testNamed(request) : testFile(request)),
  tail,
  get: (request) => (isWorker(request.words[0]) ? getWorkers(request) : getObjects(request)),
  delete: deleteNamed,
  drain: drainWorker,
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
  // Without the line break that `echo` adds, as the service reads its settings.
  const [set, key] = ['PENSTOCK_SERVER', 'PENSTOCK_KEY'].map((name) =>
    environment[name]?.replace(/[\r\n]+$/, ''),
  );
  const address = given ?? (set || 'http://127.0.0.1:5115');
  const url = URL.parse(address.endsWith('/') ? address : `${address}/`);
  if (!url || !/^https?:$/.test(url.protocol))
    throw usageError('the server must be an address such as https://host:5115');
  if (url.username || url.password) throw usageError('the key goes into PENSTOCK_KEY, not into the address');
  if (key && !/^[\x21-\x7e]+$/.test(key)) throw usageError('PENSTOCK_KEY is not a key: copy it again');
  if (key && url.protocol === 'http:' && !isLoopbackName(url.hostname))
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

async function send(request: Request, query: Record<string, string | undefined>): Promise<BundlePlan> {
  const text = await request.file();
  // JSON is also YAML, but a JSON parser reports better errors.
  const type = /^\s*\{/.test(text) && isJson(text) ? 'application/json' : 'application/yaml';
  const plan = await request.server.json<BundlePlan>('/apply', {
    method: 'POST',
    query: { ...query, state: request.values['discard-state'] ? 'discard' : undefined },
    body: { type, text },
  });
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

const mask = '********';

interface Test {
  title: string;
  path: string;
  body: object;
}

interface TestEvent extends Step {
  error: boolean;
  done: boolean;
}

export async function testNamed(request: Request): Promise<number> {
  const name = request.words.at(-1);
  if (name === undefined) throw usageError('the name of a profile or a table, or -f <file>, is missing');
  const wanted = request.words.length > 1 ? [testable(request.words[0])] : (['profile', 'table'] as const);
  const found: { kind: 'profile' | 'table'; row: Listed }[] = [];
  for (const kind of wanted) {
    const row = await ifThere(request.server, kind, name);
    if (row) found.push({ kind, row });
  }
  const [only, another] = found;
  if (another)
    throw usageError(
      `there is a profile and a table ${name}: say test profile ${name}, or test table ${name}`,
    );
  if (!only) {
    request.terminal.complain(`penstock: there is no ${wanted.join(' or ')} ${clean(name)}`);
    return exitCodes.failed;
  }
  return runTests(request, [stored(only.kind, only.row)]);
}

function testable(word: string | undefined): 'profile' | 'table' {
  const kind = kindOf(word);
  if (kind === 'pipeline')
    throw usageError('profiles and tables can be tested; pipelines show how they are when they run');
  return kind;
}

const stored = (kind: 'profile' | 'table', { id, name }: Listed, body: object = {}): Test => ({
  title: `${kind} ${name}`,
  path: `${kinds[kind].path}/${id}/test`,
  body,
});

interface Item {
  name: string;
  config?: object;
  connection_profile?: string;
  [field: string]: unknown;
}

/**
 * Tests the profiles and tables of a bundle without storing them. The profile of a table must be stored. A masked secret
 * means the stored one.
 */
export async function testFile(request: Request): Promise<number> {
  if (request.words.length > 0) throw usageError('a name and -f exclude each other');
  const { connection_profiles = [], connection_tables = [] } = await bundleIn(await request.file());
  const tests: Test[] = [];
  for (const item of connection_profiles) {
    const { labels: _labels, ...body } = item;
    const row = holdsMask(item) ? await ifThere(request.server, 'profile', item.name) : undefined;
    tests.push(
      row
        ? stored('profile', row, { config: item.config })
        : { title: `profile ${item.name}`, path: '/connection_profiles/test', body },
    );
  }
  for (const { labels: _labels, connection_profile: name = '', ...body } of connection_tables) {
    const profile = await ifThere(request.server, 'profile', name);
    if (!profile && name !== body.connector) {
      request.terminal.complain(
        `penstock: table ${clean(body.name)}: apply its profile ${clean(name)} first`,
      );
      return exitCodes.failed;
    }
    const test = { ...body, ...(profile ? { connection_profile_id: profile.id } : {}) };
    tests.push({ title: `table ${body.name}`, path: '/connection_tables/test', body: test });
  }
  if (tests.length === 0) throw usageError('the file has no profile and no table');
  return runTests(request, tests);
}

const holdsMask = ({ config }: Item): boolean => JSON.stringify(config ?? {}).includes(`"${mask}"`);

async function bundleIn(text: string): Promise<{ connection_profiles?: Item[]; connection_tables?: Item[] }> {
  const { parse } = await import('yaml');
  try {
    const bundle: unknown = parse(text, { schema: 'core' });
    if (typeof bundle === 'object' && bundle !== null && !Array.isArray(bundle)) return bundle;
  } catch (error) {
    throw usageError(`the file cannot be read: ${clean((error as Error).message)}`);
  }
  throw usageError('the file holds no bundle');
}

async function runTests(request: Request, tests: Test[]): Promise<number> {
  const probe = request.values['no-publish'] ? { probe: 'none' } : {};
  const results: object[] = [];
  let failed = false;
  for (const { title, path, body } of tests) {
    const text = JSON.stringify({ ...body, ...probe });
    const call = { method: 'POST', body: { type: 'application/json', text } } as const;
    if (request.json) {
      const result = await request.server.json<TestEvent>(path, call);
      failed ||= result.error;
      results.push({ tested: title, ...result });
    } else failed = !(await draw(request, title, request.server.events(path, call))) || failed;
  }
  if (request.json) request.terminal.print(JSON.stringify(results, null, 2));
  return failed ? exitCodes.failed : exitCodes.ok;
}

/** Draws each step when it ends. Returns whether the test passed; one that ends without a summary did not. */
async function draw({ terminal }: Request, title: string, events: AsyncIterable<string>): Promise<boolean> {
  terminal.print(clean(title));
  for await (const text of events) {
    const event = JSON.parse(text) as TestEvent;
    if (!event.done) {
      terminal.print(drawStep(event, terminal.fancy));
      continue;
    }
    terminal.print(event.error ? `failed: ${clean(event.message)}` : clean(event.message));
    return !event.error;
  }
  terminal.complain('penstock: the test ended without a result');
  return false;
}
