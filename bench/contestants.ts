import { startBareLoop } from './bare.ts';
import { startBridge } from './bridge.ts';
import { json, pipeline, rawString } from './penstock.ts';
import type { Start } from './route.ts';

/** The forwarders by name, in the order of the report. */
export const contestants = {
  bridge: startBridge,
  bare: startBareLoop,
  penstock: pipeline(rawString, 'INSERT INTO sink SELECT * FROM source'),
  'penstock-json': pipeline(json, 'INSERT INTO sink SELECT seq, text FROM source'),
  'penstock-where': pipeline(json, 'INSERT INTO sink SELECT seq, text FROM source WHERE seq > 0'),
} as const satisfies Record<string, Start>;

export type ContestantName = keyof typeof contestants;
export const contestantNames = Object.keys(contestants) as ContestantName[];
