import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { PenstockError } from '../../errors.ts';
import type { Reachable } from '../connector.ts';
import { clientProblem } from './certificate-errors.ts';
import type { CheckSteps, Finding } from './check-steps.ts';
import { forUpTo, untilReported } from './deadline.ts';
import {
  connectTcp,
  type Dialable,
  type Endpoint,
  lastError,
  peerOf,
  resolveHost,
  startTls,
} from './dial.ts';
import { refusedPeer, silence, tlsError } from './socket-errors.ts';
import { clientCertificate, daysToExpiry, distinguishedName, peerFacts, type TlsProfile } from './tls.ts';

/** The steps `resolve → tcp → tls` of a connection test. */

interface DialTest {
  /** Undefined if the address is invalid. `resolve` reports that: `host` throws. */
  endpoint: Endpoint | undefined;
  host(): string;
  reachable: Reachable<TlsProfile>;
  /** Called with every socket as soon as it is open; the caller closes it. */
  opened(socket: Socket): void;
  /** Returns a better error for a server that closes the connection at the start of TLS. */
  whenSilent?(error: PenstockError, addresses: Dialable[], signal: AbortSignal): Promise<unknown>;
}

/** Returns the addresses and the socket, which is undefined if a step failed. */
export async function dialSteps(
  steps: CheckSteps,
  { endpoint, host, reachable, opened, whenSilent }: DialTest,
): Promise<{ addresses: Dialable[]; socket: Socket | undefined }> {
  const { profile, targets } = reachable;
  const target = endpoint as Endpoint;
  const addresses = (await steps.run('resolve', async (signal) => {
    const name = host();
    const found = await resolveHost(name, targets, signal);
    const list = found.map(({ address }) => address);
    const message = `${name} resolves to ${list.join(', ')}`;
    return { value: found, message, details: { host: name, addresses: list } };
  })) as Dialable[];
  const plain = await steps.run('tcp', async (signal) => {
    const socket = await connectTcp(target, addresses, signal);
    opened(socket);
    const { remoteAddress: address, remotePort: port } = socket;
    return { value: socket, message: `Connected to ${address} port ${port}`, details: { address, port } };
  });
  if (!target?.tls) return { addresses, socket: plain };
  const startTlsStep = async (signal: AbortSignal) => {
    const socket = await startTls(plain as Socket, target, profile, signal).catch(async (error: unknown) => {
      throw isSilent(error) && whenSilent ? await whenSilent(error, addresses, signal) : error;
    });
    opened(socket);
    return tlsFinding(socket, profile, target, signal);
  };
  return { addresses, socket: await steps.run('tls', startTlsStep, { late: handshakeLate }) };
}

const handshakeLate = (ms: number): PenstockError =>
  new PenstockError('connection_timeout', `The server did not respond to the TLS handshake within ${ms} ms`, {
    hint: 'The port accepts connections, so no firewall blocks it. Check that it is the TLS port of the server.',
  });

/** Whether the server closed the connection without sending anything. */
export const isSilent = (error: unknown): error is PenstockError =>
  error instanceof PenstockError && error.cause === silence;

/** How long to wait for a TLS 1.3 server to accept the client certificate. */
const acceptanceMs = 300;
const warnDays = 14;

/**
 * Describes an established TLS connection. A TLS 1.3 server checks the client certificate after the client's handshake, so
 * this waits briefly for its session ticket or its alert. Throws `tls_…`.
 */
export async function tlsFinding(
  socket: TLSSocket,
  profile: TlsProfile,
  endpoint: Endpoint,
  signal: AbortSignal,
): Promise<Finding<TLSSocket>> {
  if (socket.getProtocol() === 'TLSv1.3')
    await forUpTo(acceptanceMs, signal, (soon) => acceptance(socket, profile, endpoint, soon));
  const certificate = socket.getPeerCertificate();
  const days = daysToExpiry(certificate);
  const name = certificate.subjectaltname?.slice(0, 200) ?? distinguishedName(certificate.subject);
  const finding: Finding<TLSSocket> = {
    value: socket,
    message: `${socket.getProtocol()} with a certificate for ${name}`,
    details: { ...peerFacts(socket), verified: socket.authorized },
  };
  if (!socket.authorized) {
    const error = socket.authorizationError as unknown as string | NodeJS.ErrnoException;
    const failure = tlsError(
      typeof error === 'string' ? { name: '', message: '', code: error } : error,
      peerOf(socket, profile, endpoint),
    );
    const { message, hint, facts } = failure;
    return {
      ...finding,
      details: { ...finding.details, ...facts },
      code: failure.code,
      message: `${message}. Connected anyway, because insecureSkipVerify is true`,
      ...(hint === undefined ? {} : { hint }),
    };
  }
  const own = clientCertificate(profile.tls);
  const problem = own && clientProblem(own);
  const hints = [
    ...(days > warnDays ? [] : [`The server certificate expires in ${days} days.`]),
    ...(problem === undefined ? [] : [`${problem}. This server has accepted it all the same.`]),
    ...(own === undefined || problem !== undefined || daysToExpiry({ valid_to: own.validTo }) > warnDays
      ? []
      : [`The client certificate expires in ${daysToExpiry({ valid_to: own.validTo })} days.`]),
  ];
  return hints.length === 0 ? finding : { ...finding, hint: hints.join(' ') };
}

const acceptance = (
  socket: TLSSocket,
  profile: TlsProfile,
  endpoint: Endpoint,
  signal: AbortSignal,
): Promise<void> =>
  untilReported<void>(signal, (resolve, reject) => {
    let settled: NodeJS.Immediate | undefined;
    // OpenSSL is still reading when it reports the ticket: data written before it is done is never sent.
    const ticket = () => {
      settled = setImmediate(resolve);
    };
    const closed = () => {
      reject(tlsError(lastError(socket), refusedPeer(endpoint.host, profile)));
    };
    socket.once('session', ticket).once('close', closed);
    return () => {
      clearImmediate(settled);
      socket.off('session', ticket).off('close', closed);
    };
  });
