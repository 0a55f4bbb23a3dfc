import { exitCodes } from '../commands.ts';
import { type Request, usageError } from './command.ts';
import { drawTable } from './draw.ts';
import { Refused, type Server } from './server.ts';

export interface Listed {
  id: string;
  name: string;
  labels: Record<string, string>;
  [field: string]: unknown;
}

export const kinds = {
  profile: {
    path: '/connection_profiles',
    columns: { connector: (row: Listed) => row.connector, address: (row: Listed) => row.description },
    more: {},
  },
  table: {
    path: '/connection_tables',
    columns: {
      type: (row: Listed) => row.table_type,
      profile: (row: Listed) => (row.connection_profile as Listed | null)?.name,
      pipelines: (row: Listed) => row.consumers,
    },
    more: {},
  },
  pipeline: {
    path: '/pipelines',
    columns: {
      state: (row: Listed) => row.state,
      parallelism: (row: Listed) => row.parallelism,
    },
    more: {
      worker: (row: Listed) => row.worker,
      placement: (row: Listed) => labelText(row.placement as Record<string, string> | undefined),
    },
  },
} as const;
type ObjectKind = keyof typeof kinds;

export function kindOf(word: string | undefined): ObjectKind {
  const kind = word?.replace(/s$/, '') ?? '';
  if (Object.hasOwn(kinds, kind)) return kind as ObjectKind;
  throw usageError(`there is no kind ${word}: it is profiles, tables or pipelines; get also has workers`);
}

export const byName = (server: Server, kind: ObjectKind, name: string): Promise<Listed> =>
  server.json<Listed>(`${kinds[kind].path}/by-name/${encodeURIComponent(name)}`);

/** The same, or undefined if there is none. */
export async function ifThere(server: Server, kind: ObjectKind, name: string): Promise<Listed | undefined> {
  try {
    return await byName(server, kind, name);
  } catch (error) {
    if (error instanceof Refused && error.problem.code === 'not_found') return undefined;
    throw error;
  }
}

export async function getObjects({ server, terminal, words, values, json }: Request): Promise<number> {
  const kind = kindOf(words[0]);
  const [, name] = words;
  const { selector } = values;
  if (name !== undefined && selector !== undefined)
    throw usageError('a name and --selector exclude each other');
  const rows =
    name === undefined
      ? await list(server, kind, selector as string | undefined)
      : [await byName(server, kind, name)];
  if (kind === 'pipeline' && !json) await addStates(server, rows);
  if (json) terminal.print(JSON.stringify(name === undefined ? rows : rows[0], null, 2));
  else terminal.print(drawRows(kind, rows));
  return exitCodes.ok;
}

function drawRows(kind: ObjectKind, rows: Listed[]): string {
  const { columns, more } = kinds[kind];
  const headsOf = (some: object) => Object.keys(some).map((head) => head.toUpperCase());
  const heads = ['NAME', ...headsOf(columns), 'LABELS', 'ID', ...headsOf(more)];
  const cells = rows.map((row) => {
    const cellsOf = (some: Record<string, (row: Listed) => unknown>) =>
      Object.values(some).map((cell) => String(cell(row) ?? ''));
    return [row.name, ...cellsOf(columns), labelText(row.labels), row.id, ...cellsOf(more)];
  });
  return drawTable(heads, cells);
}

export const labelText = (labels: Record<string, string> = {}): string =>
  Object.entries(labels)
    .map(([label, value]) => `${label}=${value}`)
    .join(',');

interface ListedJob {
  pipeline_id: string;
  state: string;
  worker?: string | null;
}

/** The state and the worker of a pipeline are those of its job. */
async function addStates(server: Server, rows: Listed[]): Promise<void> {
  const { data } = await server.json<{ data: ListedJob[] }>('/jobs');
  const jobs = new Map(data.map((job) => [job.pipeline_id, job]));
  for (const row of rows)
    Object.assign(row, { state: jobs.get(row.id)?.state, worker: jobs.get(row.id)?.worker });
}

async function list(server: Server, kind: ObjectKind, selector: string | undefined): Promise<Listed[]> {
  const { path } = kinds[kind];
  // The list of profiles has no pages.
  const paging = kind === 'profile' ? {} : { limit: '100' };
  const rows: Listed[] = [];
  for (;;) {
    const query = { ...paging, label_selector: selector, starting_after: rows.at(-1)?.id };
    const { data, hasMore = false } = await server.json<{ data: Listed[]; hasMore?: boolean }>(path, {
      query,
    });
    rows.push(...data);
    if (!hasMore) return rows;
  }
}

export async function deleteNamed({ server, terminal, words, values, json }: Request): Promise<number> {
  const kind = kindOf(words[0]);
  const { id, name } = await byName(server, kind, words[1] as string);
  const query = { dry_run: values['dry-run'] ? 'true' : undefined };
  await server.json(`${kinds[kind].path}/${id}`, { method: 'DELETE', query });
  const done = values['dry-run'] ? 'can be deleted' : 'is deleted';
  terminal.print(
    json ? JSON.stringify({ kind, name, id, deleted: !values['dry-run'] }) : `${kind} ${name} ${done}`,
  );
  return exitCodes.ok;
}
