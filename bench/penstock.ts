import { existsSync, globSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Api } from '../src/cli/demo/demo.ts';
import type { Child } from './child.ts';
import { within } from './deadline.ts';
import { topic } from './message.ts';
import type { Rig } from './rig.ts';
import type { Route, Start } from './route.ts';

const serveMs = 120_000;
const runMs = 30_000;
const qosNames = ['AtMostOnce', 'AtLeastOnce', 'ExactlyOnce'];

/** Schema with one text per message. */
export const rawString = { format: { type: 'raw_string' } };
/** Schema of JSON objects with two columns. */
export const json = {
  format: { type: 'json' },
  fields: [
    { name: 'seq', type: 'int64', required: true },
    { name: 'text', type: 'string', required: true },
  ],
};

export const thisCheckout = fileURLToPath(import.meta.resolve('..'));

/**
 * Returns the path of the program of a checkout: the built form, or the sources of a checkout that has none. That of this one
 * must be newer than its sources: `scripts/run.mjs` builds it.
 */
export function programOf(checkout: string): string {
  const [sources, built] = [join(checkout, 'src'), join(checkout, 'dist', 'main.js')];
  if (!existsSync(built) && checkout !== thisCheckout) return join(sources, 'main.ts');
  const builtAt = statSync(built, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const newer = globSync('**/*.ts', { cwd: sources }).find(
    (path) => !path.endsWith('.test.ts') && statSync(join(sources, path)).mtimeMs > builtAt,
  );
  if (newer && checkout === thisCheckout)
    throw new Error(`${built} is older than ${newer}: run this with node scripts/run.mjs`);
  return built;
}

/** The checkouts that a benchmark compares, by name. Undefined if `before` is none. */
export function checkoutsOf(before: string | undefined): Map<string, string> | undefined {
  const checkouts = new Map([['this build', thisCheckout]]);
  if (before === undefined) return checkouts;
  const folder = resolve(before);
  return existsSync(join(folder, 'src', 'main.ts')) ? new Map([['before', folder], ...checkouts]) : undefined;
}

/**
 * Penstock as shipped, API and worker in one process, with one pipeline between tables of this schema. `checkout` returns
 * the folder of its sources.
 */
export function pipeline(schema: object, query: string, checkout = () => thisCheckout): Start {
  return async (route, rig) => {
    const { child, address } = await startPenstock(rig, {}, checkout());
    await within(runMs, 'starting the pipeline', rig.signal, setUp(address, route, schema, query));
    return child;
  };
}

/** `settings` are added to its environment. */
export async function startPenstock(
  rig: Rig,
  settings: Record<string, string> = {},
  checkout = thisCheckout,
  role: 'all' | 'api' = 'all',
): Promise<{ child: Child; address: string }> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const child = startRole(rig, role, { settings, checkout }, (line) => {
    const address = servingAddress(line);
    if (address) resolve(address);
  });
  return { child, address: await within(serveMs, 'starting Penstock', rig.signal, promise) };
}

interface RoleOptions {
  settings: Record<string, string>;
  checkout?: string | undefined;
}

/** Starts a process of Penstock, and does not wait until it is ready. */
export const startRole = (
  rig: Rig,
  role: 'all' | 'api' | 'worker',
  { settings, checkout = thisCheckout }: RoleOptions,
  onLine?: (line: string) => void,
): Child =>
  rig.run({
    name: `Penstock ${role}`,
    command: process.execPath,
    args: [programOf(checkout), role],
    // An empty working directory, so that no .env file of the developer is read.
    options: { cwd: rig.folder, env: { ...environment(rig.folder), ...settings } },
    ...(onLine ? { onLine } : {}),
  });

function environment(folder: string): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('PENSTOCK_'));
  return {
    ...Object.fromEntries(inherited),
    PENSTOCK_PORT: '0',
    PENSTOCK_DATA_DIR: folder,
    PENSTOCK_DATABASE_URL: `file:${join(folder, 'penstock.db')}`,
  };
}

function servingAddress(line: string): string | undefined {
  try {
    const entry = JSON.parse(line) as { msg?: string; address?: string };
    return entry.msg === 'penstock is serving' ? entry.address : undefined;
  } catch {
    // Node.js writes its own warnings to stderr, which are not JSON.
    return undefined;
  }
}

/** Creates the tables and the pipeline; resolves when it runs. */
export async function setUp(
  address: string,
  route: Route,
  schema: object,
  query: string,
  parallelism = 1,
): Promise<void> {
  const api = new Api(address);
  await createTable(api, 'source', route.fromPort, { topic, qos: qosNames[route.qos], type: {} }, schema);
  const sink = { topic, qos: qosNames[route.qos], type: { retain: false } };
  await createTable(api, 'sink', route.toPort, sink, schema);
  const { id } = await api.post('/pipelines', { name: 'bench', query: `${query};`, parallelism });
  await api.untilRunning(id, runMs);
}

/** Number of running jobs, from the metrics. */
export async function runningJobs(address: string): Promise<number> {
  const text = await (await fetch(`${address}/metrics`)).text();
  return Number(/^penstock_jobs\{state="Running"\} (\d+)$/m.exec(text)?.[1] ?? 0);
}

async function createTable(
  api: Api,
  name: string,
  port: number,
  config: object,
  schema: object,
): Promise<void> {
  const connector = 'mqtt';
  const url = `mqtt://127.0.0.1:${port}`;
  const profile = await api.post('/connection_profiles', {
    name: `${name}_broker`,
    connector,
    config: { url },
  });
  const table = { name, connector, connection_profile_id: profile.id, config, schema };
  await api.post('/connection_tables', table);
}
