import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { startBareLoop } from './bare.ts';
import { startBentoFilter } from './bento.ts';
import { startBridge } from './bridge.ts';
import type { Child } from './child.ts';
import { installNodeRed, startNodeRed } from './node-red.ts';
import { json, pipeline, rawString } from './penstock.ts';
import type { Rig } from './rig.ts';
import type { Route } from './route.ts';
import { startTelegrafFilter } from './telegraf.ts';

/** Paths of programs that the project does not install, from the flags of the same names. */
export interface Programs {
  bento: string | undefined;
  telegraf: string | undefined;
}

type StartWith = (route: Route, rig: Rig, programs: Programs) => Promise<Child>;

/** Returns the path of a program. Throws if no flag names it or it is missing. */
function given(name: keyof Programs, programs: Programs): string {
  const path = programs[name];
  if (path === undefined) throw new Error(`no path was given (--${name})`);
  if (!existsSync(path)) throw new Error(`there is no ${path}`);
  return resolve(path);
}

/** Returns the checkout of an older build, to compare with in the same run. Throws if there is none. */
function olderCheckout(): string {
  const { BENCH_BEFORE: folder } = process.env;
  if (folder && existsSync(join(folder, 'src', 'main.ts'))) return resolve(folder);
  throw new Error('set BENCH_BEFORE to a checkout of another version, with its node_modules');
}

const where = 'INSERT INTO sink SELECT seq, text FROM source WHERE seq > 0';

/** The forwarders by name, in the order of the report. */
export const contestants = {
  bridge: startBridge,
  bare: startBareLoop,
  'node-red': startNodeRed,
  penstock: pipeline(rawString, 'INSERT INTO sink SELECT * FROM source'),
  'penstock-before': pipeline(rawString, 'INSERT INTO sink SELECT * FROM source', olderCheckout),
  'penstock-json': pipeline(json, 'INSERT INTO sink SELECT seq, text FROM source'),
  'penstock-where': pipeline(json, where),
  'penstock-where-before': pipeline(json, where, olderCheckout),
  bento: (route, rig, programs) => startBentoFilter(given('bento', programs), route, rig),
  'bento-in-order': (route, rig, programs) => startBentoFilter(given('bento', programs), route, rig, 1),
  telegraf: (route, rig, programs) => startTelegrafFilter(given('telegraf', programs), route, rig),
} as const satisfies Record<string, StartWith>;

export type ContestantName = keyof typeof contestants;
export const contestantNames = Object.keys(contestants) as ContestantName[];

/** Checks before the measurement. Each throws if its forwarder cannot take part. */
const installations: Partial<Record<ContestantName, (programs: Programs) => unknown>> = {
  'node-red': installNodeRed,
  'penstock-before': olderCheckout,
  'penstock-where-before': olderCheckout,
  bento: (programs) => given('bento', programs),
  'bento-in-order': (programs) => given('bento', programs),
  telegraf: (programs) => given('telegraf', programs),
};

/** Default forwarders: those that need nothing else. */
export const usualNames = contestantNames.filter((name) => !(name in installations));

/** Returns the `names` that can take part, and calls `skip` for the others. */
export function ready(
  names: ContestantName[],
  programs: Programs,
  skip: (name: ContestantName, why: string) => void,
): ContestantName[] {
  return names.filter((name) => {
    try {
      installations[name]?.(programs);
      return true;
    } catch (error) {
      skip(name, (error as Error).message);
      return false;
    }
  });
}
