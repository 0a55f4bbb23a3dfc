import type { QoS } from 'mqtt-packet';
import { startBareLoop } from './bare.ts';
import { startBridge } from './bridge.ts';
import type { Child } from './child.ts';
import { json, pipeline, rawString } from './penstock.ts';
import type { Rig } from './rig.ts';

/** What to forward: from a port of the loopback interface to another. */
export interface Route {
  fromPort: number;
  toPort: number;
  qos: QoS;
}

/** A forwarder. It answers the process whose CPU time is measured, once that is on its way to forward. */
export type Start = (route: Route, rig: Rig) => Promise<Child>;

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
