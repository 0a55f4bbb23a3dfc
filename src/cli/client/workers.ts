import { exitCodes } from '../commands.ts';
import { type Request, usageError } from './command.ts';
import { clean, drawTable } from './draw.ts';
import { labelText } from './objects.ts';

interface Worker {
  name: string;
  version: string;
  host: string;
  alive: boolean;
  draining: boolean;
  labels: Record<string, string>;
  exclusive: boolean;
  slots: number | null;
  tasks: number;
  jobs: number;
  load: number;
  last_heartbeat: number;
}

interface PlacedTask {
  pipeline: string;
  index: number;
  state: string;
  job_id: string;
}

export const isWorker = (word: string | undefined): boolean => word === 'worker' || word === 'workers';

const pathOf = (name: string): string => `/workers/${encodeURIComponent(name)}`;

const stateOf = ({ alive, draining }: Worker): string => {
  if (!alive) return 'lost';
  return draining ? 'draining' : 'alive';
};

const columns: Record<string, (worker: Worker) => string> = {
  NAME: ({ name }) => name,
  STATE: stateOf,
  TASKS: ({ tasks, slots }) => (slots === null ? `${tasks}` : `${tasks}/${slots}`),
  JOBS: ({ jobs }) => `${jobs}`,
  LOAD: ({ load }) => load.toFixed(1),
  VERSION: ({ version }) => version,
  HOST: ({ host }) => host,
  HEARTBEAT: ({ last_heartbeat }) => new Date(last_heartbeat / 1000).toISOString(),
  LABELS: ({ labels, exclusive }) => `${labelText(labels)}${exclusive ? ' (exclusive)' : ''}`,
};

const drawWorkers = (workers: readonly Worker[]): string =>
  drawTable(
    Object.keys(columns),
    workers.map((worker) => Object.values(columns).map((cell) => cell(worker))),
  );

/** Lists the workers, or shows one with its tasks. */
export async function getWorkers({ server, terminal, words, values, json }: Request): Promise<number> {
  const [, name] = words;
  if (values.selector !== undefined) throw usageError('workers have no --selector');
  if (name === undefined) {
    const { data } = await server.json<{ data: Worker[] }>('/workers');
    terminal.print(json ? JSON.stringify(data, null, 2) : drawWorkers(data));
    return exitCodes.ok;
  }
  const worker = await server.json<Worker & { placed_tasks: PlacedTask[] }>(pathOf(name));
  if (json) {
    terminal.print(JSON.stringify(worker, null, 2));
    return exitCodes.ok;
  }
  terminal.print(drawWorkers([worker]));
  const tasks = worker.placed_tasks.map((task) => [task.pipeline, `${task.index}`, task.state, task.job_id]);
  if (tasks.length > 0) terminal.print(`\n${drawTable(['PIPELINE', 'TASK', 'STATE', 'JOB'], tasks)}`);
  return exitCodes.ok;
}

export async function drainWorker({ server, terminal, words, values, json }: Request): Promise<number> {
  const [kind, name = ''] = words;
  if (!isWorker(kind)) throw usageError(`there is no kind ${kind} to drain: it is worker`);
  const drain = values.undo !== true;
  const body = { type: 'application/json', text: JSON.stringify({ drain }) };
  const worker = await server.json<Worker>(`${pathOf(name)}/drain`, { method: 'POST', body });
  const done = drain ? 'drains: it gives its tasks to others' : 'takes tasks again';
  terminal.print(json ? JSON.stringify(worker, null, 2) : `worker ${clean(name)} ${done}`);
  return exitCodes.ok;
}
