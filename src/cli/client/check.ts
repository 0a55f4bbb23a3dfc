import { exitCodes } from '../commands.ts';
import { type Request, usageError } from './command.ts';
import { clean, drawStep, type Step } from './draw.ts';
import { ifThere, kindOf, kinds, type Listed } from './objects.ts';

/** Connection tests, step by step. */

/** The mask that replaces a stored secret. */
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
