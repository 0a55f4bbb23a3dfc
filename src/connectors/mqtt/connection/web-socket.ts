import { type ClientRequest, type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocket } from 'ws';
import { PenstockError } from '../../../errors.ts';
import { describeEndpoint, type Endpoint } from '../config/address.ts';
import { untilReported } from './deadline.ts';

/** MQTT over WebSocket: MQTT 5, section 6. */

const subprotocol = 'mqtt';

/** A WebSocket on `socket` as a stream of bytes. Throws `websocket_refused`, and then closes the socket. */
export async function openWebSocket(
  socket: Socket,
  endpoint: Endpoint,
  signal: AbortSignal,
): Promise<Duplex> {
  const webSocket = new WebSocket(describeEndpoint(endpoint), subprotocol, {
    createConnection: () => socket,
    perMessageDeflate: false,
    followRedirects: false,
  });
  try {
    await untilReported<void>(signal, (resolve, reject) => {
      const failed = (cause: Error) => reject(refused('its answer is not a WebSocket', cause));
      const answered = (_request: ClientRequest, response: IncomingMessage) => reject(refusedWith(response));
      webSocket.on('error', failed).once('unexpected-response', answered).once('open', resolve);
      return () => webSocket.off('unexpected-response', answered).off('open', resolve);
    });
    return asStream(webSocket);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function asStream(webSocket: WebSocket): Duplex {
  const stream = createWebSocketStream(webSocket);
  // One frame for what was written together, not one for each field of a packet.
  stream._writev = (chunks, done) => {
    webSocket.send(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer)), done);
  };
  webSocket.once('close', () => stream.destroy());
  return stream;
}

function refusedWith(response: IncomingMessage): PenstockError {
  const { statusCode = 0 } = response;
  response.destroy();
  const hint = statusCode === 404 ? 'Brokers often have it at another path, such as /mqtt.' : undefined;
  return refused(`it answers ${statusCode} ${STATUS_CODES[statusCode] ?? ''}`.trim(), undefined, hint, {
    statusCode,
  });
}

const refused = (
  why: string,
  cause?: unknown,
  hint = 'Check the port and the path of the URL, and that the broker has MQTT over WebSocket there.',
  facts: Record<string, unknown> = {},
): PenstockError =>
  new PenstockError('websocket_refused', `The server does not open a WebSocket: ${why}`, {
    hint,
    facts,
    cause,
  });
