import type { Failure, Part, Passenger } from './batch-processor.ts';
import { printable } from './printable.ts';

/** So many errors of one letter are kept. */
const keptErrors = 20;

/** What failed of a message, as it is stored. */
export interface LetterFailure {
  stage: string;
  code: string;
  message: string;
  errors: string;
  failedRows: string | null;
  rowCount: number | null;
}

/** What failed of the message at `index`, as it is stored; undefined when nothing did. */
export function letterFailure(part: Part<Passenger>, index: number): LetterFailure | undefined {
  const failures = part.failures.get(index);
  const [first] = failures ?? [];
  if (!failures || !first) return undefined;
  const { stage, error } = first;
  const { code } = error;
  const errors = JSON.stringify(failures.slice(0, keptErrors).flatMap(errorsOf).slice(0, keptErrors));
  const whole = failures.some(({ row }) => row === undefined);
  const { left } = part.messages[index] as Passenger;
  const count = part.rowCounts[index];
  const said = { stage, code, message: printable(error.message), errors };
  // Of what had got through before a message became unreadable, nothing is forgotten.
  if (whole || count === undefined)
    return { ...said, failedRows: left ? JSON.stringify([...left.rows]) : null, rowCount: left?.of ?? null };
  const rows = new Set(failures.map(({ row }) => row as number));
  return { ...said, failedRows: JSON.stringify([...rows].sort((a, b) => a - b)), rowCount: count };
}

const errorsOf = ({ stage, row, error }: Failure) => {
  const { code, message, errors } = error;
  const found = errors.length > 0 ? errors : [{ path: '', message }];
  return found.map((one) => ({
    stage,
    code,
    row: row ?? null,
    path: printable(one.path),
    message: printable(one.message),
  }));
};
