import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createWebSocketStream } from 'ws';
import type { Reachable } from '../../connector.ts';
import { lastError, openSocket, recordError } from '../../network/dial.ts';
import { openWebSocket } from '../../network/web-socket.ts';
import { type BrokerEndpoint, describeEndpoint } from '../config/broker-url.ts';
import type { MqttProfile } from '../config/profile.ts';

/** Resolves, connects and, if the URL says so, starts TLS and opens a WebSocket. */
export async function openStream(
  endpoint: BrokerEndpoint,
  reachable: Reachable<MqttProfile>,
  signal: AbortSignal,
): Promise<Duplex> {
  const socket = await openSocket(endpoint, reachable, signal);
  return endpoint.path === undefined ? socket : startWebSocket(socket, endpoint, signal);
}

/** Opens a WebSocket for MQTT (MQTT 5, section 6). Throws `websocket_refused`; the socket is then closed. */
export async function startWebSocket(
  socket: Socket,
  endpoint: BrokerEndpoint,
  signal: AbortSignal,
): Promise<Duplex> {
  const webSocket = await openWebSocket(
    socket,
    { url: describeEndpoint(endpoint), protocol: 'mqtt', hint },
    signal,
  );
  const stream = createWebSocketStream(webSocket);
  // One frame for everything written together, not one for each field of a packet.
  stream._writev = (chunks, done) => {
    webSocket.send(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer)), done);
  };
  webSocket.once('close', () => stream.destroy());
  stream.on('error', (error: NodeJS.ErrnoException) => recordError(stream, lastError(socket) ?? error));
  return stream;
}

const hint = (statusCode: number | undefined): string =>
  statusCode === 404
    ? 'Correct the path of the URL. Many brokers use /mqtt.'
    : 'Check the port and the path of the URL, and whether MQTT over WebSocket is enabled on the broker.';
