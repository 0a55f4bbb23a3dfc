import { type LookupAddress, lookup } from 'node:dns';
import { connect, isIP, type LookupFunction, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { PenstockError } from '../../errors.ts';
import type { Reachable, Targets } from '../connector.ts';
import { chainOf } from './certificate-errors.ts';
import { untilReported } from './deadline.ts';
import { socketError, someTlsPeer, type TlsPeer, tlsError } from './socket-errors.ts';
import { clientCertificate, given, peerFacts, secureContext, type TlsProfile, trustedBy } from './tls.ts';

/**
 * Opens sockets, one function per step, so that a connection test can report each step. Every returned socket has an error
 * listener: see `lastError`.
 */

export interface Endpoint {
  /** Host name or IP address; an IPv6 address without brackets. */
  host: string;
  port: number;
  tls: boolean;
}

/** Node's own `errored` misses TLS errors after the handshake. */
const errors = new WeakMap<Duplex, NodeJS.ErrnoException>();

/** Records an error for `lastError`. */
export const recordError = (stream: Duplex, error: NodeJS.ErrnoException): void =>
  void errors.set(stream, error);

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
  profile: TlsProfile,
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
      ...(profile.alpn === undefined || profile.alpn.length === 0
        ? {}
        : { ALPNProtocols: [...profile.alpn] }),
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

const certificateName = ({ serverName }: TlsProfile, endpoint: Endpoint): string =>
  given(serverName) ? serverName : endpoint.host;

export const peerOf = (socket: TLSSocket, profile: TlsProfile, endpoint: Endpoint): TlsPeer => ({
  name: certificateName(profile, endpoint),
  bytesRead: 1,
  facts: peerFacts(socket),
  chain: chainOf(socket),
  trusted: trustedBy(profile.tls),
  own: clientCertificate(profile.tls),
});

/** Resolves, connects and starts TLS if the endpoint has it. */
export async function openSocket(
  endpoint: Endpoint,
  { profile, targets }: Reachable<TlsProfile>,
  signal: AbortSignal,
): Promise<Socket> {
  const addresses = await resolveHost(endpoint.host, targets, signal);
  const plain = await connectTcp(endpoint, addresses, signal);
  return endpoint.tls ? startTls(plain, endpoint, profile, signal) : plain;
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
