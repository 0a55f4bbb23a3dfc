export interface Step {
  name: string;
  outcome: 'ok' | 'warning' | 'failed' | 'skipped';
  durationMs: number;
  message: string;
  code: string | null;
  hint: string | null;
}

export interface BundlePlan {
  plan: string;
  applied: boolean;
  summary: Record<'created' | 'updated' | 'unchanged' | 'deleted', number>;
  changes: {
    kind: string;
    name: string;
    action: 'created' | 'updated' | 'unchanged' | 'deleted';
    diff: { path: string; before?: unknown; after?: unknown; secret?: string }[];
  }[];
  affected_pipelines: { name: string }[];
}

/** Removes control characters from foreign text, so that a terminal cannot act on them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it removes them.
export const clean = (text: string): string => text.replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');

const marks = { ok: ['✓', 32], warning: ['!', 33], failed: ['✗', 31], skipped: ['-', 90] } as const;

/** One step of a test. `fancy` is for terminals: signs and colours. */
export function drawStep({ name, outcome, durationMs, message, code, hint }: Step, fancy: boolean): string {
  const [sign, colour] = marks[outcome];
  const mark = fancy ? `\u001b[${colour}m${sign}\u001b[0m` : outcome.padEnd(7);
  const took = `${Math.round(durationMs)} ms`.padStart(8);
  const what = code === null ? clean(message) : `${code}: ${clean(message)}`;
  const lines = [`${mark} ${clean(name).padEnd(14)} ${took}  ${what}`];
  if (hint !== null && outcome !== 'ok') lines.push(`${' '.repeat(fancy ? 2 : 8)}${clean(hint)}`);
  return lines.join('\n');
}

const signs = { created: '+', updated: '~', unchanged: '=', deleted: '-' } as const;
const nouns: Record<string, string> = {
  connection_profiles: 'profile',
  connection_tables: 'table',
  pipelines: 'pipeline',
};

export function drawPlan({ plan, applied, summary, changes, affected_pipelines }: BundlePlan): string {
  const lines = changes
    .filter(({ action }) => action !== 'unchanged')
    .flatMap(({ kind, name, action, diff }) => [
      `${signs[action]} ${nouns[kind] ?? kind} ${clean(name)}`,
      ...diff.map(drawDifference),
    ]);
  const { created, updated, unchanged, deleted } = summary;
  const to = applied ? '' : 'to be ';
  lines.push(
    `${to}created ${created}, ${to}updated ${updated}, unchanged ${unchanged}, ${to}deleted ${deleted}`,
  );
  if (affected_pipelines.length > 0)
    lines.push(
      `${applied ? 'draining' : 'to drain'}: ${affected_pipelines.map(({ name }) => clean(name)).join(', ')}`,
    );
  const readsOther = changes.some(
    ({ kind, diff }) => kind === 'connection_tables' && diff.some(({ path }) => path === '/config/topic'),
  );
  if (!applied && readsOther && affected_pipelines.length > 0)
    lines.push(
      'warning: a topic changes. Some brokers discard what is queued under the former topic of a source when it is',
      '    unsubscribed. Let the pipelines catch up first (docs/edit.md).',
    );
  lines.push(`plan ${plan}`);
  return lines.join('\n');
}

function drawDifference({
  path,
  before,
  after,
  secret,
}: BundlePlan['changes'][number]['diff'][number]): string {
  const values = secret === undefined ? `${value(before)} -> ${value(after)}` : '(secret, changed)';
  return `    ${clean(path)}: ${values}`;
}

const value = (given: unknown): string => (given === undefined ? '(none)' : clean(JSON.stringify(given)));

export function drawTable(heads: string[], rows: string[][]): string {
  const all = [heads, ...rows.map((row) => row.map(clean))];
  const widths = heads.map((_, column) => Math.max(...all.map((row) => [...(row[column] ?? '')].length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - [...cell].length))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
