import { type Asked, Usage } from './command.ts';
import { exitCodes } from './commands.ts';
import { drawPlan, type Plan } from './draw.ts';

export async function planFile(asked: Asked): Promise<number> {
  const plan = await send(asked, { dry_run: 'true' });
  const { created, updated, deleted } = plan.summary;
  return asked.values['exit-code'] && created + updated + deleted > 0 ? exitCodes.changes : exitCodes.fine;
}

export async function applyFile(asked: Asked): Promise<number> {
  await send(asked, { plan: asked.values.plan as string | undefined });
  return exitCodes.fine;
}

async function send(asked: Asked, query: Record<string, string | undefined>): Promise<Plan> {
  const text = await asked.file();
  // Every JSON text could be read as YAML; errors are better when it is not.
  const type = /^\s*\{/.test(text) && isJson(text) ? 'application/json' : 'application/yaml';
  const plan = await asked.server.json<Plan>('/apply', { method: 'POST', query, body: { type, text } });
  asked.terminal.print(asked.json ? JSON.stringify(plan, null, 2) : drawPlan(plan));
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

export async function exportBundle({ server, terminal, values, json }: Asked): Promise<number> {
  const { format = json ? 'json' : 'yaml', selector } = values;
  if (format !== 'yaml' && format !== 'json') throw new Usage('--format must be yaml or json');
  const query = { format, label_selector: selector as string | undefined };
  const text = await server.text('/export', { query });
  terminal.print(format === 'json' ? JSON.stringify(JSON.parse(text), null, 2) : text.trimEnd());
  return exitCodes.fine;
}
