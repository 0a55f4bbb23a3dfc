import type { OutputData } from '../api/client.ts';
import { oneLine } from '../parts/text.tsx';

/** Rows of a preview: read without rounding, and a bounded number of them. */

/** A number as the API wrote it, with all its digits. */
class ExactNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toJSON(): unknown {
    return (JSON as { rawJSON?(text: string): unknown }).rawJSON?.(this.text) ?? this.text;
  }
}

export interface ShownRow {
  key: number;
  operator: string;
  /** Unix microseconds. */
  at: number | null;
  partial: boolean;
  cells: Record<string, unknown>;
}

export interface BadMessage {
  key: number;
  code: string;
  message: string;
  errors: { path: string; message: string }[];
}

export interface Seen {
  rows: ShownRow[];
  bad: BadMessage[];
  /** Numbers of all, also of those that are no longer shown. */
  rowCount: number;
  badCount: number;
  leftOut: number;
  operators: string[];
  state: OutputData['state'];
  /** Whether the last event has come. */
  done: boolean;
  /** Why it ended early. */
  error: { code: string; message: string } | null;
}

export const nothingSeen: Seen = {
  rows: [],
  bad: [],
  rowCount: 0,
  badCount: 0,
  leftOut: 0,
  operators: [],
  state: undefined,
  done: false,
  error: null,
};

export const maxRows = 200;
const maxBad = 50;

const exactly = (batch: string): Record<string, unknown>[] =>
  JSON.parse(batch, (_key, value, context?: { source?: string }) =>
    typeof value === 'number' ? new ExactNumber(context?.source ?? `${value}`) : value,
  );

/** Adds what came, newest first, and forgets the oldest. */
export function withEvents(seen: Seen, events: readonly OutputData[]): Seen {
  const next = { ...seen, rows: [...seen.rows], bad: [...seen.bad], operators: [...seen.operators] };
  for (const event of events) add(next, event);
  next.rows.length = Math.min(next.rows.length, maxRows);
  next.bad.length = Math.min(next.bad.length, maxBad);
  return next;
}

function add(
  seen: Seen,
  { operator_id, timestamps, batch, bad, left_out, partial, state, done, error }: OutputData,
): void {
  const rows = exactly(batch);
  if (operator_id !== '' && !seen.operators.includes(operator_id)) seen.operators.push(operator_id);
  for (const [nth, cells] of rows.entries()) {
    const at = timestamps[nth] ?? null;
    seen.rows.unshift({ key: seen.rowCount++, operator: operator_id, at, partial: partial === true, cells });
  }
  for (const one of bad ?? []) seen.bad.unshift({ key: seen.badCount++, ...one });
  seen.leftOut += left_out ?? 0;
  if (state) seen.state = state;
  if (done) seen.done = true;
  if (error) seen.error = error;
}

const maxCell = 120;

/** A value on one line. */
export function cellText(value: unknown): string {
  const text =
    value instanceof ExactNumber
      ? value.text
      : typeof value === 'string'
        ? value
        : value === undefined
          ? ''
          : JSON.stringify(value);
  return oneLine(text, maxCell);
}

export const isNumber = (value: unknown): boolean => value instanceof ExactNumber;

const maxColumns = 40;

/** The columns of rows, in the order of the first row that has them. */
export function columnsOf(rows: readonly ShownRow[]): string[] {
  const columns = new Set<string>();
  for (const { cells } of rows)
    for (const name of Object.keys(cells)) if (columns.size < maxColumns) columns.add(name);
  return [...columns];
}
