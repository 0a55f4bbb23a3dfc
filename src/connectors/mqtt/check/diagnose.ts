import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { PenstockError } from '../../../errors.ts';
import type { Endpoint } from '../config/address.ts';
import { mqttError } from '../config/errors.ts';
import { untilReported } from '../connection/deadline.ts';
import { connectTcp, type Dialable } from '../connection/transport.ts';

/**
 * A server that closes the connection without a word may be broken, or be spoken to in the wrong way. Only a
 * connection test asks again in the other way, to be sure before it says so. No credentials are sent.
 */

/** A 3.1.1 CONNECT with a clean session and an empty client id: any MQTT server answers it with a CONNACK. */
const anonymousConnect = Buffer.from([0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 10, 0, 0]);
const connack = 0x20;

/** After TLS was met with silence: `tls_not_spoken` if the port answers MQTT without TLS, else `error`. */
export async function diagnosePlain(
  error: PenstockError,
  endpoint: Endpoint,
  addresses: Dialable[],
  signal: AbortSignal,
): Promise<PenstockError> {
  const socket = await again(endpoint, addresses, signal);
  if (!socket) return error;
  const answers = await yields(socket, signal, (found) => {
    socket.once('data', (chunk: Buffer) => found(chunk[0] === connack));
    socket.write(anonymousConnect);
  });
  if (!answers) return error;
  return new PenstockError('tls_not_spoken', 'The server speaks MQTT on this port, but without TLS', {
    hint: 'Use mqtt:// for this port, or the port that has TLS (usually 8883).',
  });
}

/** After CONNECT was met with silence: `mqtt_not_spoken` if the port speaks TLS, else `error`. */
export async function diagnoseTls(
  error: PenstockError,
  endpoint: Endpoint,
  addresses: Dialable[],
  signal: AbortSignal,
): Promise<PenstockError> {
  // Nothing is sent over this connection: whether the certificate can be trusted does not matter.
  const plain = await again(endpoint, addresses, signal);
  if (!plain) return error;
  const socket = connectTls({ socket: plain, rejectUnauthorized: false });
  const answers = await yields(socket, signal, (found) => {
    socket.once('secureConnect', () => found(true));
  });
  if (!answers) return error;
  return mqttError('mqtt_not_spoken', 'The server expects TLS on this port', {
    hint: 'Use mqtts:// instead of mqtt://.',
  });
}

/** Undefined when nobody answers any more. */
async function again(
  endpoint: Endpoint,
  addresses: Dialable[],
  signal: AbortSignal,
): Promise<Socket | undefined> {
  try {
    return await connectTcp(endpoint, addresses, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof PenstockError) return undefined;
    throw error;
  }
}

async function yields(
  socket: Socket,
  signal: AbortSignal,
  look: (found: (answer: boolean) => void) => void,
): Promise<boolean> {
  try {
    return await untilReported<boolean>(signal, (resolve) => {
      const failed = () => resolve(false);
      socket.on('error', failed).once('close', failed);
      look(resolve);
      return () => undefined;
    });
  } finally {
    socket.destroy();
  }
}
