import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { PenstockError } from '../../../errors.ts';
import type { CheckContext } from '../../connector.ts';
import { describeEndpoint, type Endpoint, parseUrls } from '../config/broker-url.ts';
import { codeOf } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import { direction, type MqttTable } from '../config/table.ts';
import { clientProblem } from '../connection/certificate-errors.ts';
import { connectTo, endpointsOf } from '../connection/client.ts';
import { probeClient } from '../connection/connect-request.ts';
import type { Connection } from '../connection/connection.ts';
import { forUpTo, untilReported } from '../connection/deadline.ts';
import { connectUnanswered } from '../connection/requests.ts';
import { silence, someTlsPeer, tlsError } from '../connection/socket-errors.ts';
import { clientCertificate, daysToExpiry, distinguishedName, peerFacts } from '../connection/tls.ts';
import {
  connectTcp,
  type Dialable,
  lastError,
  peerOf,
  resolveHost,
  startTls,
  startWebSocket,
} from '../connection/transport.ts';
import { diagnose } from './diagnose.ts';
import { brokerVersion, grantedSession, loggedIn } from './logged-in.ts';
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
    return tlsFinding(socket, profile, target, signal);
  };
  const socket = target?.tls ? await steps.run('tls', startTlsStep, { late: handshakeLate }) : plain;
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

const handshakeLate = (ms: number): PenstockError =>
  new PenstockError('connection_timeout', `The server did not respond to the TLS handshake within ${ms} ms`, {
    hint: 'The port accepts connections, so no firewall blocks it. Check that it is the TLS port of the broker (usually 8883).',
  });

const upgradeLate = (ms: number): PenstockError =>
  new PenstockError(
    'connection_timeout',
    `The server did not respond to the WebSocket handshake within ${ms} ms`,
    {
      hint: 'The port accepts connections, so no firewall blocks it. Check that it is the WebSocket port of the broker, and its path.',
    },
  );

const isSilent = (error: unknown): error is PenstockError =>
  error instanceof PenstockError && error.cause === silence;

/** How long to wait for a TLS 1.3 server to accept the client certificate. */
const acceptanceMs = 300;
const warnDays = 14;

/**
 * Describes an established TLS connection. A TLS 1.3 server checks the client certificate after the client's handshake, so
 * this waits briefly for its session ticket or its alert. Throws `tls_…`.
 */
export async function tlsFinding(
  socket: TLSSocket,
  profile: MqttProfile,
  endpoint: Endpoint,
  signal: AbortSignal,
): Promise<Finding<TLSSocket>> {
  if (socket.getProtocol() === 'TLSv1.3')
    await forUpTo(acceptanceMs, signal, (soon) => acceptance(socket, profile, endpoint, soon));
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
      peerOf(socket, profile, endpoint),
    );
    const { message, hint, facts } = failure;
    return {
      ...finding,
      details: { ...finding.details, ...facts },
      code: codeOf(failure),
      message: `${message}. Connected anyway, because insecureSkipVerify is true`,
      ...(hint === undefined ? {} : { hint }),
    };
  }
  const own = clientCertificate(profile.tls);
  const problem = own && clientProblem(own);
  const hints = [
    ...(days > warnDays ? [] : [`The server certificate expires in ${days} days.`]),
    ...(problem === undefined ? [] : [`${problem}. This server has accepted it all the same.`]),
    ...(own === undefined || problem !== undefined || daysToExpiry({ valid_to: own.validTo }) > warnDays
      ? []
      : [`The client certificate expires in ${daysToExpiry({ valid_to: own.validTo })} days.`]),
  ];
  return hints.length === 0 ? finding : { ...finding, hint: hints.join(' ') };
}

const acceptance = (
  socket: TLSSocket,
  profile: MqttProfile,
  endpoint: Endpoint,
  signal: AbortSignal,
): Promise<void> =>
  untilReported<void>(signal, (resolve, reject) => {
    let settled: NodeJS.Immediate | undefined;
    // OpenSSL is still reading when it reports the ticket: data written before it is done is never sent.
    const ticket = () => {
      settled = setImmediate(resolve);
    };
    const closed = () => {
      const peer = { ...someTlsPeer(endpoint.host), own: clientCertificate(profile.tls) };
      reject(tlsError(lastError(socket), peer));
    };
    socket.once('session', ticket).once('close', closed);
    return () => {
      clearImmediate(settled);
      socket.off('session', ticket).off('close', closed);
    };
  });
