import type { AutocompleteContext } from '../../connector.ts';
import type { RedisProfile } from '../config/profile.ts';
import { type Connection, onConnection } from '../connection/client.ts';
import { Nodes } from '../connection/cluster.ts';

const maxKeys = 500;
/** Steps of a scan: of a database with more keys only a part is seen. */
const maxSteps = 100;
const keysPerStep = 1_000;

/** Keys of streams on the server, or on one node of a cluster. See `autocomplete` in the connector contract. */
export async function autocomplete({
  profile,
  targets,
  signal,
}: AutocompleteContext<RedisProfile>): Promise<Record<string, string[]>> {
  const nodes = await Nodes.open({ profile, targets }, signal);
  try {
    const [connection] = nodes.opened;
    const found = await onConnection(connection as Connection, signal, scan);
    return { stream: found.sort() };
  } finally {
    if (signal.aborted) nodes.destroy();
    await nodes.close();
  }
}

async function scan(connection: Connection): Promise<string[]> {
  const keys = new Set<string>();
  let cursor = '0';
  for (let step = 0; step < maxSteps && keys.size < maxKeys; step++) {
    const reply = await connection.send(['SCAN', cursor, 'COUNT', keysPerStep, 'TYPE', 'stream']);
    const [next, found] = reply as [string, string[]];
    for (const key of found) keys.add(key);
    cursor = next;
    if (cursor === '0') break;
  }
  return [...keys].slice(0, maxKeys);
}
