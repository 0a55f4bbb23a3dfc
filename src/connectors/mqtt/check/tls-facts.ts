import type { PeerCertificate, TLSSocket } from 'node:tls';
import type { Endpoint } from '../config/address.ts';
import { codeOf } from '../config/errors.ts';
import { untilReported, within } from '../connection/deadline.ts';
import { tlsError } from '../connection/socket-errors.ts';
import { daysToExpiry, distinguishedName, peerFacts } from '../connection/tls-peer.ts';
import { lastError } from '../connection/transport.ts';
import type { Finding } from './steps.ts';

/** How long to wait for a TLS 1.3 server to say that it has accepted the client's side. */
const verdictMs = 300;
const soonDays = 14;

/**
 * Describes an established TLS connection. In TLS 1.3 the server judges the client certificate after the handshake is
 * over for the client, so this waits briefly for its session ticket or its alert. Throws `tls_…`.
 */
export async function tlsFinding(
  socket: TLSSocket,
  endpoint: Endpoint,
  signal: AbortSignal,
): Promise<Finding<TLSSocket>> {
  if (socket.getProtocol() === 'TLSv1.3') await acceptedByServer(socket, endpoint, signal);
  const certificate = socket.getPeerCertificate();
  const days = daysToExpiry(certificate);
  const finding: Finding<TLSSocket> = {
    value: socket,
    message: `${socket.getProtocol()} with a certificate for ${named(certificate)}`,
    details: { ...peerFacts(socket), verified: socket.authorized },
  };
  if (!socket.authorized) {
    const error = socket.authorizationError as unknown as string | NodeJS.ErrnoException;
    const why = tlsError(
      typeof error === 'string' ? { name: '', message: '', code: error } : error,
      endpoint.host,
      1,
    );
    return {
      ...finding,
      code: codeOf(why),
      message: `${why.message}; the profile says to connect all the same`,
      ...(why.hint === undefined ? {} : { hint: why.hint }),
    };
  }
  return days > soonDays ? finding : { ...finding, hint: `The server certificate expires in ${days} days.` };
}

async function acceptedByServer(socket: TLSSocket, endpoint: Endpoint, signal: AbortSignal): Promise<void> {
  const enough = new Error('no verdict');
  try {
    await within(
      verdictMs,
      signal,
      () => enough,
      (soon) => verdict(socket, endpoint, soon),
    );
  } catch (error) {
    if (error !== enough) throw error;
  }
}

const verdict = (socket: TLSSocket, endpoint: Endpoint, signal: AbortSignal): Promise<void> =>
  untilReported<void>(signal, (resolve, reject) => {
    let settled: NodeJS.Immediate | undefined;
    // OpenSSL is still reading when it reports the ticket: what is written before it is done is never sent.
    const ticket = () => {
      settled = setImmediate(resolve);
    };
    const closed = () => reject(tlsError(lastError(socket), endpoint.host, 1));
    socket.once('session', ticket).once('close', closed);
    return () => {
      clearImmediate(settled);
      socket.off('session', ticket).off('close', closed);
    };
  });

const named = (certificate: PeerCertificate): string =>
  certificate.subjectaltname?.slice(0, 200) ?? distinguishedName(certificate.subject);
