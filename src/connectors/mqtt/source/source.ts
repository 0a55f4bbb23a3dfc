import { setTimeout as pause } from 'node:timers/promises';
import type { MqttClient } from 'mqtt';
import { PenstockError } from '../../../errors.ts';
import type { Delivery, FoundSession, RunContext, Source } from '../../connector.ts';
import { mqttError } from '../config/errors.ts';
import { clientId } from '../config/identity.ts';
import type { MqttProfile } from '../config/profile.ts';
import { type MqttTable, sourceOf } from '../config/table.ts';
import { DeferredAcks } from '../connection/acks.ts';
import { connect } from '../connection/client.ts';
import type { Connection } from '../connection/connection.ts';
import { untilReported, within } from '../connection/deadline.ts';
import type { MqttDelivery } from '../connection/delivery.ts';
import { subscribeAs, unsubscribe } from './subscription.ts';

const week = 604_800;
/** A session that brought nothing for so long, with all acknowledged, is taken for empty. */
const quietMs = 1_000;
/** A session to which more comes than is read is unsubscribed after so long all the same. */
const catchUpMs = 60_000;

/** Connects with the identity's session and subscribes. See `openSource` in the connector contract. */
export async function openSource(context: RunContext<MqttProfile, MqttTable>): Promise<Source> {
  const source = new MqttSource(context);
  await source.open();
  return source;
}

/**
 * Removes the session that a source left on the broker, with the messages queued in it. Throws like connecting does.
 */
export async function forget(
  context: Omit<RunContext<MqttProfile, MqttTable>, 'window' | 'warn'>,
): Promise<void> {
  const { profile, targets, identity, signal } = context;
  const connection = await connect({
    profile,
    targets,
    clientId: clientId(profile, identity),
    clean: true,
    sessionExpirySecs: 0,
    signal,
  });
  await connection.close();
}

class MqttSource implements Source {
  readonly #context: RunContext<MqttProfile, MqttTable>;
  #connection: Connection | undefined;
  #acks: DeferredAcks | undefined;
  #arrived: MqttDelivery[] = [];
  /** Wakes the iteration, when it waits. */
  #wake: (() => void) | undefined;
  #failure: unknown;
  #ended = false;
  /** Resolves `open` when the window fills up before SUBACK has been read. */
  #flowing: (() => void) | undefined;
  session: FoundSession | undefined;
  readonly #whenSettled: Promise<void>;
  readonly #settled: () => void;
  #received = 0;
  #heardAt = 0;

  constructor(context: RunContext<MqttProfile, MqttTable>) {
    this.#context = context;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#whenSettled = promise;
    this.#settled = resolve;
  }

  async open(): Promise<void> {
    const { profile, targets, identity, session, window, signal } = this.#context;
    try {
      this.#connection = await connect({
        profile,
        targets,
        clientId: clientId(profile, identity),
        clean: false,
        sessionExpirySecs: profile.sessionExpirySecs ?? week,
        receiveMaximum: window,
        signal,
        prepare: (client) => this.#takeOver(client),
      });
      signal.addEventListener('abort', this.#aborted, { once: true });
      this.#connection.whenLost((error) => this.#fail(error));
      this.#found(this.#connection);
      if (session?.windUp) this.#windUp(this.#connection).catch((error: unknown) => this.#fail(error));
      else await this.#subscribed(this.#connection);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Delivery[]> {
    while (true) {
      if (this.#arrived.length > 0) {
        const batch = this.#arrived;
        this.#arrived = [];
        yield batch;
      } else if (this.#failure !== undefined) {
        throw this.#failure;
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  async drain(): Promise<void> {
    this.#ended = true;
    this.#acks?.stop();
    this.#wake?.();
  }

  async close(): Promise<void> {
    this.#ended = true;
    this.#context.signal.removeEventListener('abort', this.#aborted);
    this.#acks?.stop();
    this.#acks?.queue.flush();
    this.#acks?.abandon();
    this.#arrived = [];
    this.#wake?.();
    await this.#connection?.close();
  }

  #found({ limits: { sessionPresent } }: Connection): void {
    const { profile, session, warn } = this.#context;
    this.session = { resumed: sessionPresent, settled: this.#whenSettled };
    if (sessionPresent || !session?.known) return;
    const days = (profile.sessionExpirySecs ?? week) / 86_400;
    warn(
      mqttError('mqtt_session_lost', 'The broker has forgotten the session, and what was queued in it', {
        hint:
          'Let the broker save its sessions across restarts (mosquitto: persistence true), and keep them as long as a ' +
          `pipeline may be away: the profile asks for ${Number(days.toFixed(2))} days (sessionExpirySecs).`,
      }),
    );
  }

  #takeOver(client: MqttClient): void {
    this.#acks?.abandon();
    const { window, profile, table } = this.#context;
    const never = sourceOf(table)?.retained === 'never';
    const most = profile.maxPacketSize ?? Number.POSITIVE_INFINITY;
    const acks: DeferredAcks = new DeferredAcks(client, window, (delivery) => {
      this.#received += 1;
      this.#heardAt = performance.now();
      if (delivery.payload.length > most) {
        this.#fail(mqttError('mqtt_packet_too_large', 'The broker sent a message larger than maxPacketSize'));
        return;
      }
      // MQTT 3.1.1 has no way to tell the broker that they are not wanted.
      if (never && delivery.retained) {
        delivery.ack();
      } else {
        this.#arrived.push(delivery);
        this.#wake?.();
      }
      if (acks.queue.full) this.#flowing?.();
    });
    this.#acks = acks;
  }

  /**
   * Waits until the session is subscribed as it should be. The broker may fill the window before its SUBACK; then the
   * answer is looked at when it comes.
   */
  async #subscribed(connection: Connection): Promise<void> {
    const { profile, signal } = this.#context;
    const ms = profile.connectTimeoutMs ?? 10_000;
    const late = () => new PenstockError('connection_timeout', `No SUBACK within ${ms} ms`);
    const bound = subscribeAs(this.#context, connection);
    bound.then(this.#settled, () => {});
    const inTime = within(ms, signal, late, (soon) =>
      untilReported<void>(soon, (resolve, reject) => {
        bound.then(resolve, reject);
        return () => undefined;
      }),
    );
    const flowing = new Promise<'flowing'>((resolve) => {
      this.#flowing = () => resolve('flowing');
      if (this.#acks?.queue.full === true) resolve('flowing');
    });
    const first = await Promise.race([inTime, flowing]);
    this.#flowing = undefined;
    if (this.#failure !== undefined) throw this.#failure;
    if (first !== 'flowing') return;
    // The answer waits behind messages that nobody has room for yet; how long that takes is the sink's business.
    inTime.catch(() => {});
    bound.catch((error: unknown) => this.#fail(error));
  }

  /**
   * Ends the iteration when the broker has nothing more for a session that is subscribed to nothing: all that came is
   * acknowledged, the broker has seen that, and for a while nothing else came. A broker may drop what it has queued for
   * a shared subscription when its last member leaves (MQTT 4.8.2), so that is read before.
   */
  async #windUp(connection: Connection): Promise<void> {
    const { signal } = this.#context;
    await this.#caughtUp(connection, signal);
    await unsubscribe(this.#context, connection);
    this.#heardAt = performance.now();
    for (let before = -1; before !== this.#received && this.#failure === undefined; ) {
      await this.#quiet(signal);
      before = this.#received;
      await connection.ping(signal);
    }
    this.#ended = true;
    this.#wake?.();
  }

  /** Waits until the broker leaves room in the window: it would fill it if it had more. */
  async #caughtUp(connection: Connection, signal: AbortSignal): Promise<void> {
    const end = performance.now() + catchUpMs;
    do {
      await pause(quietMs / 10, undefined, { signal });
      await connection.ping(signal);
    } while (this.#failure === undefined && this.#acks?.queue.half === false && performance.now() < end);
  }

  async #quiet(signal: AbortSignal): Promise<void> {
    for (;;) {
      const since = performance.now() - this.#heardAt;
      if (this.#failure !== undefined || (this.#acks?.queue.length === 0 && since >= quietMs)) return;
      await pause(quietMs / 10, undefined, { signal });
    }
  }

  readonly #aborted = (): void => {
    this.#arrived = [];
    this.#fail(this.#context.signal.reason);
  };

  /** Ends the iteration with `error`. What QoS 0 has brought is still handed out; the rest comes again. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined || this.#ended) return;
    this.#failure = error;
    this.#acks?.abandon();
    this.#arrived = this.#arrived.filter((delivery) => delivery.qos === 0);
    this.#wake?.();
    this.#flowing?.();
    void this.#connection?.destroy();
  }
}
