import { mkdir, open, realpath, stat } from 'node:fs/promises';
import { dirname, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PenstockError } from '../../errors.ts';
import type { Targets } from '../connector.ts';
import { fileError, systemError } from './errors.ts';

/** Local paths of tables. They lead below the folder of PENSTOCK_FILE_DIR, also through symbolic links. */

export interface LocalPath {
  /** Absolute, without symbolic links. The last parts may not exist yet. */
  real: string;
  /** As messages show it: relative to the operator's folder. */
  shown: string;
}

const refused = (message: string): PenstockError =>
  fileError('file_path_refused', message, {
    hint: 'Use a path below the folder of the setting PENSTOCK_FILE_DIR.',
    facts: { setting: 'PENSTOCK_FILE_DIR' },
  });

/** Returns the path in a `file:` URL; another text is a path already. Throws `file_path_refused`. */
export function plainPath(text: string): string {
  if (text.includes('\0')) throw refused('The path has a NUL character');
  if (!/^file:/i.test(text)) return text;
  try {
    return fileURLToPath(text);
  } catch {
    throw refused('The path is not a valid file: URL; write it like file:///data/readings');
  }
}

const isWithin = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);

/**
 * Finds a path, absolute or relative to the operator's folder. Throws `file_path_refused`, with one message for outside
 * and missing, so that callers cannot probe for files elsewhere.
 */
export async function localPath(text: string, { fileDir }: Targets): Promise<LocalPath> {
  if (fileDir === undefined)
    throw refused('Local paths are refused, because the setting PENSTOCK_FILE_DIR is not set');
  const root = await realpath(fileDir).catch(() => undefined);
  if (root === undefined)
    throw refused('Local paths are refused, because the folder of PENSTOCK_FILE_DIR does not exist');
  const wanted = resolve(fileDir, plainPath(text));
  const folder = resolve(fileDir);
  const outside = refused(`The path ${JSON.stringify(text.slice(0, 200))} is not below PENSTOCK_FILE_DIR`);
  if (!isWithin(wanted, folder) && !isWithin(wanted, root)) throw outside;
  const below = relative(isWithin(wanted, folder) ? folder : root, wanted);
  const real = await realOf(resolve(root, below));
  if (!isWithin(real, root)) throw outside;
  return { real, shown: below === '' ? '.' : below };
}

/** Follows the links of the parts that exist. */
async function realOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const parent = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === path) throw systemError(error, path);
    const found = await realOf(parent);
    return resolve(found, relative(parent, path));
  }
}

/** The deepest part of a path that exists. */
export async function existingFolder(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  return found ? path : existingFolder(dirname(path));
}

/** Creates a folder and those above it, durably. Throws if it turns out to lead outside of `root`. */
export async function makeFolder(path: string, root: string): Promise<void> {
  if (!isWithin(path, root)) throw refused('The folder is not below the folder of the table');
  const first = await mkdir(path, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    // A file has the name.
    throw error.code === 'EEXIST' ? Object.assign(error, { code: 'ENOTDIR' }) : error;
  });
  // A new folder is durable once its parent is.
  for (let at = path; first !== undefined && isWithin(at, dirname(first)); at = dirname(at))
    await syncFolder(at);
  if ((await realpath(path)) !== path)
    throw refused('A symbolic link is in the place of a folder of the table');
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
