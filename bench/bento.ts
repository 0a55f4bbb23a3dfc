import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Child } from './child.ts';
import { topic } from './message.ts';
import type { Rig } from './rig.ts';
import type { Route } from './route.ts';

/**
 * Bento with a mapping that drops a message unless its `seq` is above 0. `program` is the path of its binary. It keeps the order only
 * with one message in flight.
 */
export const startBentoFilter = (program: string, route: Route, rig: Rig, inFlight = 1_000): Promise<Child> =>
  startBento(program, rig, filter(route, inFlight));

export async function startBento(program: string, rig: Rig, configuration: object): Promise<Child> {
  const file = join(rig.folder, 'bento.json');
  const common = { http: { enabled: false }, logger: { level: 'WARN' } };
  await writeFile(file, JSON.stringify({ ...common, ...configuration }));
  return rig.run({
    name: 'Bento',
    command: program,
    args: ['--config', file],
    // Fewer garbage collections, less CPU time per message than with Go's default of 100.
    options: { env: { ...process.env, GOGC: '400' } },
  });
}

/** The mapping keeps the bytes of a message that it passes, which is the least work. */
const filter = ({ fromPort, toPort, qos }: Route, inFlight: number) => ({
  input: { mqtt: { ...client('in', fromPort), topics: [topic], qos, clean_session: false } },
  pipeline: { threads: 1, processors: [{ mapping: 'root = if !(this.seq > 0) { deleted() }' }] },
  output: { mqtt: { ...client('out', toPort), topic, qos, max_in_flight: inFlight } },
});

const client = (name: string, port: number) => ({
  urls: [`tcp://127.0.0.1:${port}`],
  client_id: `bench_${name}`,
});
