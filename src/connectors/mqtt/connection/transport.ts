import { type LookupAddress, lookup } from 'node:dns';
import { connect, isIP, type LookupFunction, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { PenstockError } from '../../../errors.ts';
import type { Reachable, Targets } from '../../connector.ts';
import type { Endpoint } from '../config/address.ts';
import { given, type MqttProfile } from '../config/profile.ts';
import { untilReported } from './deadline.ts';
import { socketError, tlsError } from './socket-errors.ts';
import { secureContext } from './tls-material.ts';
import { peerFacts } from './tls-peer.ts';
import { openWebSocket } from './web-socket.ts';

/**
 * Opens the sockets that MQTT runs over, one step per function, so that a connection test can report each of them.
 * A socket that is handed out always has an error listener: `lastError` tells later what went wrong.
 */

/** Node's own `errored` misses what TLS reports after the handshake. */
const errors = new WeakMap<Duplex, NodeJS.ErrnoException>();

/** The last error of a socket that this file opened; undefined when it had none. */
export const lastError = (socket: Duplex): NodeJS.ErrnoException | undefined => errors.get(socket);

declare const dialable: unique symbol;
/** An address that may be dialled. Only `resolveHost` makes them. */
export type Dialable = LookupAddress & { [dialable]: true };

/** Resolves a host name to all its addresses that may be dialled. Throws `name_not_resolved` and `target_not_allowed`. */
export async function resolveHost(host: string, targets: Targets, signal: AbortSignal): Promise<Dialable[]> {
  return targets.allowed(host, await lookUp(host, signal)) as Dialable[];
}

async function lookUp(host: string, signal: AbortSignal): Promise<LookupAddress[]> {
  const family = isIP(host);
  if (family !== 0) return [{ address: host, family }];
  return untilReported<LookupAddress[]>(signal, (resolve, reject) => {
    lookup(host, { all: true }, (error, addresses) => {
      if (error) reject(notResolved(host, error));
      else resolve(addresses);
    });
    return () => undefined;
  });
}

function notResolved(host: string, cause: NodeJS.ErrnoException): PenstockError {
  return new PenstockError(
    'name_not_resolved',
    `The host name ${host} does not resolve (${cause.code ?? 'no answer'})`,
    { hint: 'Check the spelling, and that the machine Penstock runs on can resolve the name.', cause },
  );
}

/** Connects to the first of `addresses` that answers. Throws `connection_refused` and its like. */
export async function connectTcp(
  endpoint: Endpoint,
  addresses: Dialable[],
  signal: AbortSignal,
): Promise<Socket> {
  const answerAll: LookupFunction = (_host, options, callback) => {
    const [first] = addresses;
    if (options.all === true || first === undefined) callback(null, addresses);
    else callback(null, first.address, first.family);
  };
  const socket = connect({
    host: endpoint.host,
    port: endpoint.port,
    lookup: answerAll,
    autoSelectFamily: true,
    noDelay: true,
    keepAlive: true,
  });
  return whenOpen(socket, 'connect', signal, (error) => socketError(error, endpoint));
}

/** Does the TLS handshake on a connected socket. Throws `tls_…`; the socket is then closed. */
export async function startTls(
  socket: Socket,
  endpoint: Endpoint,
  profile: MqttProfile,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const name = given(profile.serverName) ? profile.serverName : endpoint.host;
  let secure: TLSSocket;
  try {
    secure = connectTls({
      socket,
      host: name,
      ...(isIP(name) === 0 ? { servername: name } : {}),
      secureContext: secureContext(profile.tls),
      rejectUnauthorized: profile.rejectUnauthorized ?? true,
      ...(profile.alpn === undefined || profile.alpn.length === 0 ? {} : { ALPNProtocols: profile.alpn }),
    });
  } catch (error) {
    socket.destroy();
    throw error;
  }
  // Node looks at the certificate in its own listener, and closes the connection when it refuses it.
  let facts: Record<string, unknown> = {};
  secure.prependOnceListener('secure', () => {
    facts = peerFacts(secure);
  });
  return whenOpen(secure, 'secureConnect', signal, (error) => tlsError(error, name, socket.bytesRead, facts));
}

/** Resolves, connects and, where the URL says so, starts TLS and opens a WebSocket. */
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

/** Opens a WebSocket for MQTT on a connected socket. Throws `websocket_refused`; the socket is then closed. */
export async function startWebSocket(
  socket: Socket,
  endpoint: Endpoint,
  signal: AbortSignal,
): Promise<Duplex> {
  const stream = await openWebSocket(socket, endpoint, signal);
  stream.on('error', (error: NodeJS.ErrnoException) => errors.set(stream, lastError(socket) ?? error));
  return stream;
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
