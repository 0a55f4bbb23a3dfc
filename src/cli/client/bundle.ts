import { exitCodes } from '../commands.ts';
import { type Request, usageError } from './command.ts';
import { drawPlan, type Plan } from './draw.ts';

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
  // Every JSON text could be read as YAML; errors are better when it is not.
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
