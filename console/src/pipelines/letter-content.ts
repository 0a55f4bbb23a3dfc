import type { DeadLetterContent } from '../api/client.ts';
import { children, members, unquoted } from '../parts/json-text.ts';

/** Reads the content of a dead letter. Its rows and metadata stay JSON text. */

export interface Content {
  payload: DeadLetterContent['payload'];
  /** JSON text, which keeps big integers and costs nothing if deep. */
  metadata: string;
  attempt: Attempt[];
}

export interface Attempt {
  error: boolean;
  message: string;
  errors: { path: string; message: string }[];
  row: string | undefined;
}

export function readContent(json: string): Content {
  const text = Object.fromEntries(members(json));
  const payload = JSON.parse(text.payload ?? '{}') as Content['payload'];
  const attempt = text.attempt ?? '[]';
  return {
    payload,
    metadata: text.metadata ?? '{}',
    attempt: Array.from(children(attempt), ({ start, end }) => readAttempt(attempt.slice(start, end))),
  };
}

function readAttempt(json: string): Attempt {
  const { row, error, message = '""', errors = '[]' } = Object.fromEntries(members(json));
  return {
    error: error === 'true',
    message: unquoted(message),
    errors: JSON.parse(errors) as Attempt['errors'],
    row: row === 'null' ? undefined : row,
  };
}
