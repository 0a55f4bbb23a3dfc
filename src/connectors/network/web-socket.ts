import { type ClientRequest, type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { PenstockError } from '../../errors.ts';
import { untilReported } from './deadline.ts';
import { lastError } from './dial.ts';
import { isTlsReason, isUnavailable, someTlsPeer, tlsError } from './socket-errors.ts';

/** Advice for a server that opens no WebSocket. */
export interface WebSocketHints {
  /** By HTTP status. */
  statuses: Readonly<Record<number, string>>;
  /** The server agrees to no subprotocol. */
  protocol: string;
  /** The server does not speak HTTP, or closes the connection. */
  notHttp: string;
  otherwise: string;
}

export interface WebSocketOptions {
  url: string;
  protocol?: string;
  headers?: Readonly<Record<string, string>>;
  /** Maximum size of a message in bytes. A larger one ends the connection. */
  maxPayload?: number;
  hints: WebSocketHints;
}

/**
 * Opens a WebSocket over a connected socket; it is paused, so that no message is missed. Throws `websocket_refused`, `http_unavailable`,
 * `connection_lost` or `tls_…`; the socket is then closed.
 */
export async function openWebSocket(
  socket: Socket,
  { url, protocol, headers = {}, maxPayload, hints }: WebSocketOptions,
  signal: AbortSignal,
): Promise<WebSocket> {
  const webSocket = new WebSocket(url, protocol === undefined ? [] : [protocol], {
    createConnection: () => socket,
    perMessageDeflate: false,
    followRedirects: false,
    headers,
    ...(maxPayload === undefined ? {} : { maxPayload }),
  });
  try {
    await untilReported<void>(signal, (resolve, reject) => {
      const failed = (cause: Error) => reject(notUpgraded(cause, protocol, hints));
      const responded = (_request: ClientRequest, response: IncomingMessage) =>
        reject(httpResponse(response, hints));
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
    signal.throwIfAborted();
    const broken = lastError(socket);
    // In TLS 1.3 the refusal of a client certificate comes after the handshake.
    throw isTlsReason(broken) ? tlsError(broken, someTlsPeer()) : error;
  }
}

function httpResponse(response: IncomingMessage, { statuses, otherwise }: WebSocketHints): PenstockError {
  const { statusCode = 0, headers } = response;
  response.destroy();
  const status = `${statusCode} ${STATUS_CODES[statusCode] ?? ''}`.trim();
  // Without the query, which may hold secrets.
  const location = /^[!-~]{1,200}/.exec(headers.location?.split(/[?#]/)[0] ?? '')?.[0];
  const place = location === undefined ? '' : `, to ${location}`;
  const hint = statuses[statusCode] ?? otherwise;
  const facts = { statusCode };
  // A proxy says so as long as the server behind it starts.
  if (isUnavailable(statusCode))
    return new PenstockError('http_unavailable', `The server opens no WebSocket now: HTTP status ${status}`, {
      hint,
      facts,
    });
  return refused(`it responded with HTTP status ${status}${place}`, hint, facts);
}

/** For a response that is no handshake, or one that does not agree to what was asked. */
function notUpgraded(
  cause: NodeJS.ErrnoException,
  protocol: string | undefined,
  hints: WebSocketHints,
): PenstockError {
  if (/subprotocol/i.test(cause.message))
    return refused(`it does not agree to the subprotocol ${protocol}`, hints.protocol, {}, cause);
  if (cause.code?.startsWith('HPE_')) return refused('it does not speak HTTP', hints.notHttp, {}, cause);
  // The socket failed, and not what came over it.
  if (cause.syscall !== undefined || cause.code === 'ECONNRESET')
    return new PenstockError(
      'connection_lost',
      'The server closed the connection instead of opening a WebSocket',
      {
        hint: `It may be starting or stopping. If it lasts: ${hints.notHttp}`,
        cause,
      },
    );
  return refused('its response is not a WebSocket handshake', hints.otherwise, {}, cause);
}

const refused = (
  reason: string,
  hint: string,
  facts: Record<string, unknown>,
  cause?: unknown,
): PenstockError =>
  new PenstockError('websocket_refused', `The server did not open a WebSocket: ${reason}`, {
    hint,
    facts,
    cause,
  });
