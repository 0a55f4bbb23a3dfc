import { setTimeout as sleep } from 'node:timers/promises';
import type { MqttClient } from 'mqtt';
import type { Delivery, FoundSession, RunContext, Source } from '../../connector.ts';
import { mqttError } from '../config/errors.ts';
import { connectTimeoutMs, type MqttProfile } from '../config/profile.ts';
import { type MqttTable, qosOf, sourceOf } from '../config/table.ts';
import { isInternal, isShared, splitShared } from '../config/topic.ts';
import { DeferredAcks } from '../connection/acks.ts';
import { connect } from '../connection/client.ts';
import { taskClient } from '../connection/connect-request.ts';
import type { Connection } from '../connection/connection.ts';
import { untilReported, within } from '../connection/deadline.ts';
import type { MqttDelivery } from '../connection/delivery.ts';
import { keptFor, reportGrant, sessionExpirySecs } from '../connection/granted.ts';
import { packetTooLarge } from '../connection/reason-codes.ts';
import { unanswered } from '../connection/requests.ts';
import { warnOfRewriting } from '../connection/rewrites.ts';
import { subscribeAs, unsubscribe } from './session.ts';

/** When draining: the session counts as empty after this long without a message, with everything acknowledged. */
const quietMs = 1_000;
/** When draining: maximum time to catch up before the session is unsubscribed. */
const catchUpMs = 60_000;

/** Resumes or creates the identity's session and subscribes. See `openSource` in the connector contract. */
export async function openSource(context: RunContext<MqttProfile, MqttTable>): Promise<Source> {
  const source = new MqttSource(context);
  await source.open();
  return source;
}

class MqttSource implements Source {
  readonly #context: RunContext<MqttProfile, MqttTable>;
  #connection: Connection | undefined;
  #acks: DeferredAcks | undefined;
  #arrived: MqttDelivery[] = [];
  #wake: (() => void) | undefined;
  #failure: unknown;
  #ended = false;
  /** Resolves `open` if the window fills up before SUBACK is read. */
  #windowFull: (() => void) | undefined;
  session: FoundSession | undefined;
  readonly #subscriptionsSettled = Promise.withResolvers<void>();
  #received = 0;
  #receivedAt = 0;

  constructor(context: RunContext<MqttProfile, MqttTable>) {
    this.#context = context;
  }

  async open(): Promise<void> {
    const { profile, session, window, signal } = this.#context;
    try {
      this.#connection = await connect({
        ...taskClient(this.#context),
        clean: false,
        sessionExpirySecs: sessionExpirySecs(profile),
        receiveMaximum: window,
        signal,
        prepare: (client) => this.#takeOver(client),
      });
      signal.addEventListener('abort', this.#aborted, { once: true });
      this.#connection.whenLost((error) => this.#fail(error));
      reportGrant(this.#context, this.#connection);
      void warnOfRewriting(this.#context);
      this.#found(this.#connection);
      if (session?.drain) this.#drainSession(this.#connection).catch((error: unknown) => this.#fail(error));
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

  #found(connection: Connection): void {
    const { sessionPresent, sessionExpirySecs: keptSecs } = connection.limits;
    const { profile, session, warn } = this.#context;
    this.session = {
      resumed: sessionPresent,
      ...(keptSecs === undefined ? {} : { keptSecs }),
      settled: this.#subscriptionsSettled.promise,
    };
    if (sessionPresent || !session?.known) return;
    warn(
      mqttError(
        'mqtt_session_lost',
        'The broker no longer has the session: messages that were queued in it are lost',
        {
          hint:
            'Make the broker persist sessions across restarts (mosquitto: persistence true), and keep them while a ' +
            `pipeline can be stopped. ${keptFor(profile, connection)}`,
        },
      ),
    );
  }

  #takeOver(client: MqttClient): void {
    this.#acks?.abandon();
    const { window, profile, table } = this.#context;
    const filter = isShared(table.topic) ? splitShared(table.topic).filter : table.topic;
    const dropRetained = sourceOf(table)?.retained === 'never';
    const maxBytes = profile.maxPacketSize ?? Number.POSITIVE_INFINITY;
    const acks: DeferredAcks = new DeferredAcks(client, window, (delivery) => {
      this.#received += 1;
      this.#receivedAt = performance.now();
      if (delivery.payload.length > maxBytes) {
        this.#fail(packetTooLarge());
        return;
      }
      // With MQTT 3.1.1 a subscription cannot exclude retained messages.
      if ((dropRetained && delivery.retained) || isInternal(delivery.topic, filter)) {
        delivery.ack();
      } else {
        this.#arrived.push(delivery);
        this.#wake?.();
      }
      if (acks.queue.full) this.#windowFull?.();
    });
    this.#acks = acks;
  }

  /** Waits for the subscription, but not if the broker fills the window before its SUBACK: it is checked later then. */
  async #subscribed(connection: Connection): Promise<void> {
    const { profile, signal } = this.#context;
    const ms = connectTimeoutMs(profile);
    const bound = subscribeAs(this.#context, connection);
    bound.then(this.#subscriptionsSettled.resolve, () => {});
    const { topic } = this.#context.table;
    const late = () => unanswered({ packet: 'SUBSCRIBE', topic, qos: qosOf(this.#context.table) }, ms);
    const inTime = within(ms, signal, late, (soon) =>
      untilReported<void>(soon, (resolve, reject) => void bound.then(resolve, reject)),
    );
    const full = new Promise<'full'>((resolve) => {
      this.#windowFull = () => resolve('full');
      if (this.#acks?.queue.full === true) resolve('full');
    });
    const first = await Promise.race([inTime, full]);
    this.#windowFull = undefined;
    if (this.#failure !== undefined) throw this.#failure;
    if (first !== 'full') return;
    // SUBACK waits behind messages that do not fit into the window; how long depends on the sink.
    inTime.catch(() => {});
    bound.catch((error: unknown) => this.#fail(error));
  }

  /**
   * Unsubscribes, and ends the iteration when the session is empty: everything is acknowledged, the broker has seen that,
   * and nothing arrived for a while. A broker may drop the queue of a shared subscription when its last member leaves
   * (MQTT 4.8.2), so that queue is read first.
   */
  async #drainSession(connection: Connection): Promise<void> {
    const { signal } = this.#context;
    await this.#catchUp(connection, signal);
    await unsubscribe(this.#context, connection);
    this.#receivedAt = performance.now();
    for (let before = -1; before !== this.#received && this.#failure === undefined; ) {
      await this.#untilQuiet(signal);
      before = this.#received;
      await connection.ping(signal);
    }
    this.#ended = true;
    this.#wake?.();
  }

  /** Waits until the broker no longer fills the window: then it has little left. */
  async #catchUp(connection: Connection, signal: AbortSignal): Promise<void> {
    const end = performance.now() + catchUpMs;
    do {
      await sleep(quietMs / 10, undefined, { signal });
      await connection.ping(signal);
    } while (this.#failure === undefined && this.#acks?.queue.half === false && performance.now() < end);
  }

  async #untilQuiet(signal: AbortSignal): Promise<void> {
    for (;;) {
      const since = performance.now() - this.#receivedAt;
      if (this.#failure !== undefined || (this.#acks?.queue.length === 0 && since >= quietMs)) return;
      await sleep(quietMs / 10, undefined, { signal });
    }
  }

  readonly #aborted = (): void => {
    this.#arrived = [];
    this.#fail(this.#context.signal.reason);
  };

  /** Ends the iteration with `error`. QoS 0 messages are still handed out; the broker delivers the others again. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined || this.#ended) return;
    this.#failure = error;
    this.#acks?.abandon();
    this.#arrived = this.#arrived.filter((delivery) => delivery.qos === 0);
    this.#wake?.();
    this.#windowFull?.();
    void this.#connection?.destroy();
  }
}
