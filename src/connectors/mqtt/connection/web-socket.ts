import { type ClientRequest, type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocket } from 'ws';
import { PenstockError } from '../../../errors.ts';
import type { Reachable } from '../../connector.ts';
import { untilReported } from '../../network/deadline.ts';
import { lastError, openSocket, recordError } from '../../network/dial.ts';
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
  const webSocket = new WebSocket(describeEndpoint(endpoint), 'mqtt', {
    createConnection: () => socket,
    perMessageDeflate: false,
    followRedirects: false,
  });
  try {
    await untilReported<void>(signal, (resolve, reject) => {
      const failed = (cause: Error) =>
        reject(webSocketRefused('its response is not a WebSocket handshake', {}, cause));
      const responded = (_request: ClientRequest, response: IncomingMessage) =>
        reject(httpResponse(response));
      webSocket.on('error', failed).once('unexpected-response', responded).once('open', resolve);
      return () => webSocket.off('unexpected-response', responded).off('open', resolve);
    });
  } catch (error) {
    socket.destroy();
    throw error;
  }
  const stream = createWebSocketStream(webSocket);
  // One frame for everything written together, not one for each field of a packet.
  stream._writev = (chunks, done) => {
    webSocket.send(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer)), done);
  };
  webSocket.once('close', () => stream.destroy());
  stream.on('error', (error: NodeJS.ErrnoException) => recordError(stream, lastError(socket) ?? error));
  return stream;
}

function httpResponse(response: IncomingMessage): PenstockError {
  const { statusCode = 0 } = response;
  response.destroy();
  const status = `${statusCode} ${STATUS_CODES[statusCode] ?? ''}`.trim();
  return webSocketRefused(`it responded with HTTP status ${status}`, { statusCode });
}

function webSocketRefused(reason: string, facts: Record<string, unknown>, cause?: unknown): PenstockError {
  const hint =
    facts.statusCode === 404
      ? 'Correct the path of the URL. Many brokers use /mqtt.'
      : 'Check the port and the path of the URL, and whether MQTT over WebSocket is enabled on the broker.';
  return new PenstockError('websocket_refused', `The server did not open a WebSocket: ${reason}`, {
    hint,
    facts,
    cause,
  });
}
