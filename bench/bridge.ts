import { startBroker } from './brokers.ts';
import type { Child } from './child.ts';
import { topic } from './message.ts';
import type { Rig } from './rig.ts';
import type { Route } from './route.ts';

/** mosquitto's own bridge: a third mosquitto that reads from broker A and writes to broker B, so its CPU time is separate. */
export async function startBridge({ fromPort, toPort, qos }: Route, rig: Rig): Promise<Child> {
  const bridge = await startBroker(rig, 'bridge', [
    ...connection('from', fromPort, `topic ${topic} in ${qos}`),
    ...connection('to', toPort, `topic ${topic} out ${qos}`),
  ]);
  return bridge.process;
}

function connection(name: string, port: number, line: string): string[] {
  return [
    `connection ${name}`,
    `address 127.0.0.1:${port}`,
    line,
    'cleansession true',
    'notifications false',
    'restart_timeout 1',
  ];
}
