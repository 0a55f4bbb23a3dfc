import type { JobLogMessage } from '../api/client.ts';

/** Reads changes of state out of the history of a job. */

export interface StateChange {
  id: string;
  /** Unix microseconds. */
  at: number;
  before: string | null;
  state: string;
  /** Why, as text; null if nobody said. */
  cause: string | null;
  code: string | null;
}

const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);

/** Reads JSON from outside. Undefined if it is none, or no object. */
function detailsOf({ details }: Pick<JobLogMessage, 'details'>): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(details);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : undefined;
  } catch {
    // Shown as it is.
    return undefined;
  }
}

export const hintOf = (message: Pick<JobLogMessage, 'details'>): string | null =>
  text(detailsOf(message)?.hint);

export function changeOf(message: JobLogMessage): StateChange | undefined {
  if (message.level !== 'info') return undefined;
  const { before, state, cause } = detailsOf(message) ?? {};
  if (typeof state !== 'string') return undefined;
  const { id, created_at: at, code } = message;
  return { id, at, before: text(before), state, cause: text(cause), code };
}

export interface Stretch {
  /** Null while it is not known. */
  state: string | null;
  cause: string | null;
  from: number;
  to: number;
}

/** The states from one time to another. `changes` are newest first; `state` is the present one. */
export function stretchesOf(
  changes: readonly StateChange[],
  state: string,
  { from, to, complete }: { from: number; to: number; complete: boolean },
): Stretch[] {
  const stretches: Stretch[] = [];
  let end = to;
  let then: string | null = state;
  for (const change of changes) {
    if (end <= from) break;
    const begin = Math.max(from, change.at);
    if (begin < end) stretches.unshift({ state: then, cause: change.cause, from: begin, to: end });
    end = Math.min(end, change.at);
    then = change.before;
  }
  const known = changes.length === 0 || complete ? then : null;
  if (end > from) stretches.unshift({ state: known, cause: null, from, to: end });
  return stretches;
}
