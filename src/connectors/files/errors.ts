import { type DescribedError, errorMaker, PenstockError } from '../../errors.ts';

/** Errors of local files, told apart as passing and permanent. */

export const fileErrors = {
  file_path_refused: {
    title: 'The path is not allowed',
    passing: false,
    means:
      'Local files are read and written below the folder of PENSTOCK_FILE_DIR only, symbolic links included.',
    todo: 'Use a path below that folder, or ask the operator of Penstock to set it.',
  },
  file_not_found: {
    title: 'The file or folder does not exist',
    passing: false,
    means:
      'Nothing has this path, or its place is taken: a file where a folder is needed, or the other way round.',
    todo: 'Correct the path, or create the file or folder.',
  },
  file_permission_denied: {
    title: 'The file or folder may not be used',
    passing: false,
    means: 'The operating system refuses the user that runs Penstock.',
    todo: 'Give this user the right to read or write there, then start the pipeline again.',
  },
  file_system_read_only: {
    title: 'The file system is read-only',
    passing: true,
    means: 'The file system is mounted read-only. Some systems do this after a fault of the disk.',
    todo: 'Check the disk and mount it writable. The job continues then.',
  },
  file_no_space: {
    title: 'The disk is full',
    passing: true,
    means:
      'The file system has no space or no inodes left, or a quota is reached. Messages stay unacknowledged.',
    todo: 'Free space. The job continues then.',
  },
  file_failed: {
    title: 'A file operation failed',
    passing: true,
    means: 'The operating system reports another fault, such as an I/O error or a file system that is gone.',
    todo: 'See the code of the operating system in the message. The job tries again.',
  },
  file_damaged: {
    title: 'A compressed file is damaged',
    passing: false,
    means: 'The file does not have the compression that the table names, or it ends too early.',
    todo: 'Correct compression_format, or remove the file from the folder.',
  },
  file_line_too_long: {
    title: 'A line of a file is too long',
    passing: false,
    means: 'A line, or a CSV record, exceeds max_line_length of the framing, or 1 MiB if it is not set.',
    todo: 'Raise max_line_length, correct the quotes of the file, or remove the file from the folder.',
  },
} as const satisfies Record<string, DescribedError>;

export const fileError = errorMaker(fileErrors);

type FileErrorCode = keyof typeof fileErrors;

const systemCodes: Readonly<Record<string, [code: FileErrorCode, reason: string]>> = {
  ENOENT: ['file_not_found', 'does not exist'],
  ENOTDIR: ['file_not_found', 'is below something that is not a folder'],
  EISDIR: ['file_not_found', 'is a folder, not a file'],
  ELOOP: ['file_path_refused', 'is a symbolic link'],
  EACCES: ['file_permission_denied', 'may not be used by the user that runs Penstock'],
  EPERM: ['file_permission_denied', 'may not be used by the user that runs Penstock'],
  EROFS: ['file_system_read_only', 'is on a file system that is read-only'],
  ENOSPC: ['file_no_space', 'is on a file system without space'],
  EDQUOT: ['file_no_space', 'exceeds the quota of the file system'],
};

/** Translates an error of the operating system about `path`, a path as the user knows it. */
export function systemError(cause: unknown, path: string): PenstockError {
  if (cause instanceof PenstockError) return cause;
  const { code: system = 'unknown error' } = cause as NodeJS.ErrnoException;
  const [code, reason] = systemCodes[system] ?? ['file_failed', 'cannot be used'];
  const hint = fileErrors[code].todo;
  return fileError(code, `${path} ${reason} (${system})`, { hint, facts: { path, system }, cause });
}

/** The same for a place that was usable before: that it is gone may pass. */
export function lostError(cause: unknown, path: string): PenstockError {
  const error = systemError(cause, path);
  if (String(error.code) !== 'file_not_found') return error;
  const hint = 'Check that the folder exists and its file system is mounted.';
  return fileError('file_failed', `${error.message.replace('does not exist', 'is gone')}`, { hint, cause });
}
