import { randomBytes } from 'node:crypto';
import { link, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Targets } from '../../connector.ts';
import { lostError, systemError } from '../../files/errors.ts';
import { type LocalPath, localPath, makeFolder, syncFolder } from '../../files/paths.ts';
import type { Storage } from './storage.ts';

/**
 * A local folder. A file is written under a temporary name in the folder of the table, made durable, and then linked
 * to its final name at once: nobody sees it before it is whole, and no file is ever replaced.
 */

const maxAgeMs = 24 * 3_600_000;

export const temporaryName = (tag: string, taskIndex: number): string =>
  `.penstock-${tag}-${taskIndex}-${randomBytes(6).toString('hex')}.tmp`;

export class LocalStorage implements Storage {
  readonly #place: LocalPath;
  readonly #tag: string;
  readonly #taskIndex: number;
  readonly #made = new Set<string>();

  private constructor(place: LocalPath, tag: string, taskIndex: number) {
    this.#place = place;
    this.#tag = tag;
    this.#taskIndex = taskIndex;
  }

  static async open(path: string, targets: Targets, tag: string, taskIndex: number): Promise<LocalStorage> {
    const place = await localPath(path, targets);
    try {
      await makeFolder(place.real, place.real);
      const storage = new LocalStorage(place, tag, taskIndex);
      await storage.#removeLeftovers();
      return storage;
    } catch (error) {
      throw systemError(error, place.shown);
    }
  }

  async put(folder: string, name: string, data: Buffer[], exclusive: boolean): Promise<boolean> {
    const temporary = join(this.#place.real, temporaryName(this.#tag, this.#taskIndex));
    const target = join(this.#place.real, folder);
    try {
      await writeDurably(temporary, data);
      if (!this.#made.has(target)) await makeFolder(target, this.#place.real);
      this.#made.add(target);
      const isNew = await publish(temporary, join(target, name));
      if (!isNew && !exclusive) throw Object.assign(new Error('the name is taken'), { code: 'EEXIST' });
      if (isNew) await syncFolder(target);
      return isNew;
    } catch (error) {
      this.#made.delete(target);
      throw lostError(error, join(this.#place.shown, folder));
    } finally {
      await rm(temporary, { force: true }).catch(() => {});
    }
  }

  async names(folder: string): Promise<string[]> {
    return readdir(join(this.#place.real, folder)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw lostError(error, join(this.#place.shown, folder));
    });
  }

  async close(): Promise<void> {}

  /** Removes what this task has left, and what tasks of this job that are no more have left long ago. */
  async #removeLeftovers(): Promise<void> {
    const ofJob = `.penstock-${this.#tag}-`;
    for (const name of await readdir(this.#place.real)) {
      if (!name.startsWith(ofJob) || !name.endsWith('.tmp')) continue;
      const path = join(this.#place.real, name);
      const own = name.startsWith(`${ofJob}${this.#taskIndex}-`);
      const age = own
        ? maxAgeMs
        : Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now());
      if (age >= maxAgeMs) await rm(path, { force: true });
    }
  }
}

async function writeDurably(path: string, data: Buffer[]): Promise<void> {
  const file = await open(path, 'wx');
  try {
    // The operating system takes at most 1,024 pieces at once.
    for (let from = 0; from < data.length; from += 1000) await writeAll(file, data.slice(from, from + 1000));
    await file.sync();
  } finally {
    await file.close();
  }
}

async function writeAll(file: Awaited<ReturnType<typeof open>>, data: Buffer[]): Promise<void> {
  let rest = data;
  while (rest.length > 0) {
    let { bytesWritten } = await file.writev(rest);
    const open = rest.findIndex((part) => {
      if (bytesWritten < part.length) return true;
      bytesWritten -= part.length;
      return false;
    });
    if (open === -1) return;
    rest = [(rest[open] as Buffer).subarray(bytesWritten), ...rest.slice(open + 1)];
  }
}

const withoutLinks = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

/** Gives a file its final name; false if that is taken. Some file systems have no hard links. */
async function publish(temporary: string, path: string): Promise<boolean> {
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    if (!withoutLinks.includes(code)) throw error;
    if (
      await stat(path).then(
        () => true,
        () => false,
      )
    )
      return false;
    await rename(temporary, path);
    return true;
  }
}
