/** Labels, of objects and of workers, and which worker a pipeline may run on. Shared by API, worker and settings. */

const word = '[A-Za-z0-9](?:[-A-Za-z0-9_./]{0,61}[A-Za-z0-9])?';
export const labelKeyPattern = `^${word}$`;
export const labelValuePattern = `^(?:${word})?$`;
export const maxLabels = 64;

export type LabelMap = Record<string, string>;

/**
 * Whether a worker may run a pipeline: it has every label of the placement. An exclusive one runs only pipelines that ask
 * for one of its labels.
 */
export function mayRun(worker: { labels: LabelMap; exclusive: boolean }, placement: LabelMap): boolean {
  const wanted = Object.entries(placement);
  if (worker.exclusive && wanted.length === 0) return false;
  return wanted.every(([key, value]) => Object.hasOwn(worker.labels, key) && worker.labels[key] === value);
}

/** Reads `site=north,line=2`. Returns the first place that is wrong as text. */
export function readLabels(items: readonly string[]): LabelMap | string {
  const labels: LabelMap = Object.create(null);
  for (const item of items) {
    const [key = '', ...rest] = item.split('=');
    const value = rest.join('=');
    if (rest.length === 0 || !RegExp(labelKeyPattern).test(key) || !RegExp(labelValuePattern).test(value))
      return item;
    if (key in labels) return item;
    labels[key] = value;
  }
  return Object.keys(labels).length > maxLabels ? (items.at(-1) ?? '') : { ...labels };
}
