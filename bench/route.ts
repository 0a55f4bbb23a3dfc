import type { QoS } from 'mqtt-packet';
import type { Child } from './child.ts';
import type { Rig } from './rig.ts';

/** What to forward: from a port of the loopback interface to another. */
export interface Route {
  fromPort: number;
  toPort: number;
  qos: QoS;
}

/** Starts a forwarder; answers the process whose CPU time is measured once it is on its way to forward. */
export type Start = (route: Route, rig: Rig) => Promise<Child>;
