import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { startBareLoop } from './bare.ts';
import { startBridge } from './bridge.ts';
import { installNodeRed, startNodeRed } from './node-red.ts';
import { json, pipeline, rawString } from './penstock.ts';
import type { Start } from './route.ts';

/** Returns the checkout of an older build, to compare with in the same run. Throws if there is none. */
function olderCheckout(): string {
  const { BENCH_BEFORE: folder } = process.env;
  if (folder && existsSync(join(folder, 'src', 'main.ts'))) return folder;
  throw new Error('set BENCH_BEFORE to a checkout of another version, with its node_modules');
}

/** The forwarders by name, in the order of the report. */
export const contestants = {
  bridge: startBridge,
  bare: startBareLoop,
  'node-red': startNodeRed,
  penstock: pipeline(rawString, 'INSERT INTO sink SELECT * FROM source'),
  'penstock-before': pipeline(rawString, 'INSERT INTO sink SELECT * FROM source', olderCheckout),
  'penstock-json': pipeline(json, 'INSERT INTO sink SELECT seq, text FROM source'),
  'penstock-where': pipeline(json, 'INSERT INTO sink SELECT seq, text FROM source WHERE seq > 0'),
} as const satisfies Record<string, Start>;

export type ContestantName = keyof typeof contestants;
export const contestantNames = Object.keys(contestants) as ContestantName[];

/** Checks before the measurement. Each throws if its forwarder cannot take part. */
const installations: Partial<Record<ContestantName, () => unknown>> = {
  'node-red': installNodeRed,
  'penstock-before': olderCheckout,
};

/** Default forwarders: those that need no download. */
export const usualNames = contestantNames.filter((name) => !(name in installations));

/** Returns the `names` that can take part, and calls `skip` for the others. */
export function ready(
  names: ContestantName[],
  skip: (name: ContestantName, why: string) => void,
): ContestantName[] {
  return names.filter((name) => {
    try {
      installations[name]?.();
      return true;
    } catch (error) {
      skip(name, (error as Error).message);
      return false;
    }
  });
}
