import { type ClientRequest, type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { PenstockError } from '../../errors.ts';
import { untilReported } from './deadline.ts';

export interface WebSocketOptions {
  url: string;
  protocol?: string;
  headers?: Readonly<Record<string, string>>;
  /** Maximum size of a message in bytes. A larger one ends the connection. */
  maxPayload?: number;
  /** Advice if the server does not open it. */
  hint(statusCode: number | undefined): string;
}

/** Opens a WebSocket over a connected socket; it is paused, so that no message is missed. Throws `websocket_refused`; the socket is then closed. */
export async function openWebSocket(
  socket: Socket,
  { url, protocol, headers = {}, maxPayload, hint }: WebSocketOptions,
  signal: AbortSignal,
): Promise<WebSocket> {
  const webSocket = new WebSocket(url, protocol === undefined ? [] : [protocol], {
    createConnection: () => socket,
    perMessageDeflate: false,
    followRedirects: false,
    headers,
    ...(maxPayload === undefined ? {} : { maxPayload }),
  });
  const refused = (reason: string, statusCode: number | undefined, cause?: unknown): PenstockError =>
    new PenstockError('websocket_refused', `The server did not open a WebSocket: ${reason}`, {
      hint: hint(statusCode),
      facts: statusCode === undefined ? {} : { statusCode },
      cause,
    });
  try {
    await untilReported<void>(signal, (resolve, reject) => {
      const failed = (cause: Error) =>
        reject(refused('its response is not a WebSocket handshake', undefined, cause));
      const responded = (_request: ClientRequest, response: IncomingMessage) => {
        const { statusCode = 0 } = response;
        response.destroy();
        const status = `${statusCode} ${STATUS_CODES[statusCode] ?? ''}`.trim();
        reject(refused(`it responded with HTTP status ${status}`, statusCode));
      };
      const opened = () => {
        webSocket.pause();
        resolve();
      };
      webSocket.on('error', failed).once('unexpected-response', responded).once('open', opened);
      return () => webSocket.off('unexpected-response', responded).off('open', opened);
    });
    return webSocket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
