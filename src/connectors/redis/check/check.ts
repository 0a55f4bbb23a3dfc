import type { Socket } from 'node:net';
import { PenstockError } from '../../../errors.ts';
import type { CheckContext } from '../../connector.ts';
import { CheckSteps, decodeStep, type Finding } from '../../network/check-steps.ts';
import { dialSteps } from '../../network/dial-steps.ts';
import { redisError } from '../config/errors.ts';
import { type Address, addressesOf, isCluster, nameOf, type RedisProfile, tlsOf } from '../config/profile.ts';
import type { RedisTable } from '../config/table.ts';
import { type Connection, logIn, onConnection } from '../connection/client.ts';
import { Nodes, slotOwners } from '../connection/cluster.ts';
import { infoOf, serverVersion, settingsOf } from '../connection/server.ts';
import { newestEntry, permissionFinding, typeFinding } from './table-steps.ts';

type RedisCheckContext = CheckContext<RedisProfile, RedisTable>;

/**
 * Tests a profile or a table against the real server: `resolve → tcp → tls → login → server → cluster`, then `key → permission` of a table, and
 * `first_message → decode` of a source. Nothing is written. See `check` in the connector contract.
 */
export async function check(context: RedisCheckContext): Promise<void> {
  const steps = new CheckSteps(context);
  const opened: (Socket | Connection)[] = [];
  const nodes: Nodes[] = [];
  const abort = () => {
    for (const one of opened) one.destroy();
    for (const one of nodes) one.destroy();
  };
  context.signal.addEventListener('abort', abort, { once: true });
  try {
    const connection = await connectSteps(context, steps, opened);
    const run = <T>(
      name: string,
      on: () => Connection,
      work: (connection: Connection) => Promise<Finding<T>>,
    ) => steps.run(name, (signal) => onConnection(on(), signal, work));
    const first = () => connection as Connection;
    await run('server', first, serverFinding);
    const isClustered = isCluster(context.profile);
    if (isClustered) await run('cluster', first, clusterFinding);
    const { table, schema } = context;
    if (table === undefined) return;
    const typed = await steps.run('key', async (signal): Promise<Finding<Connection>> => {
      const own = await nodeOf(context, table, first(), signal, nodes);
      return onConnection(own, signal, async (at) => ({ ...(await typeFinding(at, table)), value: at }));
    });
    const at = () => typed as Connection;
    await run('permission', at, (one) => permissionFinding(one, table));
    if ('target' in table.connectorType) return;
    const newest = await run('first_message', at, (one) => newestEntry(one, table, schema));
    await decodeStep(steps, context, () => newest ?? []);
  } finally {
    context.signal.removeEventListener('abort', abort);
    if (context.signal.aborted) abort();
    for (const one of opened) one.destroy();
    await Promise.all(nodes.map((one) => one.close()));
    await Promise.all(opened.map((one) => ('close' in one ? one.close() : undefined)));
  }
}

/** The connection to the node that has the keys of a table, as far as they are known. */
async function nodeOf(
  { profile, targets }: RedisCheckContext,
  { connectorType }: RedisTable,
  first: Connection,
  signal: AbortSignal,
  opened: Nodes[],
): Promise<Connection> {
  if (!isCluster(profile)) return first;
  const nodes = await Nodes.open({ profile, targets }, signal);
  opened.push(nodes);
  const key = 'target' in connectorType ? prefixOf(connectorType.target) : connectorType.stream;
  return nodes.of(key);
}

const prefixOf = (target: object): string =>
  Object.entries(target).find(([name]) => name.toLowerCase().endsWith('prefix'))?.[1] ?? '';

/** Tests the addresses one after the other. Of a cluster one that works is enough. */
async function connectSteps(
  context: RedisCheckContext,
  steps: CheckSteps,
  opened: (Socket | Connection)[],
): Promise<Connection | undefined> {
  const addresses = addressesOf(context.profile);
  if (addresses.length === 1) return connectTo(addresses[0] as Address, context, steps, opened);
  let found: Connection | undefined;
  for (const address of addresses) {
    steps.beginServer(nameOf(address), true);
    found = await connectTo(address, context, steps, opened);
    if (found) break;
  }
  steps.endServers(found === undefined);
  return found;
}

async function connectTo(
  address: Address,
  { profile, targets }: RedisCheckContext,
  steps: CheckSteps,
  opened: (Socket | Connection)[],
): Promise<Connection | undefined> {
  const { socket } = await dialSteps(steps, {
    endpoint: address,
    host: () => address.host,
    reachable: { profile: tlsOf(profile), targets },
    opened: (one) => void opened.push(one),
  });
  return steps.run(
    'login',
    async (signal): Promise<Finding<Connection>> => {
      const connection = await logIn(socket as Socket, profile, address, signal);
      opened.push(connection);
      const name = profile.username || 'default';
      return {
        value: connection,
        message: profile.password ? `Logged in as ${name}` : 'The server needs no login',
        details: { username: name },
      };
    },
    { late: loginLate },
  );
}

const loginLate = (ms: number): PenstockError =>
  new PenstockError('connection_timeout', `The server did not respond to the login within ${ms} ms`, {
    hint: 'Check that this is the port of Redis.',
  });

/** Reports the version, and whether confirmed data may be lost. */
async function serverFinding(connection: Connection): Promise<Finding<void>> {
  const version = await serverVersion(connection);
  const role = (await infoOf(connection, 'replication')).role ?? 'unknown';
  const settings = {
    ...(await settingsOf(connection, 'append*')),
    ...(await settingsOf(connection, 'maxmemory*')),
  };
  const { appendonly, appendfsync, maxmemory } = settings;
  const policy = settings['maxmemory-policy'];
  const details = {
    version: version.text,
    role,
    appendonly,
    appendfsync,
    maxmemory,
    maxmemoryPolicy: policy,
  };
  if (role === 'slave' || role === 'replica')
    throw redisError('redis_read_only', 'The server is a replica, which refuses writes', {
      hint: 'Connect to the master: INFO replication names it.',
      facts: details,
    });
  if (version.major > 0 && version.major * 100 + version.minor < 602)
    throw redisError('redis_too_old', `${version.text} is too old: 6.2 is needed`, {
      hint: 'Upgrade the server.',
      facts: details,
    });
  const [loss, hint] = lossOf(appendonly, appendfsync, maxmemory, policy);
  const message = version.major === 0 ? 'The server does not say its version' : version.text;
  if (loss === undefined) return { value: undefined, message, details };
  return {
    value: undefined,
    message: `${message}. ${loss}`,
    details,
    code: 'redis_may_lose',
    hint: hint as string,
  };
}

function lossOf(
  appendonly: string | undefined,
  appendfsync: string | undefined,
  maxmemory: string | undefined,
  policy: string | undefined,
): [loss?: string, hint?: string] {
  if (appendonly === 'no')
    return [
      'A crash of the server loses what was written since its last snapshot: appendonly is off',
      'CONFIG SET appendonly yes, and the same in its configuration file.',
    ];
  if (maxmemory !== undefined && maxmemory !== '0' && policy?.startsWith('allkeys'))
    return [
      `The server removes keys when its memory is full: maxmemory-policy is ${policy}`,
      'CONFIG SET maxmemory-policy noeviction',
    ];
  if (appendonly === 'yes' && appendfsync !== 'always')
    return [
      `A crash of its machine loses about the last second, and with a slow disk one of the server too: appendfsync is ${appendfsync}`,
      'CONFIG SET appendfsync always, or waitAof of the table with Redis 7.2.',
    ];
  return [];
}

async function clusterFinding(connection: Connection): Promise<Finding<void>> {
  const owners = await slotOwners(connection);
  const nodes = [...new Set(owners.filter((one) => one !== undefined))];
  const covered = owners.filter((one) => one !== undefined).length;
  const details = { nodes, slots: covered };
  if (covered < 16_384)
    throw redisError('redis_unavailable', `The cluster has nodes for ${covered} of 16384 hash slots`, {
      hint: 'CLUSTER INFO shows the state; redis-cli --cluster fix repairs it.',
      facts: details,
    });
  return { value: undefined, message: `A cluster with ${nodes.length} masters`, details };
}
