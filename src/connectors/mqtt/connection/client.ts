import type { Duplex } from 'node:stream';
import { type IClientOptions, type IConnackPacket, type IDisconnectPacket, MqttClient } from 'mqtt';
import { asPenstockError, PenstockError } from '../../../errors.ts';
import { describe, describeEndpoint, type Endpoint, parseUrls } from '../config/address.ts';
import { codeOf, type MqttErrorCode, mqttError } from '../config/errors.ts';
import { given, type MqttProfile } from '../config/profile.ts';
import { type Qos, qosNames } from '../config/qos.ts';
import { refuseToFight } from './client-id-conflict.ts';
import type { ConnectRequest } from './connect-request.ts';
import { Connection } from './connection.ts';
import { untilReported, within } from './deadline.ts';
import { inTurn, KnownVersions, rememberServer, type Version } from './known-brokers.ts';
import { Opening } from './opening.ts';
import { connectRefused } from './reasons.ts';
import { isTlsReason, silence, tlsError } from './socket-errors.ts';
import { lastError, openSocket } from './transport.ts';

/** Connects one MQTT.js client over a socket of ours. It never reconnects: whoever asked for it decides that. */

/** The servers of a profile as listed. Throws `invalid_config` when the URL is not one. */
export function endpointsOf(profile: MqttProfile): Endpoint[] {
  const endpoints = parseUrls(profile.url);
  if (typeof endpoints === 'object') return endpoints;
  throw new PenstockError('invalid_config', `The URL ${endpoints}`, {
    errors: [{ path: '/url', message: endpoints }],
  });
}

/** What a broker answers to who we are: the next server of its cluster would say the same. */
const answers: readonly MqttErrorCode[] = [
  'mqtt_bad_credentials',
  'mqtt_not_authorized',
  'mqtt_client_id_rejected',
];

/**
 * Opens a socket and logs in to the first server of the profile that lets us, each within the profile's
 * `connectTimeoutMs`. Throws what went wrong: a name, network, TLS or MQTT code; when several servers failed, a passing
 * error before a permanent one; `mqtt_client_id_in_use` when another client is certain to claim the same id.
 */
export async function connect(request: ConnectRequest): Promise<Connection> {
  await refuseToFight(request, identityOf(request), connectAny);
  return connectAny(request);
}

async function connectAny(request: ConnectRequest): Promise<Connection> {
  const { profile, signal } = request;
  const failures: PenstockError[] = [];
  const endpoints = endpointsOf(profile);
  for (const endpoint of inTurn(profile.url, endpoints)) {
    try {
      const connection = await connectTo(endpoint, request);
      rememberServer(profile.url, endpoint);
      return connection;
    } catch (error) {
      signal.throwIfAborted();
      failures.push(asPenstockError(error));
      if (answers.includes(codeOf(asPenstockError(error)))) throw error;
    }
  }
  throw worst(failures, endpoints);
}

function worst(failures: PenstockError[], endpoints: Endpoint[]): PenstockError {
  const telling = (failures.find(({ passing }) => passing) ?? failures[0]) as PenstockError;
  if (endpoints.length === 1) return telling;
  const sentences = failures.map(({ message }) => message).join('; ');
  return new PenstockError(telling, `None of the ${endpoints.length} servers takes us: ${sentences}`, {
    ...(telling.hint === undefined ? {} : { hint: telling.hint }),
    cause: telling,
  });
}

/**
 * The same for one server. `first` is a stream that is open already, for a test that has opened it step by step; it
 * is closed if logging in fails. Such a test finds out the version anew; others begin with the one they know.
 */
export async function connectTo(
  endpoint: Endpoint,
  request: ConnectRequest,
  first?: Duplex,
): Promise<Connection> {
  const { profile, signal } = request;
  const ms = profile.connectTimeoutMs ?? 10_000;
  const late = () =>
    new PenstockError('connection_timeout', `${describeEndpoint(endpoint)} does not answer within ${ms} ms`);
  return within(ms, signal, late, async (soon) => {
    let open: Duplex | undefined = first;
    const attempt = async (version: Version) => {
      const stream = open ?? (await openSocket(endpoint, request, soon));
      open = undefined;
      return logIn(stream, version, request, soon);
    };
    if (profile.protocolVersion === '3.1.1') return attempt(4);
    if (profile.protocolVersion === '5') return attempt(5);
    const versions = new KnownVersions(profile.url, endpoint);
    return attemptBoth(attempt, first === undefined ? versions.known : undefined, versions);
  });
}

/**
 * Speaks MQTT 5, or what is known, and then the other version. Brokers that know nothing of MQTT 5 refuse its CONNECT,
 * or close the connection without a word; only the refusal is worth remembering, silence may have another reason.
 */
async function attemptBoth(
  attempt: (version: Version) => Promise<Connection>,
  known: Version | undefined,
  versions: KnownVersions,
): Promise<Connection> {
  const begun = known ?? 5;
  try {
    const connection = await attempt(begun);
    if (begun === 5) versions.remember(5);
    return connection;
  } catch (error) {
    if (!(error instanceof PenstockError)) throw error;
    const refused = codeOf(error) === 'mqtt_protocol_refused';
    if (!refused && !(known === undefined && isSilence(error))) throw error;
    versions.forget();
    const connection = await attempt(begun === 5 ? 4 : 5);
    if (refused) versions.remember(connection.version);
    return connection;
  }
}

const isSilence = (error: PenstockError): boolean =>
  codeOf(error) === 'mqtt_refused' && error.cause === silence;

async function logIn(
  socket: Duplex,
  version: Version,
  request: ConnectRequest,
  signal: AbortSignal,
): Promise<Connection> {
  const client = new MqttClient(() => socket, clientOptions(version, request));
  const connection = new Connection(client, socket, version, identityOf(request));
  try {
    request.prepare?.(client);
    const connack = await connacked(client, socket, version, signal);
    connection.opened(connack);
    return connection;
  } catch (error) {
    await connection.destroy();
    throw error;
  }
}

const identityOf = (request: ConnectRequest): string => `${request.clientId}@${describe(request.profile)}`;

function connacked(
  client: MqttClient,
  socket: Duplex,
  version: Version,
  signal: AbortSignal,
): Promise<IConnackPacket> {
  return untilReported<IConnackPacket>(signal, (resolve, reject) => {
    const opening = new Opening(socket);
    let refusal: PenstockError | undefined;
    const received = (packet: { cmd: string }) => {
      if (packet.cmd === 'connack') refusal = refusedBy(packet as IConnackPacket, version);
      if (packet.cmd === 'disconnect') refusal = leftBy(packet as IDisconnectPacket);
    };
    // What MQTT.js could not parse is judged by its bytes; an error of the socket is judged when it closes.
    const failed = () => {
      const error = refusal ?? opening.verdict(version);
      if (error) reject(error);
    };
    const closed = () => reject(refusal ?? opening.verdict(version) ?? closedEarly(socket));
    client.on('packetreceive', received).on('error', failed).once('close', closed).once('connect', resolve);
    client.connect();
    return () => {
      opening.stop();
      client.off('packetreceive', received).off('error', failed).off('close', closed).off('connect', resolve);
    };
  });
}

function refusedBy(packet: IConnackPacket, version: Version): PenstockError | undefined {
  const code = (version === 5 ? packet.reasonCode : packet.returnCode) ?? 0;
  if (code === 0) return undefined;
  // A refusal below 0x80 is in the words of 3.1.1, whatever was asked for.
  return connectRefused(code, code < 128 ? 4 : 5, packet.properties?.reasonString);
}

/** Some servers answer CONNECT with a DISCONNECT, which MQTT 5 does not foresee but its reason codes cover. */
const leftBy = (packet: IDisconnectPacket): PenstockError =>
  connectRefused(packet.reasonCode ?? 128, 5, packet.properties?.reasonString);

function closedEarly(socket: Duplex): PenstockError {
  const error = lastError(socket);
  if (isTlsReason(error)) return tlsError(error, '', 1);
  return mqttError('mqtt_refused', 'The server closed the connection instead of answering CONNECT', {
    hint: 'Check the port (does it have TLS?), and whether the broker limits who may connect.',
    cause: silence,
  });
}

const noLog = (): void => undefined;

/** The longest delay a Node timer can have: MQTT.js's own CONNACK timer must never be the one that fires. */
const never = 2 ** 31 - 1;

function clientOptions(version: Version, request: ConnectRequest): IClientOptions {
  const { profile } = request;
  return {
    manualConnect: true,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    connectTimeout: never,
    timerVariant: 'native',
    log: noLog,
    protocolVersion: version,
    clientId: request.clientId,
    clean: request.clean,
    keepalive: profile.keepAliveSecs ?? 30,
    ...(given(profile.username) ? { username: profile.username } : {}),
    ...(given(profile.password) ? { password: profile.password } : {}),
    ...(profile.will === undefined || request.withWill === false
      ? {}
      : { will: willOf(profile.will, version) }),
    ...(version === 5 ? { properties: connectProperties(request) } : {}),
  };
}

function willOf(
  will: NonNullable<MqttProfile['will']>,
  version: Version,
): NonNullable<IClientOptions['will']> {
  return {
    topic: will.topic,
    payload: Buffer.from(will.payload ?? ''),
    qos: qosNames.indexOf(will.qos ?? 'AtMostOnce') as Qos,
    retain: will.retain ?? false,
    ...(version === 5 ? { properties: { willDelayInterval: will.delaySecs ?? 0 } } : {}),
  };
}

function connectProperties(request: ConnectRequest): NonNullable<IClientOptions['properties']> {
  const { maxPacketSize } = request.profile;
  return {
    sessionExpiryInterval: request.sessionExpirySecs,
    ...(request.receiveMaximum === undefined
      ? {}
      : { receiveMaximum: Math.min(request.receiveMaximum, 65_535) }),
    ...(maxPacketSize === undefined ? {} : { maximumPacketSize: maxPacketSize }),
  };
}
