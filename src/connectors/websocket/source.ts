import type { RawData, WebSocket } from 'ws';
import { PenstockError } from '../../errors.ts';
import type { RunContext, Source, Targets, WatchContext } from '../connector.ts';
import { within } from '../network/deadline.ts';
import { openSocket } from '../network/dial.ts';
import { statusError } from '../network/http.ts';
import { httpServer, requestOf } from '../network/http-table.ts';
import { type Incoming, QueueSource, watchAll } from '../network/queue-source.ts';
import { openWebSocket, type WebSocketHints } from '../network/web-socket.ts';
import { subscriptionsOf, type WebSocketTable, webSocketError } from './table.ts';

const maxPayload = 16 * 1024 * 1024;
/** Messages that wait to be read, before the socket is read no further. */
const maxWaiting = 100;
/** Close codes that say that the client is at fault (RFC 6455, 7.4.1). */
const refusals = [1002, 1003, 1007, 1008, 1010];

export async function openSource(context: RunContext<unknown, WebSocketTable>): Promise<Source> {
  const { table, signal, window } = context;
  const opened = await open(context, signal);
  return new QueueSource({
    window,
    signal,
    read: async (queue, reading) => {
      for await (const message of messages(opened, table, reading)) await queue.add(message);
    },
  });
}

/** See `watch` in the connector contract. */
export async function watch(context: WatchContext<unknown, WebSocketTable>): Promise<never> {
  const opened = await open(context, context.signal);
  context.listening();
  return watchAll(context, messages(opened, context.table, context.signal));
}

/** Connects and sends the subscriptions. Throws what dialling throws, `websocket_refused` and `http_unauthorized`. */
export function open(
  context: { table: WebSocketTable; targets: Targets },
  signal: AbortSignal,
): Promise<WebSocket> {
  const { table } = context;
  const { url, headers, timeoutMs } = requestOf(table, 'ws');
  const tls = url.protocol === 'wss:';
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const late = () =>
    new PenstockError('connection_timeout', `The server opened no WebSocket within ${timeoutMs} ms`);
  return within(timeoutMs, signal, late, async (soon) => {
    const socket = await openSocket(
      { host, port: Number(url.port) || (tls ? 443 : 80), tls },
      httpServer(context),
      soon,
    );
    const options = {
      url: url.href,
      headers,
      maxPayload,
      hints,
      ...(table.protocol ? { protocol: table.protocol } : {}),
    };
    const webSocket = await openWebSocket(socket, options, soon).catch((error: unknown) => {
      throw explained(error);
    });
    for (const text of subscriptionsOf(table)) webSocket.send(text);
    return webSocket;
  });
}

const hints: WebSocketHints = {
  otherwise: 'Check the port and the path of the endpoint, and whether it is a WebSocket.',
  protocol: 'Set protocol to the subprotocol that the server expects, or remove it.',
  notHttp: 'Check the port, and whether it expects TLS (wss://).',
  statuses: { 404: 'Correct the path of the endpoint.' },
};

/** A refused login has a code of its own. */
function explained(error: unknown): unknown {
  const status = error instanceof PenstockError ? error.facts.statusCode : undefined;
  if (typeof status !== 'number') return error;
  const found = statusError({ status, headers: {} });
  return found?.code === 'http_unauthorized' ? found : error;
}

/** The messages of an open WebSocket, which is closed at the end. Throws when the connection is lost, or the signal's reason. */
export async function* messages(
  webSocket: WebSocket,
  { ping_interval_secs = 30 }: WebSocketTable,
  signal: AbortSignal,
): AsyncGenerator<Incoming> {
  const waiting: Incoming[] = [];
  let end: unknown;
  let changed = Promise.withResolvers<void>();
  const wake = () => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const finish = (error: unknown) => {
    end ??= error;
    wake();
  };
  let heard = true;
  const pings = setInterval(() => {
    if (webSocket.isPaused) return;
    if (!heard) finish(silent(ping_interval_secs));
    heard = false;
    webSocket.ping();
  }, ping_interval_secs * 1000);
  const aborted = () => finish(signal.reason);
  signal.addEventListener('abort', aborted, { once: true });
  webSocket
    .on('message', (data, binary) => {
      heard = true;
      waiting.push(received(data, binary));
      if (waiting.length >= maxWaiting) webSocket.pause();
      wake();
    })
    .on('pong', () => {
      heard = true;
    })
    .on('error', (error) => finish(failureOf(error)))
    .on('close', (code, reason) => finish(closed(code, reason)));
  try {
    if (signal.aborted) aborted();
    webSocket.resume();
    for (;;) {
      const next = waiting.shift();
      if (next) {
        if (waiting.length === 0 && webSocket.isPaused) {
          heard = true;
          webSocket.resume();
        }
        yield next;
      } else if (end !== undefined) throw end;
      else await changed.promise;
    }
  } finally {
    clearInterval(pings);
    signal.removeEventListener('abort', aborted);
    await shut(webSocket);
  }
}

const closeMs = 1_000;

/** Closes a WebSocket politely, or at once if the server does not take part. */
export async function shut(webSocket: WebSocket): Promise<void> {
  if (webSocket.readyState === webSocket.CLOSED) return;
  const closing = Promise.withResolvers<void>();
  webSocket.once('close', () => closing.resolve());
  webSocket.resume();
  webSocket.close();
  const late = setTimeout(() => webSocket.terminate(), closeMs);
  await closing.promise;
  clearTimeout(late);
}

function received(data: RawData, binary: boolean): Incoming {
  const payload = Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer);
  const timestamp = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000));
  return { payload, metadata: { timestamp, binary } };
}

function closed(code: number, reason: Buffer): PenstockError {
  const said = reason.length > 0 ? `: ${reason.toString().slice(0, 123)}` : '';
  const message = `The server closed the WebSocket with code ${code}${said}`;
  if (refusals.includes(code))
    return webSocketError('websocket_closed', message, { facts: { closeCode: code } });
  return new PenstockError('connection_lost', message, { facts: { closeCode: code } });
}

function failureOf(error: NodeJS.ErrnoException): PenstockError {
  if (error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH')
    return webSocketError('websocket_message_too_large', `A message is larger than ${maxPayload} bytes`, {
      cause: error,
    });
  return new PenstockError('connection_lost', `The WebSocket broke (${error.code ?? 'unknown error'})`, {
    cause: error,
  });
}

const silent = (secs: number): PenstockError =>
  new PenstockError('connection_lost', `The server responded to no ping for ${secs} s`, {
    hint: 'Check the network between Penstock and the server. Raise ping_interval_secs if the server is slow.',
  });
