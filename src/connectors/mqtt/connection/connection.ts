import type { Duplex } from 'node:stream';
import type { IConnackPacket, IDisconnectPacket, MqttClient } from 'mqtt';
import type { ISubackPacket, IUnsubackPacket } from 'mqtt-packet';
import { PenstockError } from '../../../errors.ts';
import { untilReported } from '../../network/deadline.ts';
import { isTlsReason, someTlsPeer, tlsError } from '../../network/socket-errors.ts';
import { mqttError } from '../config/errors.ts';
import { hasWildcard, isShared, type Qos } from '../config/topic.ts';
import { countHangUp, takenOver } from './broker-memory.ts';
import { type BrokerLimits, limitsOf } from './limits.ts';
import {
  disconnected,
  packetTooLarge,
  sharedUnsupported,
  subscribeRefused,
  unsubscribeRefused,
} from './reason-codes.ts';
import { RecentBytes } from './recent-bytes.ts';
import { type Asked, closedAfterLogin, closedInstead } from './requests.ts';

/** MQTT 5, section 3.8.3.1. */
const retainHandling = { always: 0, when_new: 1, never: 2 } as const;

const sessionTakenOver = 0x8e;
const noSubscriptionExisted = 0x11;
const closeTimeoutMs = 2_000;

export class Connection {
  readonly client: MqttClient;
  readonly version: 4 | 5;
  /** `client id@url`: the key of this session in `broker-memory.ts`. */
  readonly identity: string;
  limits: BrokerLimits;
  connack: IConnackPacket | undefined;
  readonly #socket: Duplex;
  #onLost: ((error: PenstockError) => void) | undefined;
  #reason: PenstockError | undefined;
  #lost: PenstockError | undefined;
  #open = false;
  #ending: Promise<void> | undefined;
  /** Returns the request whose response is due, if any. */
  asked: () => Asked | undefined = () => undefined;
  /** Why the connection uses 3.1.1 although MQTT 5 was tried. */
  fallback: 'refused' | 'closed' | 'silent' | undefined;
  readonly #recent: RecentBytes;
  readonly #probe: boolean;
  #last: Asked | undefined;

  /** `probe`: the client id is random. */
  constructor(client: MqttClient, socket: Duplex, version: 4 | 5, identity: string, probe = false) {
    this.client = client;
    this.#probe = probe;
    this.version = version;
    this.limits = limitsOf(undefined, version, client.options);
    this.#socket = socket;
    this.identity = identity;
    this.#recent = new RecentBytes(socket);
    client.on('error', this.#failed).on('disconnect', this.#disconnected).on('close', this.#closed);
  }

  /** Called when the broker has accepted. From now on a closed connection counts as lost. */
  opened(connack: IConnackPacket): void {
    this.limits = limitsOf(connack, this.version, this.client.options);
    this.connack = connack;
    this.#open = true;
  }

  /** Calls back once when the connection is lost, now if it already is; not when it is closed from here. */
  whenLost(callback: (error: PenstockError) => void): void {
    this.#onLost = callback;
    if (this.#lost) callback(this.#lost);
  }

  /**
   * Subscribes and returns the granted QoS. `retained` says when to send retained messages (MQTT 5). `signal` is the
   * deadline. Throws `mqtt_subscribe_refused` or `mqtt_shared_unsupported`.
   */
  async subscribe(
    filter: string,
    qos: Qos,
    signal: AbortSignal,
    retained: keyof typeof retainHandling = 'when_new',
  ): Promise<Qos> {
    if (isShared(filter) && !this.limits.shared) throw sharedUnsupported(filter);
    if (hasWildcard(filter) && !this.limits.wildcards) throw subscribeRefused(filter, 162);
    const options = this.version === 5 ? { qos, rh: retainHandling[retained] } : { qos };
    const suback = await this.#response<ISubackPacket>(
      { packet: 'SUBSCRIBE', topic: filter, qos },
      signal,
      (done) => this.client.subscribe(filter, options, (error, _grants, packet) => done(error, packet)),
    );
    const codes = suback.granted as number[];
    if (codes.length !== 1) throw this.#violated(`The SUBACK has ${codes.length} codes for one subscription`);
    const [granted = 128] = codes;
    if (granted >= 128) throw subscribeRefused(filter, granted, suback.properties?.reasonString);
    return granted as Qos;
  }

  /**
   * Removes subscriptions. Returns whether all were there, as far as the broker says so (MQTT 5); a missing one is not an
   * error. Throws `mqtt_subscribe_refused`.
   */
  async unsubscribe(filters: readonly string[], signal: AbortSignal): Promise<boolean> {
    if (filters.length === 0) return true;
    const unsuback = await this.#response<IUnsubackPacket>(
      { packet: 'UNSUBSCRIBE', topic: filters.join(', '), qos: 0 },
      signal,
      (done) =>
        this.client.unsubscribe([...filters], (error, packet) => done(error, packet as IUnsubackPacket)),
    );
    const codes = (unsuback.granted ?? []) as number[];
    const at = codes.findIndex((code) => code >= 128);
    if (at >= 0) throw unsubscribeRefused(filters[at] ?? '', codes[at] ?? 128);
    return !codes.includes(noSubscriptionExisted);
  }

  /** Says that the broker has responded to the last request. */
  responded(asked: Asked): void {
    this.asked = () => undefined;
    this.#last = asked;
  }

  /** Sends a PINGREQ. Resolves at its PINGRESP: the broker has handled everything sent before. */
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

  /** Disconnects with a DISCONNECT, which keeps the session. Resolves when the socket is closed; never throws. */
  close(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  /** Destroys the socket without a DISCONNECT. Resolves when it is closed; never throws. */
  destroy(): Promise<void> {
    this.#ending ??= this.#closedAfter(() => this.#socket.destroy());
    this.#socket.destroy();
    return this.#ending;
  }

  async #response<P>(
    asked: Asked,
    signal: AbortSignal,
    request: (done: (cause: unknown, packet: P | undefined) => void) => void,
  ): Promise<P> {
    if (this.#lost) throw this.#lost;
    const before = this.asked;
    this.asked = () => asked;
    this.#recent.keep();
    try {
      return await untilReported<P>(signal, (resolve, reject) => {
        request((cause, packet) => {
          if (packet) resolve(packet);
          else if (this.#lost) reject(this.#lost);
          else
            setImmediate(() =>
              reject(
                this.#lost ??
                  this.#reason ??
                  new PenstockError('connection_lost', 'The connection was lost', { cause }),
              ),
            );
        });
      });
    } finally {
      this.#recent.forget();
      this.asked = before;
      this.#last = asked;
    }
  }

  async #end(): Promise<void> {
    const pending = Object.keys(this.client.outgoing).length > 0;
    if (!this.#open || this.#lost || pending) return this.#closedAfter(() => this.#socket.destroy());
    await this.#closedAfter(() => {
      // Data is discarded but still read, so that the broker's end of the connection is noticed.
      this.#socket.unpipe();
      this.#socket.resume();
      this.client.end(false, this.#farewell());
    });
  }

  /** A probe client leaves no session, also if it asked for one. */
  #farewell(): object {
    const ends = this.#probe && this.version === 5 && (this.limits.sessionExpirySecs ?? 0) > 0;
    return ends ? { properties: { sessionExpiryInterval: 0 } } : {};
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
    this.client.off('disconnect', this.#disconnected).off('close', this.#closed);
  }

  readonly #disconnected = (packet: IDisconnectPacket): void => {
    // MQTT 3.1.1 has no DISCONNECT of a server, but some send one, with or without a code.
    const code = packet.reasonCode ?? this.#recent.disconnectCode() ?? 0;
    this.#reason =
      code === sessionTakenOver
        ? takenOver(this.identity)
        : disconnected(code, packet.properties ?? {}, this.asked());
    this.#socket.destroy();
  };

  readonly #failed = (error: Error): void => {
    this.#reason ??= this.#refusedWithUnknownCode(error) ?? translate(error);
    if (this.#open && !this.#ending) this.#socket.destroy();
  };

  #violated(what: string): PenstockError {
    this.#reason ??= violation(what);
    this.#socket.destroy();
    return this.#reason;
  }

  /** MQTT.js takes a SUBACK whose code the MQTT version does not have for a violation of the protocol. */
  #refusedWithUnknownCode(error: Error): PenstockError | undefined {
    const asked = this.asked();
    if (asked?.packet !== 'SUBSCRIBE' || !error.message.startsWith('Invalid suback')) return undefined;
    const code = this.#recent.subackCode(this.client.getLastMessageId());
    return code === undefined || code < 128 ? undefined : subscribeRefused(asked.topic, code);
  }

  #closedWithoutReason(times: number): PenstockError {
    const asked = this.asked();
    if (asked) return closedInstead(asked, this.version, hangUp);
    if (!this.#probe) return closedSilently(times);
    return this.#last ? closedInstead(this.#last, this.version, hangUp, 'after') : closedAfterLogin(hangUp);
  }

  readonly #closed = (): void => {
    if (!this.#open || this.#ending || this.#lost) return;
    const times = countHangUp(this.identity);
    this.#lost = this.#reason ?? this.#closedWithoutReason(times);
    this.#onLost?.(this.#lost);
  };
}

/** The cause of an error for a connection that the broker closed without a DISCONNECT. */
const hangUp = new Error('closed by the broker');

/** A takeover too, if the broker does not report it (mosquitto 2.0, every broker with 3.1.1). */
const closedSilently = (times: number): PenstockError =>
  new PenstockError(
    'connection_lost',
    times < 2
      ? 'The broker closed the connection'
      : `The broker closed the connection ${times} times within a minute`,
    {
      hint: 'If this keeps happening, check the log of the broker, and look for another client with the same client id.',
      cause: hangUp,
    },
  );

/** Whether the broker closed the connection. A reset counts: it is what a close with unread data becomes. */
export function closedByPeer({ cause }: PenstockError): boolean {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return cause === hangUp || code === 'ECONNRESET' || code === 'EPIPE';
}

/** Translates an error of MQTT.js on an open connection: from the socket, the parser or a packet. */
function translate(error: Error & { code?: unknown }): PenstockError {
  const { code } = error;
  if (error.message === 'Keepalive timeout')
    return new PenstockError('connection_lost', 'The broker did not respond to a PINGREQ in time', {
      cause: error,
    });
  if (code === 149) return packetTooLarge();
  if (typeof code === 'string') {
    if (isTlsReason(error as NodeJS.ErrnoException))
      return tlsError(error as NodeJS.ErrnoException, someTlsPeer());
    return new PenstockError('connection_lost', `The connection was lost (${code})`, { cause: error });
  }
  return violation(error.message, error);
}

export const violation = (what: string, cause?: unknown): PenstockError =>
  mqttError('mqtt_protocol_error', `The broker violated the MQTT protocol: ${what}`, {
    hint: 'The broker, or a proxy before it, sends what MQTT does not allow. Update it, or set protocolVersion to the other version.',
    cause,
  });
