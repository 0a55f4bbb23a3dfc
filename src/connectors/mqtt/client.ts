import type { Socket } from 'node:net';
import { type IClientOptions, type IConnackPacket, type IDisconnectPacket, MqttClient } from 'mqtt';
import { PenstockError } from '../../errors.ts';
import { Connection } from './connection.ts';
import { untilReported, within } from './deadline.ts';
import { Opening } from './opening.ts';
import { describe, type Endpoint, given, type MqttProfile, parseUrl } from './profile.ts';
import { connectRefused } from './reasons.ts';
import { isTlsReason, silence, tlsError } from './socket-errors.ts';
import { lastError, openSocket } from './transport.ts';

/** Connects one MQTT.js client over a socket of ours. It never reconnects: whoever asked for it decides that. */

export interface ConnectRequest {
  profile: MqttProfile;
  clientId: string;
  /** Start without the session that the broker may hold under this id. */
  clean: boolean;
  /** For how long the broker keeps the session afterwards; 0 ends it with the connection. */
  sessionExpirySecs: number;
  /** Most messages of QoS 1 and 2 that the broker may send unacknowledged (MQTT 5). */
  receiveMaximum?: number;
  signal: AbortSignal;
  /** Called with each client before it sends CONNECT, to bind what must not miss the first message. */
  prepare?(client: MqttClient): void;
}

type Version = 4 | 5;

/** The endpoint of a profile. Throws `invalid_config` when the URL is not one. */
export function endpointOf(profile: MqttProfile): Endpoint {
  const endpoint = parseUrl(profile.url);
  if (typeof endpoint === 'object') return endpoint;
  throw new PenstockError('invalid_config', `The URL ${endpoint}`, {
    errors: [{ path: '/url', message: endpoint }],
  });
}

/**
 * Opens a socket and logs in, within the profile's `connectTimeoutMs`. Throws what went wrong first: a name, network,
 * TLS or MQTT code. `first` is a socket that is open already, for a test that has opened it step by step; it is
 * closed if logging in fails.
 */
export async function connect(request: ConnectRequest, first?: Socket): Promise<Connection> {
  const { profile, signal } = request;
  const endpoint = endpointOf(profile);
  const ms = profile.connectTimeoutMs ?? 10_000;
  const late = () =>
    new PenstockError('connection_timeout', `${describe(profile)} does not answer within ${ms} ms`);
  return within(ms, signal, late, async (soon) => {
    const open = async (socket?: Socket) => socket ?? (await openSocket(endpoint, profile, soon));
    if (profile.protocolVersion === '3.1.1') return logIn(await open(first), 4, request, soon);
    try {
      return await logIn(await open(first), 5, request, soon);
    } catch (error) {
      if (profile.protocolVersion === '5' || !mayBeOlder(error)) throw error;
      return await logIn(await open(), 4, request, soon);
    }
  });
}

/** Brokers that know nothing of MQTT 5 refuse its CONNECT, or close the connection without a word. */
const mayBeOlder = (error: unknown): boolean =>
  error instanceof PenstockError && (error.code === 'mqtt_protocol_refused' || isSilence(error));

const isSilence = (error: PenstockError): boolean => error.code === 'mqtt_refused' && error.cause === silence;

async function logIn(
  socket: Socket,
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
  socket: Socket,
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

function closedEarly(socket: Socket): PenstockError {
  const error = lastError(socket);
  if (isTlsReason(error)) return tlsError(error, '', 1);
  return new PenstockError('mqtt_refused', 'The server closed the connection instead of answering CONNECT', {
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
    ...(version === 5 ? { properties: connectProperties(request) } : {}),
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
