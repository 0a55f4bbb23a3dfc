import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFailed, onTestFinished, TestRunner } from 'vitest';

type Close = () => unknown;

const withFile: Close[] = [];

/** Called by `each-file.ts`: files that share this module each end their own. */
export async function endFile(): Promise<void> {
  for (const close of withFile.splice(0).reverse()) await close();
}

/**
 * Calls `close` at the end of the test that runs, or of the test that a `beforeEach` prepares. Outside of a test it is
 * called at the end of the file. The newest is called first. `close` may have been called before.
 */
export function atEnd(close: Close): void {
  if (TestRunner.getCurrentTest() === undefined) withFile.push(close);
  else onTestFinished(async () => void (await close()));
}

/** Puts what `tell` returns below the error of the test that runs, if it fails. Outside of a test it does nothing. */
export function tellIfFailed(tell: () => string): void {
  if (TestRunner.getCurrentTest() === undefined) return;
  onTestFailed(({ task }) => {
    for (const error of task.result?.errors?.slice(0, 1) ?? []) error.message += `\n${tell()}`;
  });
}

/** An empty folder that is removed at the end: see `atEnd`. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `penstock-${name}-`));
  atEnd(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}
