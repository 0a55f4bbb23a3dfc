import type { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { type IClientOptions, type IConnackPacket, type IDisconnectPacket, MqttClient } from 'mqtt';
import { writeToStream } from 'mqtt-packet';
import type { PenstockError } from '../../../errors.ts';
import { clientProblem, endedByServer } from '../../network/certificate-errors.ts';
import { untilReported } from '../../network/deadline.ts';
import { lastError } from '../../network/dial.ts';
import { isTlsReason, silence, someTlsPeer, tlsError } from '../../network/socket-errors.ts';
import { clientCertificate, given } from '../../network/tls.ts';
import { mqttError } from '../config/errors.ts';
import { type LastWill, willOf } from '../config/profile.ts';
import { qosLevel } from '../config/topic.ts';
import { sendNoAliases } from './acks.ts';
import type { Version } from './broker-memory.ts';
import type { ConnectRequest } from './connect-request.ts';
import { Connection } from './connection.ts';
import { connectRefused, textOf } from './reason-codes.ts';
import { webSocketClosing } from './web-socket.ts';

// Otherwise each thread makes a buffer of every 16-bit number in advance, which takes 7 MB.
writeToStream.cacheNumbers = false;

/** Logs in over an open socket with an MQTT.js client: one CONNECT and its CONNACK. Throws `mqtt_…`; the socket is then closed. */
export async function logIn(
  socket: Duplex,
  version: Version,
  request: ConnectRequest,
  identity: string,
  signal: AbortSignal,
): Promise<Connection> {
  const client = new MqttClient(() => socket, clientOptions(version, request));
  const connection = new Connection(client, socket, version, identity, request.probe);
  sendNoAliases(client);
  try {
    request.prepare?.(client, socket);
    const own = clientCertificate(request.profile.tls);
    connection.opened(await connacked(client, socket, version, own, signal));
    return connection;
  } catch (error) {
    await connection.destroy();
    throw error;
  }
}

function connacked(
  client: MqttClient,
  socket: Duplex,
  version: Version,
  own: X509Certificate | undefined,
  signal: AbortSignal,
): Promise<IConnackPacket> {
  return untilReported<IConnackPacket>(signal, (resolve, reject) => {
    let firstBytes: Buffer = Buffer.alloc(0);
    const keep = (chunk: Buffer) => {
      firstBytes = Buffer.concat([firstBytes, chunk.subarray(0, maxFirstBytes)]).subarray(0, maxFirstBytes);
      // MQTT.js may take a greeting for the beginning of a packet, and wait for the rest.
      if (isGreeting(firstBytes)) failed();
      if (firstBytes.length >= maxFirstBytes) socket.off('data', keep);
    };
    let refusal: PenstockError | undefined;
    const received = (packet: { cmd: string }) => {
      if (packet.cmd === 'connack') refusal = refusedBy(packet as IConnackPacket, version);
      if (packet.cmd !== 'disconnect') return;
      // Some servers respond to CONNECT with a DISCONNECT. MQTT 5 does not provide for that, but its codes fit.
      const { reasonCode = firstBytes[1] ? firstBytes[2] : undefined, properties } =
        packet as IDisconnectPacket;
      refusal = connectRefused(reasonCode ?? 128, 5, properties?.reasonString, properties?.serverReference);
    };
    // Bytes that MQTT.js could not parse are judged here; a socket error is judged when the socket closes.
    const failed = () => {
      const error = refusal ?? verdict(firstBytes, version);
      if (error) reject(error);
    };
    const closed = () => reject(refusal ?? verdict(firstBytes, version) ?? closedEarly(socket, own));
    socket.on('data', keep);
    client.on('packetreceive', received).on('error', failed).once('close', closed).once('connect', resolve);
    client.connect();
    return () => {
      socket.off('data', keep);
      client.off('packetreceive', received).off('error', failed).off('close', closed).off('connect', resolve);
    };
  });
}

const maxFirstBytes = 32;

/** Whether a server speaks first, in words. No packet of MQTT that may come first begins so. */
const isGreeting = (bytes: Buffer): boolean => /^[\x21-\x7e][\x20-\x7e]{3}/.test(bytes.toString('latin1'));

function refusedBy(packet: IConnackPacket, version: Version): PenstockError | undefined {
  const code = (version === 5 ? packet.reasonCode : packet.returnCode) ?? 0;
  if (code === 0) return undefined;
  // A refusal below 0x80 is a return code of 3.1.1, whatever version was asked for.
  const { reasonString, serverReference } = packet.properties ?? {};
  return connectRefused(code, code < 128 ? 4 : 5, reasonString, serverReference);
}

function closedEarly(socket: Duplex, own: X509Certificate | undefined): PenstockError {
  const error = lastError(socket);
  const peer = { ...someTlsPeer(), own };
  if (isTlsReason(error)) return tlsError(error, peer);
  // A TLS 1.3 server checks the client certificate after the handshake.
  if (own && clientProblem(own) !== undefined) return endedByServer(peer);
  const closing = webSocketClosing(socket);
  const words =
    closing === undefined ? '' : `. It closed the WebSocket with ${closing.code} ${textOf(closing.reason)}`;
  return mqttError(
    'mqtt_refused',
    `The server closed the connection without responding to CONNECT${words.trimEnd()}`,
    {
      hint: 'Check the port, whether it requires TLS (mqtts://), and whether the broker restricts who may connect.',
      cause: silence,
    },
  );
}

/** The error that the first bytes of a server indicate; undefined if there are none. */
function verdict(bytes: Buffer, version: Version): PenstockError | undefined {
  const [first, length, flags, code] = bytes;
  if (first === undefined) return undefined;
  // A server that does not know MQTT 5 responds in 3.1.1: no properties, and other codes.
  if (first === 0x20 && length === 2 && version === 5) return connectRefused(code || 1, 4);
  if (first === 0x20)
    return mqttError('mqtt_protocol_error', 'The server sent a malformed CONNACK', {
      hint: 'Update the broker, or the proxy before it. If it supports another version of MQTT, set protocolVersion to that.',
    });
  // An AUTH: the server asks for more than a user name and password, though the client did not offer it.
  if (first === 0xf0) return connectRefused(140, 5);
  // A DISCONNECT whose code MQTT 5 does not have there.
  if (first === 0xe0 && (length ?? 0) > 0) return connectRefused(flags ?? 128, 5);
  if (first === 0x15 && length === 3) return tlsExpected();
  const [, name, hint] = others.find(([greeting]) => greeting.test(bytes.toString('latin1'))) ?? [];
  const speaks = name === undefined ? 'does not speak MQTT' : `speaks ${name}`;
  return notSpoken(
    `The server ${speaks} on this port`,
    hint ?? 'Use the MQTT port of the broker, usually 1883, or 8883 with TLS.',
  );
}

/** How servers of other protocols begin, or respond to a CONNECT. */
const others: readonly [greeting: RegExp, name: string, hint?: string][] = [
  [
    /^HTTP\//,
    'HTTP',
    'Use the MQTT port of the broker, usually 1883 or 8883. If this is its WebSocket port, use ws:// or wss://.',
  ],
  [
    /^AMQP/,
    'AMQP',
    'This is the AMQP port of the broker. RabbitMQ speaks MQTT on port 1883 once its plugin rabbitmq_mqtt is enabled.',
  ],
  [
    /^INFO \{/,
    'the protocol of NATS',
    'This is the client port of nats-server. Use the port of the section mqtt of its configuration.',
  ],
  [/^SSH-/, 'SSH'],
  [/^[-+*] ?(?:ERR|OK) /, 'a protocol of a database or of mail'],
  [/^220[ -]/, 'a protocol of mail or FTP'],
  [/^<\?xml|^<stream/, 'XMPP', 'ejabberd speaks MQTT on a port of its own, usually 1883.'],
];

const notSpoken = (message: string, hint: string): PenstockError =>
  mqttError('mqtt_not_spoken', message, { hint });

export const tlsExpected = (): PenstockError =>
  notSpoken('The server expects TLS on this port', 'Use mqtts:// instead of mqtt://.');

/** The longest delay of a Node timer: MQTT.js's own CONNACK timer must never fire first. */
const never = 2 ** 31 - 1;

function clientOptions(version: Version, request: ConnectRequest): IClientOptions {
  const { profile } = request;
  const will = request.withWill === false ? undefined : willOf(profile);
  return {
    manualConnect: true,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    connectTimeout: never,
    timerVariant: 'native',
    log: () => undefined,
    protocolVersion: version,
    clientId: request.clientId,
    clean: request.clean,
    keepalive: profile.keepAliveSecs ?? 30,
    ...(given(profile.username) ? { username: profile.username } : {}),
    ...(given(profile.password) ? { password: profile.password } : {}),
    ...(will ? { will: clientWill(will, version) } : {}),
    ...(version === 5 ? { properties: connectProperties(request) } : {}),
  };
}

const clientWill = (will: LastWill, version: Version): NonNullable<IClientOptions['will']> => ({
  topic: will.topic,
  payload: Buffer.from(will.payload ?? ''),
  qos: qosLevel(will.qos),
  retain: will.retain ?? false,
  ...(version === 5 ? { properties: { willDelayInterval: will.delaySecs ?? 0 } } : {}),
});

function connectProperties(request: ConnectRequest): NonNullable<IClientOptions['properties']> {
  const { receiveMaximum, profile } = request;
  return {
    sessionExpiryInterval: request.sessionExpirySecs,
    ...(receiveMaximum === undefined ? {} : { receiveMaximum: Math.min(receiveMaximum, 65_535) }),
    ...(profile.maxPacketSize === undefined ? {} : { maximumPacketSize: profile.maxPacketSize }),
  };
}
