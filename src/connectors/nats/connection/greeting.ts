import type { Socket } from 'node:net';
import type { ServerInfo } from '@nats-io/transport-node';
import { PenstockError } from '../../../errors.ts';
import type { Reachable } from '../../connector.ts';
import { untilReported } from '../../network/deadline.ts';
import { connectTcp, lastError, resolveHost, startTls } from '../../network/dial.ts';
import { socketError } from '../../network/socket-errors.ts';
import { natsError } from '../config/errors.ts';
import { type NatsProfile, type NatsServer, requiresTls } from '../config/profile.ts';

/** The first line of a NATS server: INFO, before TLS begins. */

/** A connection on which the server has introduced itself. */
export interface Greeted {
  /** Paused. With TLS if the profile or the server wants it. */
  socket: Socket;
  info: ServerInfo;
  /** The line that the library wants to read. */
  line: Buffer;
}

/** INFO of a large cluster names all its servers. */
const maxInfo = 1024 * 1024;

/** Resolves, connects, reads INFO and starts TLS. Throws what dialling throws, and `nats_not_spoken`. */
export async function greet(
  server: NatsServer,
  reachable: Reachable<NatsProfile>,
  signal: AbortSignal,
): Promise<Greeted> {
  const addresses = await resolveHost(server.host, reachable.targets, signal);
  const plain = await connectTcp(server, addresses, signal);
  if (reachable.profile.tlsFirst)
    return readInfo(await startTls(plain, server, reachable.profile, signal), server, signal);
  const greeted = await readInfo(plain, server, signal);
  if (!wantsTls(reachable.profile, server, greeted)) return greeted;
  return { ...greeted, socket: await startTls(plain, server, reachable.profile, signal) };
}

/** Whether TLS begins after INFO. Throws `tls_not_spoken` if the profile requires it and the server has none. */
export function wantsTls(profile: NatsProfile, server: NatsServer, { socket, info }: Greeted): boolean {
  if (info.tls_required || info.tls_available) return true;
  if (!requiresTls(profile, server)) return false;
  socket.destroy();
  throw new PenstockError('tls_not_spoken', `${server.name} does not offer TLS`, {
    hint: 'Enable TLS on the server. Without tls:// and certificates in the profile the connection is not encrypted.',
  });
}

/** Reads the first line of the server. The socket is closed if it is not INFO. */
export async function readInfo(socket: Socket, server: NatsServer, signal: AbortSignal): Promise<Greeted> {
  try {
    const line = await firstLine(socket, server, signal);
    const [, json] = /^INFO\s+(\{.*\})\s*$/is.exec(line.toString()) ?? [];
    if (json === undefined) throw notSpoken(server);
    return { socket, info: JSON.parse(json) as ServerInfo, line };
  } catch (error) {
    socket.destroy();
    throw error instanceof SyntaxError ? notSpoken(server) : error;
  }
}

function firstLine(socket: Socket, server: NatsServer, signal: AbortSignal): Promise<Buffer> {
  let read = Buffer.alloc(0);
  return untilReported<Buffer>(signal, (resolve, reject) => {
    const data = (chunk: Buffer) => {
      read = Buffer.concat([read, chunk]);
      const end = read.indexOf('\n');
      const begins = read.subarray(0, 4).toString().toUpperCase();
      if (!'INFO'.startsWith(begins) || (end < 0 && read.length > maxInfo)) reject(notSpoken(server));
      if (end < 0) return;
      socket.pause();
      // Nothing follows before CONNECT; what came before TLS would not be trustworthy.
      resolve(read.subarray(0, end + 1));
    };
    const closed = () => reject(socketError(lastError(socket), server));
    socket.on('data', data).once('close', closed);
    return () => socket.off('data', data).off('close', closed);
  });
}

const notSpoken = (server: NatsServer): PenstockError =>
  natsError('nats_not_spoken', `${server.name} does not introduce itself as a NATS server does`, {
    hint: 'Use the port for clients, usually 4222. If the server begins with TLS, set tlsFirst.',
  });
