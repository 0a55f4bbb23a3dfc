import type { MqttClient } from 'mqtt';
import { PenstockError } from '../../errors.ts';
import type { Delivery, RunContext, Source } from '../connector.ts';
import { DeferredAcks } from './acks.ts';
import { connect } from './client.ts';
import type { Connection } from './connection.ts';
import { within } from './deadline.ts';
import type { MqttDelivery } from './delivery.ts';
import { clientId } from './identity.ts';
import { lowered } from './lowered-qos.ts';
import type { MqttProfile } from './profile.ts';
import { type MqttTable, type Qos, qosOf, sourceOf } from './table.ts';

const week = 604_800;

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
  const { profile, identity, signal } = context;
  const connection = await connect({
    profile,
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

  constructor(context: RunContext<MqttProfile, MqttTable>) {
    this.#context = context;
  }

  async open(): Promise<void> {
    const { profile, identity, window, signal } = this.#context;
    try {
      this.#connection = await connect({
        profile,
        clientId: clientId(profile, identity),
        clean: false,
        sessionExpirySecs: profile.sessionExpirySecs ?? week,
        receiveMaximum: window,
        signal,
        prepare: (client) => this.#takeOver(client),
      });
      signal.addEventListener('abort', this.#aborted, { once: true });
      this.#connection.whenLost((error) => this.#fail(error));
      await this.#subscribe(this.#connection);
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

  #takeOver(client: MqttClient): void {
    this.#acks?.abandon();
    const { window, profile, table } = this.#context;
    const never = sourceOf(table)?.retained === 'never';
    const most = profile.maxPacketSize ?? Number.POSITIVE_INFINITY;
    const acks: DeferredAcks = new DeferredAcks(client, window, (delivery) => {
      if (delivery.payload.length > most) {
        this.#fail(
          new PenstockError('mqtt_packet_too_large', 'The broker sent a message larger than maxPacketSize'),
        );
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
   * Subscribes at every connection, also in a resumed session: that is harmless, and tells of lost rights. The broker
   * may fill the window before its SUBACK; then the answer is looked at when it comes.
   */
  async #subscribe(connection: Connection): Promise<void> {
    const { profile, table, signal } = this.#context;
    const asked = qosOf(table);
    const ms = profile.connectTimeoutMs ?? 10_000;
    const late = () => new PenstockError('connection_timeout', `No SUBACK within ${ms} ms`);
    const granted = connection
      .subscribe(table.topic, asked, signal, sourceOf(table)?.retained)
      .then((qos) => {
        if (qos < asked) this.#warnDowngraded(qos, asked);
      });
    const inTime = within(ms, signal, late, () => granted);
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
    granted.catch((error: unknown) => this.#fail(error));
  }

  #warnDowngraded(granted: Qos, asked: Qos): void {
    const { warn, table } = this.#context;
    warn(lowered(table.topic, asked, granted, 'The broker grants less than the table asks for'));
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
