import { fileURLToPath } from 'node:url';
import type { Child } from './child.ts';
import type { Rig } from './rig.ts';
import type { Route } from './route.ts';

/** The obvious program without Penstock: MQTT.js, publishing from `message`. */
export async function startBareLoop({ fromPort, toPort, qos }: Route, rig: Rig): Promise<Child> {
  const script = fileURLToPath(import.meta.resolve('./bare-loop.ts'));
  return rig.run({
    name: 'the bare loop',
    command: process.execPath,
    args: [script, String(fromPort), String(toPort), String(qos)],
  });
}
