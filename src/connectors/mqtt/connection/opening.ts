import type { Duplex } from 'node:stream';
import type { PenstockError } from '../../../errors.ts';
import { mqttError } from '../config/errors.ts';
import { connectRefused } from './reasons.ts';

/** Looks at the first bytes a server sends, to say what it speaks if that is not the MQTT we asked for. */
export class Opening {
  #bytes: Buffer = Buffer.alloc(0);
  readonly #socket: Duplex;

  constructor(socket: Duplex) {
    this.#socket = socket;
    socket.on('data', this.#look);
  }

  stop(): void {
    this.#socket.off('data', this.#look);
  }

  /** What the bytes say against the connection; undefined when there are none, or they begin like a CONNACK. */
  verdict(version: 4 | 5): PenstockError | undefined {
    const [first, length, , code] = this.#bytes;
    if (first === undefined) return undefined;
    // A server that knows no MQTT 5 answers in 3.1.1: no properties, and other codes.
    if (first === 0x20 && length === 2 && version === 5) return connectRefused(code || 1, 4);
    if (first === 0x20) return this.#broken('The CONNACK of the server is malformed');
    if (first === 0x15 && length === 3) {
      return notSpoken('The server expects TLS on this port', 'Use mqtts:// instead of mqtt://.');
    }
    if (this.#bytes.toString('latin1').startsWith('HTTP')) {
      return notSpoken(
        'The server speaks HTTP on this port',
        'Use the port that the broker has for MQTT, often 1883 or 8883, or ws:// if this is the one for WebSocket.',
      );
    }
    return notSpoken(
      'The server answers in something that is not MQTT',
      'Check the port: MQTT is often on 1883 or 8883.',
    );
  }

  readonly #look = (chunk: Buffer): void => {
    this.#bytes = Buffer.concat([this.#bytes, chunk.subarray(0, 8)]);
    if (this.#bytes.length >= 8) this.stop();
  };

  #broken(message: string): PenstockError {
    return mqttError('mqtt_protocol_error', message);
  }
}

const notSpoken = (message: string, hint: string): PenstockError =>
  mqttError('mqtt_not_spoken', message, { hint });
