import { constants, createReadStream } from 'node:fs';
import { open, readdir, realpath, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { Targets } from '../connector.ts';
import { fileError, lostError, systemError } from './errors.ts';
import { type LocalPath, localPath } from './paths.ts';
import type { ReadableFiles } from './read-records.ts';

/** Maximum number of entries of one folder, which are sorted in memory. */
const maxEntries = 200_000;

/** Compares names in the order of their bytes. */
const inByteOrder = (one: string, other: string): number =>
  Buffer.compare(Buffer.from(one), Buffer.from(other));

/**
 * The files below a folder whose names `wanted` accepts, or a single file. Hidden files and folders, and symbolic links,
 * are left out.
 */
export async function localFiles(
  path: string,
  targets: Targets,
  wanted: (name: string) => boolean,
): Promise<ReadableFiles & { isFolder: boolean }> {
  const place = await localPath(path, targets);
  const facts = await stat(place.real).catch((error: unknown) => {
    throw systemError(error, place.shown);
  });
  const isFolder = facts.isDirectory();
  return {
    isFolder,
    list: isFolder ? (first) => walk(place, '', first, wanted) : only(place),
    open: (name, offset) => openFile(isFolder ? join(place.real, name) : place.real, place, offset),
    failed: (error, name) => systemError(error, name),
    close() {},
  };
}

const only = (place: LocalPath) =>
  async function* (): AsyncGenerator<string> {
    yield place.shown.split(sep).at(-1) as string;
  };

/** Yields names relative to the place, with slashes, in the order of their bytes. */
async function* walk(
  place: LocalPath,
  below: string,
  first: string | undefined,
  wanted: (name: string) => boolean,
): AsyncGenerator<string> {
  const entries = await readdir(join(place.real, below), { withFileTypes: true }).catch((error: unknown) => {
    throw lostError(error, join(place.shown, below));
  });
  if (entries.length > maxEntries)
    throw fileError('file_failed', `${join(place.shown, below)} has more than ${maxEntries} entries`, {
      hint: 'Divide the files into folders.',
    });
  const named = entries
    .filter((entry) => !entry.name.startsWith('.') && (entry.isFile() || entry.isDirectory()))
    .map((entry) => ({ name: below + entry.name + (entry.isDirectory() ? '/' : ''), entry }))
    .sort((one, other) => inByteOrder(one.name, other.name));
  for (const { name, entry } of named) {
    // The first name may be below a folder that comes before it.
    const leadsThere = entry.isDirectory() && first?.startsWith(name);
    const over = first !== undefined && !leadsThere && inByteOrder(name, first) < 0;
    if (over) continue;
    if (entry.isDirectory()) yield* walk(place, name, first, wanted);
    else if (wanted(name)) yield name;
  }
}

async function openFile(path: string, place: LocalPath, offset: number) {
  try {
    const real = await realpath(path);
    if (real !== path)
      throw fileError('file_path_refused', `${relative(place.real, path)} is a symbolic link now`);
    // A link or pipe that replaces the file in between is neither followed nor waited for.
    const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if ((await file.stat()).isFile()) return createReadStream('', { fd: file, start: offset });
    await file.close();
    throw fileError('file_not_found', `${relative(place.real, path)} is not a file`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && path !== place.real) return undefined;
    throw systemError(error, relative(place.real, path) || place.shown);
  }
}
