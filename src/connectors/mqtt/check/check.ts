import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { PenstockError } from '../../../errors.ts';
import type { CheckContext } from '../../connector.ts';
import { describeEndpoint, type Endpoint, parseUrls } from '../config/broker-url.ts';
import { codeOf } from '../config/errors.ts';
import { given, type MqttProfile } from '../config/profile.ts';
import { direction, type MqttTable } from '../config/table.ts';
import { qosLevel } from '../config/topic.ts';
import { connectTo, endpointsOf } from '../connection/client.ts';
import { probeClient } from '../connection/connect-request.ts';
import type { Connection } from '../connection/connection.ts';
import { forUpTo, untilReported } from '../connection/deadline.ts';
import { tlsExpected } from '../connection/login.ts';
import { silence, tlsError } from '../connection/socket-errors.ts';
import { daysToExpiry, distinguishedName, peerFacts } from '../connection/tls.ts';
import {
  connectTcp,
  type Dialable,
  lastError,
  resolveHost,
  startTls,
  startWebSocket,
} from '../connection/transport.ts';
import { checkProfile, checkSink, checkSource } from './message-steps.ts';
import { CheckSteps, type Finding } from './steps.ts';

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
      steps.beginServer(describeEndpoint(endpoint as Endpoint), lenient);
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
  endpoint: Endpoint | undefined,
): Promise<Connection | undefined> {
  const { profile, targets } = context;
  const target = endpoint as Endpoint;
  const addresses = (await steps.run('resolve', async (signal) => {
    const { host } = endpoint ?? (endpointsOf(profile)[0] as Endpoint);
    const found = await resolveHost(host, targets, signal);
    const list = found.map(({ address }) => address);
    return {
      value: found,
      message: `${host} resolves to ${list.join(', ')}`,
      details: { host, addresses: list },
    };
  })) as Dialable[];
  const plain = await steps.run('tcp', async (signal) => {
    const socket = await connectTcp(target, addresses, signal);
    opened.stream = socket;
    const { remoteAddress: address, remotePort: port } = socket;
    return { value: socket, message: `Connected to ${address} port ${port}`, details: { address, port } };
  });
  const startTlsStep = async (signal: AbortSignal) => {
    const socket = await startTls(plain as Socket, target, profile, signal).catch(async (error: unknown) => {
      throw isSilent(error) ? await diagnose(error, target, addresses, signal) : error;
    });
    opened.stream = socket;
    return tlsFinding(socket, target, signal);
  };
  const socket = target?.tls ? await steps.run('tls', startTlsStep) : plain;
  const startWebSocketStep = async (signal: AbortSignal) => {
    const stream = await startWebSocket(socket as Socket, target, signal);
    opened.stream = stream;
    return { value: stream, message: 'The server opened a WebSocket', details: { path: target.path } };
  };
  const stream = target?.path === undefined ? socket : await steps.run('websocket', startWebSocketStep);
  return await steps.run('mqtt_connect', async (signal) => {
    const request = { ...probeClient(context), signal };
    const connection = await connectTo(target, request, stream as Duplex).catch(async (error: unknown) => {
      const mayBeTls = isSilent(error) && !target.tls && target.path === undefined;
      throw mayBeTls ? await diagnose(error, target, addresses, signal) : error;
    });
    opened.connection = connection;
    return loggedIn(connection, profile);
  });
}

const isSilent = (error: unknown): error is PenstockError =>
  error instanceof PenstockError && error.cause === silence;

function loggedIn(connection: Connection, profile: MqttProfile): Finding<Connection> {
  const { version, limits } = connection;
  const older = version === 4 && profile.protocolVersion !== '3.1.1';
  const finding: Finding<Connection> = {
    value: connection,
    message: older
      ? 'Logged in with MQTT 3.1.1, because the broker does not support MQTT 5'
      : `Logged in with MQTT ${version === 5 ? '5' : '3.1.1'}`,
    details: connackFacts(connection),
    ...(older ? { hint: 'With MQTT 3.1.1 a broker cannot report that it refuses a message.' } : {}),
  };
  const problem = willProblem(profile, limits);
  if (problem === undefined) return finding;
  return {
    ...finding,
    code: 'mqtt_will_refused',
    message: `${finding.message}, but ${problem}`,
    hint: 'Change the qos or retain of the last will (will). Otherwise the broker will refuse the connections of jobs.',
  };
}

/** A test sends no last will: whether the broker would accept it follows from its limits. */
function willProblem({ will }: MqttProfile, limits: Connection['limits']): string | undefined {
  if (will === undefined) return undefined;
  const qos = qosLevel(will.qos);
  if (qos > limits.maximumQos) return `the broker accepts no last will with QoS ${qos}`;
  if (will.retain === true && !limits.retain) return 'the broker accepts no retained last will';
  return undefined;
}

/** The CONNACK for people. A broker reports no limits with 3.1.1: they are the ones that the version implies. */
function connackFacts({ connack, client, version, limits }: Connection): Record<string, unknown> {
  const properties = version === 5 ? connack?.properties : undefined;
  const { assignedClientIdentifier, responseInformation, serverReference } = properties ?? {};
  return {
    protocolVersion: version === 5 ? '5' : '3.1.1',
    reasonCode: 0,
    reason: 'success',
    clientId: assignedClientIdentifier ?? client.options.clientId,
    clientIdAssigned: given(assignedClientIdentifier),
    ...limits,
    limitsFrom: version === 5 ? 'broker' : 'protocol version',
    keepAliveSecs: properties?.serverKeepAlive ?? client.options.keepalive,
    sessionExpirySecs: properties?.sessionExpiryInterval ?? 0,
    topicAliasMaximum: properties?.topicAliasMaximum ?? 0,
    subscriptionIdentifiers: version === 5 && (properties?.subscriptionIdentifiersAvailable ?? true),
    ...(responseInformation === undefined ? {} : { responseInformation }),
    ...(serverReference === undefined ? {} : { serverReference }),
  };
}

/** How long to wait for a TLS 1.3 server to accept the client certificate. */
const acceptanceMs = 300;
const warnDays = 14;

/**
 * Describes an established TLS connection. A TLS 1.3 server checks the client certificate after the client's handshake, so
 * this waits briefly for its session ticket or its alert. Throws `tls_…`.
 */
export async function tlsFinding(
  socket: TLSSocket,
  endpoint: Endpoint,
  signal: AbortSignal,
): Promise<Finding<TLSSocket>> {
  if (socket.getProtocol() === 'TLSv1.3')
    await forUpTo(acceptanceMs, signal, (soon) => acceptance(socket, endpoint, soon));
  const certificate = socket.getPeerCertificate();
  const days = daysToExpiry(certificate);
  const name = certificate.subjectaltname?.slice(0, 200) ?? distinguishedName(certificate.subject);
  const finding: Finding<TLSSocket> = {
    value: socket,
    message: `${socket.getProtocol()} with a certificate for ${name}`,
    details: { ...peerFacts(socket), verified: socket.authorized },
  };
  if (!socket.authorized) {
    const error = socket.authorizationError as unknown as string | NodeJS.ErrnoException;
    const failure = tlsError(
      typeof error === 'string' ? { name: '', message: '', code: error } : error,
      endpoint.host,
      1,
    );
    const { message, hint } = failure;
    return {
      ...finding,
      code: codeOf(failure),
      message: `${message}. Connected anyway, because insecureSkipVerify is true`,
      ...(hint === undefined ? {} : { hint }),
    };
  }
  return days > warnDays ? finding : { ...finding, hint: `The server certificate expires in ${days} days.` };
}

const acceptance = (socket: TLSSocket, endpoint: Endpoint, signal: AbortSignal): Promise<void> =>
  untilReported<void>(signal, (resolve, reject) => {
    let settled: NodeJS.Immediate | undefined;
    // OpenSSL is still reading when it reports the ticket: data written before it is done is never sent.
    const ticket = () => {
      settled = setImmediate(resolve);
    };
    const closed = () => reject(tlsError(lastError(socket), endpoint.host, 1));
    socket.once('session', ticket).once('close', closed);
    return () => {
      clearImmediate(settled);
      socket.off('session', ticket).off('close', closed);
    };
  });

/** A 3.1.1 CONNECT with a clean session and an empty client id: any MQTT server responds with a CONNACK. */
const anonymousConnect = Buffer.from([0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 10, 0, 0]);
const connack = 0x20;

/**
 * Connects a second time, without TLS if the URL asks for TLS and with TLS if not, after the server closed the first
 * connection without a response. Sends no credentials. Returns `tls_not_spoken` or `mqtt_not_spoken` if the port works
 * that way; otherwise `error`.
 */
export async function diagnose(
  error: PenstockError,
  endpoint: Endpoint,
  addresses: Dialable[],
  signal: AbortSignal,
): Promise<PenstockError> {
  const plain = await connectTcp(endpoint, addresses, signal).catch(unlessUnknown);
  signal.throwIfAborted();
  if (plain === undefined) return error;
  if (!endpoint.tls) {
    // No data is sent, so the certificate need not be verified.
    const secure = connectTls({ socket: plain, rejectUnauthorized: false });
    const speaksTls = await reports(secure, signal, (found) =>
      secure.once('secureConnect', () => found(true)),
    );
    return speaksTls ? tlsExpected() : error;
  }
  const speaksMqtt = await reports(plain, signal, (found) => {
    plain.once('data', (chunk: Buffer) => found(chunk[0] === connack));
    plain.write(anonymousConnect);
  });
  if (!speaksMqtt) return error;
  return new PenstockError('tls_not_spoken', 'The server speaks MQTT without TLS on this port', {
    hint: 'Use mqtt:// for this port, or the TLS port of the broker (usually 8883).',
  });
}

const unlessUnknown = (error: unknown): undefined => {
  if (!(error instanceof PenstockError)) throw error;
};

/** Returns the result of `look`, or false if the socket closes first. Destroys the socket. */
async function reports(
  socket: Socket,
  signal: AbortSignal,
  look: (found: (value: boolean) => void) => void,
): Promise<boolean> {
  try {
    return await untilReported<boolean>(signal, (resolve) => {
      const failed = () => resolve(false);
      socket.on('error', failed).once('close', failed);
      look(resolve);
    });
  } finally {
    socket.destroy();
  }
}
