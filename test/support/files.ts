import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atEnd } from './at-end.ts';

/** A folder for PENSTOCK_FILE_DIR. It is removed at the end. */
export function fileFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-files-'));
  atEnd(async () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The paths of all files below a folder, hidden ones too, in order. */
export const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();

/** The lines of all files below a folder, in the order of the files. */
export const linesBelow = (folder: string): string[] =>
  filesBelow(folder).flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').filter(Boolean));
