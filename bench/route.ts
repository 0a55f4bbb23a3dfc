import type { QoS } from 'mqtt-packet';
import type { Child } from './child.ts';
import type { Rig } from './rig.ts';

/** A route from one port of the loopback interface to another. */
export interface Route {
  fromPort: number;
  toPort: number;
  qos: QoS;
}

/** Starts a forwarder. Returns the process to measure; it may not be ready yet. */
export type Start = (route: Route, rig: Rig) => Promise<Child>;
