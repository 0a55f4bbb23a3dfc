import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createWebSocketStream } from 'ws';
import type { Reachable } from '../../connector.ts';
import { lastError, openSocket, recordError } from '../../network/dial.ts';
import { openWebSocket, type WebSocketHints } from '../../network/web-socket.ts';
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
    { url: describeEndpoint(endpoint), protocol: 'mqtt', hints },
    signal,
  );
  const stream = createWebSocketStream(webSocket);
  // One frame for everything written together, not one for each field of a packet.
  stream._writev = (chunks, done) => {
    webSocket.send(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer)), done);
  };
  webSocket.once('close', (code: number, reason: Buffer) => {
    if (code > unspokenCloses) closings.set(stream, { code, reason: reason.toString().slice(0, 120) });
    stream.destroy();
  });
  stream.on('error', (error: NodeJS.ErrnoException) => recordError(stream, lastError(socket) ?? error));
  return stream;
}

/** Why a server has closed a WebSocket, in its own words. */
const closings = new WeakMap<Duplex, { code: number; reason: string }>();
/** Codes up to this one say nothing: normal, going away … closed without a code, or without a frame. */
const unspokenCloses = 1_006;

export const webSocketClosing = (stream: Duplex): { code: number; reason: string } | undefined =>
  closings.get(stream);

const redirected = 'Penstock follows no redirections: set the URL to the place that the server names.';
const proxyOnly =
  'A proxy answers, but reaches no broker behind it. Check its settings, and whether the broker is running.';

const hints: WebSocketHints = {
  otherwise:
    'Check the port and the path of the URL, and whether MQTT over WebSocket is enabled on the broker.',
  protocol: 'Another service probably has this path: correct the path of the URL. Many brokers use /mqtt.',
  notHttp:
    'Check the port. If it is the port for MQTT without WebSocket, use mqtt:// or mqtts:// without a path.',
  statuses: {
    200: 'This is an ordinary web page: correct the path of the URL. Many brokers use /mqtt.',
    301: redirected,
    302: redirected,
    307: redirected,
    308: redirected,
    400: 'The path is probably wrong: many brokers use /mqtt. Some proxies do not pass the header Upgrade on.',
    401: 'A proxy or gateway before the broker requires a login of its own, which Penstock cannot give.',
    403: 'A proxy or gateway before the broker does not allow this client, path or address.',
    404: 'Correct the path of the URL. Many brokers use /mqtt.',
    426: 'A proxy before the broker does not pass the header Upgrade on.',
    502: proxyOnly,
    503: proxyOnly,
    504: proxyOnly,
  },
};
