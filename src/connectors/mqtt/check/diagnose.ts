import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { PenstockError } from '../../../errors.ts';
import { untilReported } from '../../network/deadline.ts';
import { connectTcp, type Dialable } from '../../network/dial.ts';
import type { BrokerEndpoint } from '../config/broker-url.ts';
import { tlsExpected } from '../connection/login.ts';

/** A 3.1.1 CONNECT with a clean session and an empty client id: any MQTT server responds with a CONNACK. */
const anonymousConnect = Buffer.from([0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 10, 0, 0]);
const connack = 0x20;

/**
 * Connects a second time, without TLS if the URL asks for TLS and with TLS if not, after the server closed the first
 * connection without a response. Sends no credentials. Returns `tls_not_spoken` or `mqtt_not_spoken` if the port works
 * that way; otherwise `error`.
 */
export async function diagnose(
  error: PenstockError,
  endpoint: BrokerEndpoint,
  addresses: Dialable[],
  signal: AbortSignal,
): Promise<PenstockError> {
  const plain = await connectTcp(endpoint, addresses, signal).catch(unlessUnknown);
  signal.throwIfAborted();
  if (plain === undefined) return error;
  if (!endpoint.tls) {
    // No data is sent, so the certificate need not be verified.
    const secure = connectTls({ socket: plain, rejectUnauthorized: false });
    const speaksTls = await reports(secure, signal, (found) =>
      secure.once('secureConnect', () => found(true)),
    );
    return speaksTls ? tlsExpected() : error;
  }
  const speaksMqtt = await reports(plain, signal, (found) => {
    plain.once('data', (chunk: Buffer) => found(chunk[0] === connack));
    plain.write(anonymousConnect);
  });
  if (!speaksMqtt) return error;
  return new PenstockError('tls_not_spoken', 'The server speaks MQTT without TLS on this port', {
    hint: 'Use mqtt:// for this port, or the TLS port of the broker (usually 8883).',
  });
}

const unlessUnknown = (error: unknown): undefined => {
  if (!(error instanceof PenstockError)) throw error;
};

/** Returns the result of `look`, or false if the socket closes first. Destroys the socket. */
async function reports(
  socket: Socket,
  signal: AbortSignal,
  look: (found: (value: boolean) => void) => void,
): Promise<boolean> {
  try {
    return await untilReported<boolean>(signal, (resolve) => {
      const failed = () => resolve(false);
      socket.on('error', failed).once('close', failed);
      look(resolve);
    });
  } finally {
    socket.destroy();
  }
}
