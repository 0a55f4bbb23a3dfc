import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { PenstockError } from '../../../errors.ts';
import type { CheckContext } from '../../connector.ts';
import { CheckSteps, decodeStep, type Finding } from '../../network/check-steps.ts';
import type { Endpoint } from '../../network/dial.ts';
import { dialSteps } from '../../network/dial-steps.ts';
import { columnsIn } from '../../network/template.ts';
import { given } from '../../network/tls.ts';
import { rabbitmqError } from '../config/errors.ts';
import { endpointsOf, nameOf, parseHosts, type RabbitmqProfile, tlsOf, vhostOf } from '../config/profile.ts';
import { direction, queueSourceOf, type RabbitmqTable, sinkOf, streamSourceOf } from '../config/table.ts';
import { type Connection, logIn } from '../connection/client.ts';
import { findQueue, sampleOf, tryToPublish } from './queue.ts';

type RabbitmqCheckContext = CheckContext<RabbitmqProfile, RabbitmqTable>;

interface Opened {
  socket?: Socket;
  connection?: Connection;
}

/**
 * Tests a profile or a table: `resolve → tcp → tls → login`, then the queue, the stream or the exchange. It takes no message and stores
 * none. See `check` in the connector contract.
 */
export async function check(context: RabbitmqCheckContext): Promise<void> {
  const steps = new CheckSteps(context);
  const opened: Opened[] = [];
  try {
    const connection = (await connectAll(context, steps, opened)) as Connection;
    const { table } = context;
    if (table === undefined) return;
    if (direction(table) === 'source') await checkSource(context, steps, connection, table);
    else await checkSink(context, steps, connection, table);
  } finally {
    await Promise.all(
      opened.map(async ({ connection, socket }) => {
        if (context.signal.aborted) connection?.destroy();
        await connection?.close();
        socket?.destroy();
      }),
    );
  }
}

/** Tests every server of the profile, so that a wrong one is found before a failover. Returns the first connection. */
async function connectAll(
  context: RabbitmqCheckContext,
  steps: CheckSteps,
  opened: Opened[],
): Promise<Connection | undefined> {
  const parsed = parseHosts(context.profile);
  const servers = typeof parsed === 'string' ? [undefined] : parsed;
  const connections: (Connection | undefined)[] = [];
  for (const [index, server] of servers.entries()) {
    if (server && servers.length > 1)
      steps.beginServer(nameOf(server), connections.some(Boolean) || index < servers.length - 1);
    const own: Opened = {};
    opened.push(own);
    connections.push(await connectSteps(context, steps, own, server));
  }
  const first = connections.find((connection) => connection !== undefined);
  if (servers.length > 1) steps.endServers(first === undefined);
  return first;
}

/** Undefined if a step failed. Without a server the profile is invalid, and `resolve` reports it. */
async function connectSteps(
  context: RabbitmqCheckContext,
  steps: CheckSteps,
  opened: Opened,
  server: Endpoint | undefined,
): Promise<Connection | undefined> {
  const { profile, targets } = context;
  const { socket } = await dialSteps(steps, {
    endpoint: server,
    host: () => (server ?? (endpointsOf(profile)[0] as Endpoint)).host,
    reachable: { profile: tlsOf(profile), targets },
    opened: (one) => {
      opened.socket = one;
    },
  });
  return steps.run(
    'login',
    async (signal) => {
      const name = `penstock test ${randomBytes(8).toString('hex')}`;
      const connection = await logIn(socket as Socket, server as Endpoint, profile, name, signal);
      opened.connection = connection;
      return loginFinding(connection, profile);
    },
    { late: silent },
  );
}

const silent = (ms: number): PenstockError =>
  rabbitmqError('rabbitmq_not_answered', `The server did not respond as an AMQP server within ${ms} ms`, {
    hint: 'Check the port, and whether it is one for TLS: a server that expects TLS does not respond to a client without it.',
  });

function loginFinding(connection: Connection, profile: RabbitmqProfile): Finding<Connection> {
  const { product, version, cluster } = connection.server;
  const { heartbeat, frameMax } = connection.protocol;
  return {
    value: connection,
    message: `Logged in to ${product} ${version}, virtual host ${vhostOf(profile)}`,
    details: { product, version, cluster, heartbeat, frameMax },
  };
}

async function checkSource(
  context: RabbitmqCheckContext,
  steps: CheckSteps,
  connection: Connection,
  table: RabbitmqTable,
): Promise<void> {
  const stream = streamSourceOf(table)?.stream;
  await steps.run('queue', (signal) =>
    findQueue(connection, stream ?? queueSourceOf(table)?.queue ?? '', stream !== undefined, signal),
  );
  if (stream === undefined) {
    steps.skip('first_message', 'Skipped, because it would take a message from the readers of the queue');
    return;
  }
  const sample = await steps.run('first_message', (signal) => sampleOf(connection, stream, signal));
  await decodeStep(steps, context, () => (sample ? [sample] : []));
}

async function checkSink(
  context: RabbitmqCheckContext,
  steps: CheckSteps,
  connection: Connection,
  table: RabbitmqTable,
): Promise<void> {
  const { exchange, routing_key: key } = sinkOf(table);
  const wantsStream = given(table.stream) ? true : undefined;
  if (exchange !== '')
    await steps.run('exchange', async (signal) => {
      const channel = await connection.channel(signal);
      await channel.until(channel.raw.checkExchange(exchange), signal);
      await channel.close();
      return { value: true, message: `The exchange ${exchange} exists` };
    });
  else if (columnsIn(key).length === 0)
    await steps.run('queue', (signal) => findQueue(connection, key, wantsStream, signal));
  else steps.skip('queue', 'Skipped, because rows decide the queue');
  if (exchange !== '') steps.skip('publish', 'Skipped, because a queue could store the message');
  else if (context.probe === 'none') steps.skip('publish', 'Skipped, because the test is to publish nothing');
  else await steps.run('publish', (signal) => tryToPublish(connection, signal));
}
