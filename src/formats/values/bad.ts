import { PenstockError } from '../../errors.ts';

/** The error of a message that does not fit its schema. `path` is a JSON pointer; items of a list are `*`. */
export function badData(path: string, problem: string): PenstockError {
  const subject = path === '' ? 'The payload' : `The field ${path}`;
  return new PenstockError('bad_data', `${subject} ${problem}`, { errors: [{ path, message: problem }] });
}

/** The error of a row that cannot be written. `path` is a JSON pointer; items of a list are `*`. */
export function badRow(path: string, problem: string): PenstockError {
  const subject = path === '' ? 'The row' : `The column ${path}`;
  return new PenstockError('bad_row', `${subject} ${problem}`, { errors: [{ path, message: problem }] });
}

export function pathOf(parent: string, name: string): string {
  return `${parent}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** Adds a note to the message of a bad_data error; another error stays as it is. */
export function withNote(error: unknown, note: string): unknown {
  if (!(error instanceof PenstockError) || error.code !== 'bad_data') return error;
  const { errors, facts, message, cause } = error;
  return new PenstockError('bad_data', `${message}; ${note}`, { errors, facts, cause });
}
