import { type LookupAddress, lookup } from 'node:dns';
import { type ClientRequest, type IncomingMessage, STATUS_CODES } from 'node:http';
import { connect, isIP, type LookupFunction, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { createWebSocketStream, WebSocket } from 'ws';
import { PenstockError } from '../../../errors.ts';
import type { Reachable, Targets } from '../../connector.ts';
import { describeEndpoint, type Endpoint } from '../config/broker-url.ts';
import { given, type MqttProfile } from '../config/profile.ts';
import { chainOf } from './certificate-errors.ts';
import { untilReported } from './deadline.ts';
import { socketError, someTlsPeer, type TlsPeer, tlsError } from './socket-errors.ts';
import { clientCertificate, peerFacts, secureContext, trustedBy } from './tls.ts';

/**
 * Opens the sockets that MQTT runs over, one function per step, so that a connection test can report each step. Every
 * returned socket has an error listener: see `lastError`.
 */

/** Node's own `errored` misses TLS errors after the handshake. */
const errors = new WeakMap<Duplex, NodeJS.ErrnoException>();

/** The last error of a socket that this file opened; undefined if none. */
export const lastError = (socket: Duplex): NodeJS.ErrnoException | undefined => errors.get(socket);

declare const dialable: unique symbol;
/** An address that may be dialled. Only `resolveHost` creates them. */
export type Dialable = LookupAddress & { [dialable]: true };

/** Resolves a host name to the addresses that may be dialled. Throws `name_not_resolved` and `target_not_allowed`. */
export async function resolveHost(host: string, targets: Targets, signal: AbortSignal): Promise<Dialable[]> {
  return targets.allowed(host, await lookUp(host, signal)) as Dialable[];
}

async function lookUp(host: string, signal: AbortSignal): Promise<LookupAddress[]> {
  const family = isIP(host);
  if (family !== 0) return [{ address: host, family }];
  return untilReported<LookupAddress[]>(signal, (resolve, reject) => {
    lookup(host, { all: true }, (error, addresses) => {
      if (!error) return resolve(addresses);
      const message = `The host name ${host} cannot be resolved (${error.code ?? 'unknown error'})`;
      const hint = 'Check the spelling, and the DNS settings of the machine that runs Penstock.';
      reject(new PenstockError('name_not_resolved', message, { hint, cause: error }));
    });
  });
}

/** Connects to the first of `addresses` that responds. Throws `connection_…` or `network_unreachable`. */
export async function connectTcp(
  endpoint: Endpoint,
  addresses: Dialable[],
  signal: AbortSignal,
): Promise<Socket> {
  const lookupAll: LookupFunction = (_host, options, callback) => {
    const [first] = addresses;
    if (options.all === true || first === undefined) callback(null, addresses);
    else callback(null, first.address, first.family);
  };
  const socket = connect({
    host: endpoint.host,
    port: endpoint.port,
    lookup: lookupAll,
    autoSelectFamily: true,
    noDelay: true,
    keepAlive: true,
  });
  return whenOpen(socket, 'connect', signal, (error) => socketError(error, endpoint));
}

/** Performs the TLS handshake on a connected socket. Throws `tls_…`; the socket is then closed. */
export async function startTls(
  socket: Socket,
  endpoint: Endpoint,
  profile: MqttProfile,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const name = certificateName(profile, endpoint);
  let secure: TLSSocket;
  try {
    secure = connectTls({
      socket,
      host: name,
      ...(isIP(name) === 0 ? { servername: name } : {}),
      secureContext: secureContext(profile.tls),
      rejectUnauthorized: !profile.insecureSkipVerify,
      ...(profile.alpn === undefined || profile.alpn.length === 0 ? {} : { ALPNProtocols: profile.alpn }),
    });
  } catch (error) {
    socket.destroy();
    throw error;
  }
  // Node checks the certificate in its own listener, and closes the connection if it refuses it: read it before.
  let peer: TlsPeer = { ...someTlsPeer(name), own: clientCertificate(profile.tls) };
  secure.prependOnceListener('secure', () => {
    peer = peerOf(secure, profile, endpoint);
  });
  return whenOpen(secure, 'secureConnect', signal, (error) =>
    tlsError(error, { ...peer, bytesRead: socket.bytesRead }),
  );
}

const certificateName = ({ serverName }: MqttProfile, endpoint: Endpoint): string =>
  given(serverName) ? serverName : endpoint.host;

export const peerOf = (socket: TLSSocket, profile: MqttProfile, endpoint: Endpoint): TlsPeer => ({
  name: certificateName(profile, endpoint),
  bytesRead: 1,
  facts: peerFacts(socket),
  chain: chainOf(socket),
  trusted: trustedBy(profile.tls),
  own: clientCertificate(profile.tls),
});

/** Resolves, connects and, if the URL says so, starts TLS and opens a WebSocket. */
export async function openSocket(
  endpoint: Endpoint,
  { profile, targets }: Reachable<MqttProfile>,
  signal: AbortSignal,
): Promise<Duplex> {
  const addresses = await resolveHost(endpoint.host, targets, signal);
  const plain = await connectTcp(endpoint, addresses, signal);
  const socket = endpoint.tls ? await startTls(plain, endpoint, profile, signal) : plain;
  return endpoint.path === undefined ? socket : startWebSocket(socket, endpoint, signal);
}

async function whenOpen<S extends Socket>(
  socket: S,
  event: 'connect' | 'secureConnect',
  signal: AbortSignal,
  translate: (error: NodeJS.ErrnoException | undefined) => PenstockError,
): Promise<S> {
  socket.on('error', (error) => errors.set(socket, error));
  try {
    await untilReported<void>(signal, (resolve, reject) => {
      const opened = () => resolve();
      const closed = () => reject(translate(lastError(socket)));
      socket.once(event, opened).once('close', closed);
      return () => socket.off(event, opened).off('close', closed);
    });
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Opens a WebSocket for MQTT (MQTT 5, section 6). Throws `websocket_refused`; the socket is then closed. */
export async function startWebSocket(
  socket: Socket,
  endpoint: Endpoint,
  signal: AbortSignal,
): Promise<Duplex> {
  const webSocket = new WebSocket(describeEndpoint(endpoint), 'mqtt', {
    createConnection: () => socket,
    perMessageDeflate: false,
    followRedirects: false,
  });
  try {
    await untilReported<void>(signal, (resolve, reject) => {
      const failed = (cause: Error) => reject(notUpgraded(cause));
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
  webSocket.once('close', (code: number, reason: Buffer) => {
    if (code > unspokenCloses) closings.set(stream, { code, reason: reason.toString().slice(0, 120) });
    stream.destroy();
  });
  stream.on('error', (error: NodeJS.ErrnoException) => errors.set(stream, lastError(socket) ?? error));
  return stream;
}

/** Why a server has closed a WebSocket, in its own words. */
const closings = new WeakMap<Duplex, { code: number; reason: string }>();
/** Codes up to this one say nothing: normal, going away … closed without a code, or without a frame. */
const unspokenCloses = 1_006;

export const webSocketClosing = (stream: Duplex): { code: number; reason: string } | undefined =>
  closings.get(stream);

const webSocketHint =
  'Check the port and the path of the URL, and whether MQTT over WebSocket is enabled on the broker.';
const redirected = 'Penstock follows no redirections: set the URL to the place that the server names.';
const proxyOnly =
  'A proxy answers, but reaches no broker behind it. Check its settings, and whether the broker is running.';

const httpHints: Readonly<Record<number, string>> = {
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
};

function httpResponse(response: IncomingMessage): PenstockError {
  const { statusCode = 0, headers } = response;
  response.destroy();
  const status = `${statusCode} ${STATUS_CODES[statusCode] ?? ''}`.trim();
  // Without the query, which may hold secrets.
  const location = /^[!-~]{1,200}/.exec(headers.location?.split(/[?#]/)[0] ?? '')?.[0];
  const place = location === undefined ? '' : `, to ${location}`;
  const hint = httpHints[statusCode] ?? webSocketHint;
  return webSocketRefused(`it responded with HTTP status ${status}${place}`, hint, { statusCode });
}

/** For a response that is no handshake, or one that does not agree to what was asked. */
function notUpgraded(cause: NodeJS.ErrnoException): PenstockError {
  if (/subprotocol/i.test(cause.message))
    return webSocketRefused(
      'it does not agree to the subprotocol mqtt',
      'Another service probably has this path: correct the path of the URL. Many brokers use /mqtt.',
      {},
      cause,
    );
  if (cause.code?.startsWith('HPE_'))
    return webSocketRefused('it does not speak HTTP', withoutWebSocket, {}, cause);
  if (cause.code === 'ECONNRESET')
    return webSocketRefused('it closed the connection instead', withoutWebSocket, {}, cause);
  return webSocketRefused('its response is not a WebSocket handshake', webSocketHint, {}, cause);
}

const withoutWebSocket =
  'Check the port. If it is the port for MQTT without WebSocket, use mqtt:// or mqtts:// without a path.';

const webSocketRefused = (
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
