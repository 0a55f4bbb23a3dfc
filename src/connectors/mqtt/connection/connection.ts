import type { Duplex } from 'node:stream';
import type { IConnackPacket, IDisconnectPacket, MqttClient } from 'mqtt';
import type { ISubackPacket, IUnsubackPacket } from 'mqtt-packet';
import { PenstockError } from '../../../errors.ts';
import { mqttError } from '../config/errors.ts';
import type { Qos } from '../config/qos.ts';
import { hasWildcard, isShared } from '../config/topic.ts';
import { untilReported } from './deadline.ts';
import { disconnected, sharedUnsupported, subscribeRefused, unsubscribeRefused } from './reasons.ts';
import { isTlsReason, tlsError } from './socket-errors.ts';
import { hungUp, takenOver } from './takeover.ts';

/** What the broker allows, from its CONNACK (MQTT 5); for 3.1.1 what that version implies. */
export interface Limits {
  sessionPresent: boolean;
  /** Most QoS 1 and 2 messages that the broker takes unacknowledged. */
  receiveMaximum: number;
  maximumQos: Qos;
  retain: boolean;
  wildcards: boolean;
  shared: boolean;
  /** In bytes. */
  maximumPacketSize: number;
}

/** MQTT 5, section 3.8.3.1. */
const retainHandling = { always: 0, when_new: 1, never: 2 } as const;

const sessionTakenOver = 0x8e;
const closeTimeoutMs = 2_000;
const largestPacket = 268_435_460;

/** One MQTT connection, from the socket to its end. */
export class Connection {
  readonly client: MqttClient;
  readonly version: 4 | 5;
  /** Names the session where this process remembers things of it. */
  readonly identity: string;
  limits: Limits = limitsOf(undefined, 5);
  /** What the broker said in its CONNACK beside the limits; undefined before it came. */
  connack: IConnackPacket | undefined;
  readonly #socket: Duplex;
  #onLost: ((error: PenstockError) => void) | undefined;
  #reason: PenstockError | undefined;
  #lost: PenstockError | undefined;
  #open = false;
  #ending: Promise<void> | undefined;

  constructor(client: MqttClient, socket: Duplex, version: 4 | 5, identity: string) {
    this.client = client;
    this.version = version;
    this.#socket = socket;
    this.identity = identity;
    client.on('error', this.#failed).on('disconnect', this.#told).on('close', this.#closed);
  }

  /** The broker has accepted: from now on a closed connection is a lost one. */
  opened(connack: IConnackPacket): void {
    this.limits = limitsOf(connack, this.version);
    this.connack = connack;
    this.#open = true;
  }

  /** Calls back once when the connection is lost, at once if it is already; not when it is closed from here. */
  whenLost(callback: (error: PenstockError) => void): void {
    this.#onLost = callback;
    if (this.#lost) callback(this.#lost);
  }

  /**
   * Subscribes and answers the granted QoS. Throws `mqtt_subscribe_refused` or `mqtt_shared_unsupported`. `retained` says when the broker is to send
   * what it has kept (MQTT 5). The caller's signal is the deadline.
   */
  async subscribe(
    filter: string,
    qos: Qos,
    signal: AbortSignal,
    retained: keyof typeof retainHandling = 'when_new',
  ): Promise<Qos> {
    if (isShared(filter) && !this.limits.shared) throw sharedUnsupported(filter);
    if (hasWildcard(filter) && !this.limits.wildcards) throw subscribeRefused(filter, 162);
    const suback = await this.#subscribe(filter, { qos, rh: retainHandling[retained] }, signal);
    const [granted = 128] = suback.granted as number[];
    if (granted >= 128) throw subscribeRefused(filter, granted, suback.properties?.reasonString);
    return granted as Qos;
  }

  /** Takes subscriptions back; one that there is not is no error. Throws `mqtt_subscribe_refused`. */
  async unsubscribe(filters: readonly string[], signal: AbortSignal): Promise<void> {
    if (filters.length === 0) return;
    const unsuback = await untilReported<IUnsubackPacket>(signal, (resolve, reject) => {
      this.client.unsubscribe([...filters], (error, packet) => {
        if (packet) resolve(packet as IUnsubackPacket);
        else reject(this.#lostBecause(error));
      });
      return () => undefined;
    });
    const answers = (unsuback.granted ?? []) as number[];
    const at = answers.findIndex((code) => code >= 128);
    if (at >= 0) throw unsubscribeRefused(filters[at] ?? '', answers[at] ?? 128);
  }

  /** Resolves when the broker has answered a PINGREQ: it has handled all that was sent before. */
  ping(signal: AbortSignal): Promise<void> {
    return untilReported<void>(signal, (resolve) => {
      const seen = ({ cmd }: { cmd: string }) => {
        if (cmd === 'pingresp') resolve();
      };
      this.client.on('packetreceive', seen);
      this.client.sendPing();
      return () => void this.client.off('packetreceive', seen);
    });
  }

  /** Ends the connection with a DISCONNECT that leaves the session as it is. Complete when it resolves; never throws. */
  close(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  /** Cuts the connection without a word. Complete when it resolves; never throws. */
  destroy(): Promise<void> {
    this.#ending ??= this.#closedAfter(() => this.#socket.destroy());
    this.#socket.destroy();
    return this.#ending;
  }

  #subscribe(
    filter: string,
    { qos, rh }: { qos: Qos; rh: 0 | 1 | 2 },
    signal: AbortSignal,
  ): Promise<ISubackPacket> {
    return untilReported<ISubackPacket>(signal, (resolve, reject) => {
      const options = this.version === 5 ? { qos, rh } : { qos };
      this.client.subscribe(filter, options, (error, _grants, suback) => {
        if (suback) resolve(suback);
        else reject(this.#lostBecause(error));
      });
      return () => undefined;
    });
  }

  #lostBecause(cause: unknown): PenstockError {
    return this.#lost ?? new PenstockError('connection_lost', 'The connection was lost', { cause });
  }

  async #end(): Promise<void> {
    const pending = Object.keys(this.client.outgoing).length > 0;
    if (!this.#open || this.#lost || pending) return this.#closedAfter(() => this.#socket.destroy());
    await this.#closedAfter(() => {
      // Nothing more is handled, but reading goes on, so that the broker's own end of the connection is seen.
      this.#socket.unpipe();
      this.#socket.resume();
      this.client.end(false);
    });
  }

  async #closedAfter(act: () => void): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      if (this.#socket.closed) resolve();
      else this.#socket.once('close', () => resolve());
    });
    const timer = setTimeout(() => this.#socket.destroy(), closeTimeoutMs);
    act();
    await closed;
    clearTimeout(timer);
    this.client.off('disconnect', this.#told).off('close', this.#closed);
  }

  readonly #told = (packet: IDisconnectPacket): void => {
    const code = packet.reasonCode ?? 0;
    this.#reason =
      code === sessionTakenOver
        ? takenOver(this.identity)
        : disconnected(code, packet.properties?.reasonString);
    this.#socket.destroy();
  };

  readonly #failed = (error: Error): void => {
    this.#reason ??= translate(error);
    if (this.#open && !this.#ending) this.#socket.destroy();
  };

  readonly #closed = (): void => {
    if (!this.#open || this.#ending || this.#lost) return;
    this.#lost = this.#reason ?? closedSilently(hungUp(this.identity));
    this.#onLost?.(this.#lost);
  };
}

/** The cause of an error that says that the other end closed the connection without a word. */
const hangUp = new Error('closed by the other end');

/** Brokers that say nothing when another client takes over a session (mosquitto 2.0, all of 3.1.1) end up here too. */
const closedSilently = (times: number): PenstockError =>
  new PenstockError(
    'connection_lost',
    times < 2
      ? 'The broker closed the connection'
      : `The broker closed the connection, ${times} times within a minute`,
    {
      hint: 'If this happens again and again, look for another client with the same client id, and into the log of the broker.',
      cause: hangUp,
    },
  );

/** Whether the other end closed the connection of its own will, which loses a reset what it has not read. */
export function closedByPeer({ cause }: PenstockError): boolean {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return cause === hangUp || code === 'ECONNRESET' || code === 'EPIPE';
}

/** An error of MQTT.js on an open connection: of the socket, of its parser, or of what a packet said. */
function translate(error: Error & { code?: unknown }): PenstockError {
  const { code } = error;
  if (error.message === 'Keepalive timeout') {
    return new PenstockError('connection_lost', 'The broker did not answer PINGREQ in time', {
      cause: error,
    });
  }
  if (code === 149) {
    return mqttError('mqtt_packet_too_large', 'The broker sent a packet larger than maxPacketSize');
  }
  if (typeof code === 'string') {
    if (isTlsReason(error as NodeJS.ErrnoException)) return tlsError(error as NodeJS.ErrnoException, '', 1);
    return new PenstockError('connection_lost', `The connection was lost (${code})`, { cause: error });
  }
  return mqttError('mqtt_protocol_error', `The broker broke the MQTT protocol: ${error.message}`, {
    cause: error,
  });
}

function limitsOf(connack: IConnackPacket | undefined, version: 4 | 5): Limits {
  const said = version === 5 ? connack?.properties : undefined;
  return {
    sessionPresent: connack?.sessionPresent ?? false,
    receiveMaximum: said?.receiveMaximum ?? 65_535,
    maximumQos: (said?.maximumQoS ?? 2) as Qos,
    retain: said?.retainAvailable ?? true,
    wildcards: said?.wildcardSubscriptionAvailable ?? true,
    shared: said?.sharedSubscriptionAvailable ?? true,
    maximumPacketSize: said?.maximumPacketSize ?? largestPacket,
  };
}
