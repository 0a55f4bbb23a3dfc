import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { PenstockError } from '../../../errors.ts';
import type { CheckContext } from '../../connector.ts';
import { CheckSteps } from '../../network/check-steps.ts';
import { dialSteps, isSilent } from '../../network/dial-steps.ts';
import { type BrokerEndpoint, describeEndpoint, parseUrls } from '../config/broker-url.ts';
import type { MqttProfile } from '../config/profile.ts';
import { direction, type MqttTable } from '../config/table.ts';
import { connectTo, endpointsOf } from '../connection/client.ts';
import { probeClient } from '../connection/connect-request.ts';
import type { Connection } from '../connection/connection.ts';
import { connectUnanswered } from '../connection/requests.ts';
import { startWebSocket } from '../connection/web-socket.ts';
import { diagnose } from './diagnose.ts';
import { brokerVersion, grantedSession, loggedIn } from './logged-in.ts';
import { checkProfile, checkSink, checkSource } from './message-steps.ts';

type MqttCheckContext = CheckContext<MqttProfile, MqttTable>;

interface Opened {
  stream?: Duplex;
  connection?: Connection;
}

/**
 * Tests a profile or a table against the real broker: `resolve → tcp → tls → websocket → mqtt_connect`, then messages. It
 * uses a random client id, a clean session and no last will, so it affects no other client and leaves nothing behind. See `check`
 * in the connector contract.
 */
export async function check(context: MqttCheckContext): Promise<void> {
  const steps = new CheckSteps(context);
  const opened: Opened[] = [];
  try {
    const connection = await connectAll(context, steps, opened);
    const tested = { context, steps, connection };
    if (context.table === undefined) await checkProfile(tested);
    else if (direction(context.table) === 'source') await checkSource(tested, context.table);
    else await checkSink(tested, context.table);
  } finally {
    await Promise.all(opened.map((one) => close(one, context.signal.aborted)));
  }
}

async function close({ connection, stream }: Opened, atOnce: boolean): Promise<void> {
  if (atOnce) await connection?.destroy();
  await connection?.close();
  stream?.destroy();
}

/** Tests every server of the profile, so that a wrong one is found before a failover. Returns the first connection. */
async function connectAll(
  context: MqttCheckContext,
  steps: CheckSteps,
  opened: Opened[],
): Promise<Connection | undefined> {
  const parsed = parseUrls(context.profile.url);
  const endpoints = typeof parsed === 'string' ? [undefined] : parsed;
  const connections: (Connection | undefined)[] = [];
  for (const [index, endpoint] of endpoints.entries()) {
    if (endpoints.length > 1) {
      const lenient = connections.some(Boolean) || index < endpoints.length - 1;
      steps.beginServer(describeEndpoint(endpoint as BrokerEndpoint), lenient);
    }
    const own: Opened = {};
    opened.push(own);
    connections.push(await connectSteps(context, steps, own, endpoint));
  }
  const first = connections.find((connection) => connection !== undefined);
  if (endpoints.length > 1) steps.endServers(first === undefined);
  return first;
}

/** Undefined if a step failed. Without an endpoint the URL is invalid, and `resolve` reports it. */
async function connectSteps(
  context: MqttCheckContext,
  steps: CheckSteps,
  opened: Opened,
  endpoint: BrokerEndpoint | undefined,
): Promise<Connection | undefined> {
  const { profile } = context;
  const target = endpoint as BrokerEndpoint;
  const { addresses, socket } = await dialSteps(steps, {
    endpoint,
    host: () => (endpoint ?? (endpointsOf(profile)[0] as BrokerEndpoint)).host,
    reachable: context,
    opened: (opening) => {
      opened.stream = opening;
    },
    whenSilent: (error, dialled, signal) => diagnose(error, target, dialled, signal),
  });
  const startWebSocketStep = async (signal: AbortSignal) => {
    const stream = await startWebSocket(socket as Socket, target, signal);
    opened.stream = stream;
    return { value: stream, message: 'The server opened a WebSocket', details: { path: target.path } };
  };
  const stream =
    target?.path === undefined
      ? socket
      : await steps.run('websocket', startWebSocketStep, { late: upgradeLate });
  const connectStep = async (signal: AbortSignal) => {
    const request = { ...probeClient(context), signal, silenceMs: context.stepTimeoutMs / 2 };
    const connection = await connectTo(target, request, stream as Duplex).catch(async (error: unknown) => {
      const mayBeTls = isSilent(error) && !target.tls && target.path === undefined;
      throw mayBeTls ? await diagnose(error, target, addresses, signal) : error;
    });
    opened.connection = connection;
    const [grant, broker] = await Promise.all([
      grantedSession(context, target, connection),
      brokerVersion(context, target, connection),
    ]);
    return loggedIn(connection, context, grant, broker);
  };
  const { protocolVersion = 'auto' } = profile;
  const versions = protocolVersion === 'auto' ? '5 or 3.1.1' : protocolVersion;
  return await steps.run('mqtt_connect', connectStep, { late: (ms) => connectUnanswered(ms, versions) });
}

const upgradeLate = (ms: number): PenstockError =>
  new PenstockError(
    'connection_timeout',
    `The server did not respond to the WebSocket handshake within ${ms} ms`,
    {
      hint: 'The port accepts connections, so no firewall blocks it. Check that it is the WebSocket port of the broker, and its path.',
    },
  );
