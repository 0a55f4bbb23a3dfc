import type { Duplex } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import type { MqttClient } from 'mqtt';
import type { Delivery, FoundSession, RunContext, Source } from '../../connector.ts';
import { untilReported, within } from '../../network/deadline.ts';
import { connectTimeoutMs, type MqttProfile } from '../config/profile.ts';
import { type MqttTable, qosOf, shareOf, sourceOf } from '../config/table.ts';
import { isInternal, isShared, splitShared } from '../config/topic.ts';
import { DeferredAcks } from '../connection/acks.ts';
import {
  isSessionTest,
  reportsSessions,
  sessionTopic,
  sharedForgotten,
  sharesForgotten,
  stillReceives,
} from '../connection/broker-tests.ts';
import { connect } from '../connection/client.ts';
import { taskClient } from '../connection/connect-request.ts';
import type { Connection } from '../connection/connection.ts';
import type { MqttDelivery } from '../connection/delivery.ts';
import { reportGrant, sessionExpirySecs } from '../connection/granted.ts';
import { packetTooLarge } from '../connection/reason-codes.ts';
import { unanswered } from '../connection/requests.ts';
import { warnOfRewriting } from '../connection/rewrites.ts';
import { Backlog, shareFilter } from './backlog.ts';
import {
  sessionLost,
  subscribeAs,
  unsubscribedEarly,
  unwantedFilters,
  warnOfLiteralShare,
} from './session.ts';

/** Maximum time to read what is queued before a filter is unsubscribed. */
const catchUpMs = 600_000;
/** Minimum interval of the empty batches that show that other tasks' messages arrive. */
const heardEveryMs = 200;

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
  readonly #allConnected = Promise.withResolvers<void>();
  readonly #over = new AbortController();
  readonly #backlog = new Backlog(() => this.#acks);
  #isOwn: ReturnType<typeof shareFilter>;
  #heard = false;
  #heardAt = 0;
  /** The topic whose subscription shows whether the session lives, at a broker that does not say it. */
  #provenBy: string | undefined;

  constructor(context: RunContext<MqttProfile, MqttTable>) {
    this.#context = context;
    this.#isOwn = shareFilter([context.table, ...(context.session?.former ?? [])]);
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
        prepare: (client, socket) => this.#takeOver(client, socket),
      });
      signal.addEventListener('abort', this.#aborted, { once: true });
      this.#connection.whenLost((error) => this.#fail(error));
      reportGrant(this.#context, this.#connection);
      void warnOfRewriting(this.#context);
      await this.#acks?.cleared;
      const { sessionExpirySecs: keptSecs } = this.#connection.limits;
      this.session = {
        ...(await this.#found(this.#connection)),
        ...(keptSecs === undefined ? {} : { keptSecs }),
        settled: this.#subscriptionsSettled.promise,
      };
      if (session?.drain) this.#inBackground(this.#drainSession(this.#connection));
      else await this.#subscribed(this.#connection);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** A generator would take several turns of the microtask queue for each batch. */
  [Symbol.asyncIterator](): AsyncIterator<Delivery[], undefined> {
    return { next: () => new Promise((resolve, reject) => this.#next(resolve, reject)) };
  }

  #next(
    resolve: (result: IteratorResult<Delivery[], undefined>) => void,
    reject: (error: unknown) => void,
  ): void {
    if (this.#arrived.length > 0) {
      const batch = this.#arrived;
      this.#arrived = [];
      this.#heard = false;
      resolve({ value: batch, done: false });
    } else if (this.#heard && performance.now() - this.#heardAt > heardEveryMs) {
      this.#heard = false;
      this.#heardAt = performance.now();
      resolve({ value: [], done: false });
    } else if (this.#failure !== undefined) {
      reject(this.#failure);
    } else if (this.#ended) {
      resolve({ value: undefined, done: true });
    } else {
      // Whatever arrives in this turn belongs to the batch.
      this.#wake = () => {
        this.#wake = undefined;
        queueMicrotask(() => this.#next(resolve, reject));
      };
    }
  }

  allConnected(): void {
    this.#allConnected.resolve();
  }

  async drain(): Promise<void> {
    this.#ended = true;
    this.#acks?.stop();
    this.#wake?.();
  }

  async close(): Promise<void> {
    this.#ended = true;
    this.#over.abort(new Error('the source was closed'));
    this.#context.signal.removeEventListener('abort', this.#aborted);
    this.#acks?.stop();
    this.#acks?.queue.flush();
    this.#acks?.abandon();
    this.#arrived = [];
    this.#wake?.();
    await this.#connection?.close();
  }

  /** Whether the broker still has the session. Warns if it has lost it. */
  async #found(connection: Connection): Promise<Pick<FoundSession, 'resumed' | 'lost'>> {
    const { session, profile, warn } = this.#context;
    const { sessionPresent } = connection.limits;
    if (sessionPresent || !session) return { resumed: sessionPresent, lost: false };
    const asks = session.known || connection.version === 4;
    const silent = asks && (await reportsSessions(this.#context)) === false;
    if (silent) this.#provenBy = sessionTopic(this.#context);
    const kept = silent ? await stillReceives(this.#context, () => this.#backlog.received > 0) : false;
    const lost = session.known && kept === false;
    if (lost) warn(sessionLost(profile, connection));
    return { resumed: kept === true, lost };
  }

  #takeOver(client: MqttClient, socket: Duplex): void {
    this.#abandon();
    const { window, profile, table, received } = this.#context;
    const receipts = received && { received, failed: (error: unknown) => this.#fail(error) };
    const filter = isShared(table.topic) ? splitShared(table.topic).filter : table.topic;
    const dropRetained = sourceOf(table)?.retained === 'never';
    const maxBytes = profile.maxPacketSize ?? Number.POSITIVE_INFINITY;
    const deliver = (delivery: MqttDelivery): void => {
      this.#backlog.arrived(acks.queue.length);
      if (delivery.payload.length > maxBytes) {
        this.#fail(packetTooLarge());
        return;
      }
      // With MQTT 3.1.1 a subscription cannot exclude retained messages.
      const isUnwanted = (dropRetained && delivery.retain) || isInternal(delivery.topic, filter);
      if (isUnwanted || isSessionTest(delivery.topic)) {
        delivery.ack();
      } else if (!this.#isOwn(delivery.topic, delivery.payload)) {
        delivery.ack();
        this.#hear();
      } else {
        this.#arrived.push(delivery);
        this.#wake?.();
      }
      if (acks.queue.full) this.#windowFull?.();
    };
    const acks = new DeferredAcks(client, socket, window, deliver, receipts);
    this.#acks = acks;
  }

  /** A message for another task: it is no message here, but the source is not silent. */
  #hear(): void {
    this.#heard = true;
    if (performance.now() - this.#heardAt > heardEveryMs) this.#wake?.();
  }

  /** Waits for the subscription, but not if the broker fills the window before its SUBACK: it is checked later then. */
  async #subscribed(connection: Connection): Promise<void> {
    const { profile, signal } = this.#context;
    const ms = connectTimeoutMs(profile);
    const bound = this.#subscribe(connection);
    bound.then(
      () => this.#inBackground(this.#settle(connection)),
      () => {},
    );
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
    // SUBACK waits behind messages that do not fit into the window; how long depends on the sink.
    if (first !== 'full') return;
    inTime.catch(() => {});
    this.#inBackground(bound);
  }

  async #subscribe(connection: Connection): Promise<void> {
    const { table, signal, warn } = this.#context;
    const shared = isShared(table.topic);
    await subscribeAs(this.#context, connection);
    if (shared) this.#inBackground(warnOfLiteralShare(this.#context));
    if (shared && connection.version === 5 && (await sharesForgotten(this.#context, connection)))
      warn(sharedForgotten(table.topic));
    // Refused: then nothing proves that the session lives.
    if (this.#provenBy !== undefined) await connection.subscribe(this.#provenBy, 1, signal).catch(() => 0);
  }

  /**
   * Removes former subscriptions, and leaves to other tasks what is theirs now. Before either the queued messages are read: a
   * broker may drop them at UNSUBSCRIBE (MQTT 5, section 3.10.4), and the other tasks may have left them to this one.
   */
  async #settle(connection: Connection): Promise<void> {
    const { table, session, signal } = this.#context;
    await this.#unsubscribe(connection, signal);
    if (session?.former.some((former) => !isDeepStrictEqual(shareOf(former), shareOf(table)))) {
      await untilReported<void>(
        this.#over.signal,
        (resolve) => void this.#allConnected.promise.then(resolve),
      );
      while (!(await this.#backlog.caughtUp(connection, this.#over.signal, catchUpMs)));
      this.#isOwn = shareFilter([table]);
    }
    this.#subscriptionsSettled.resolve();
  }

  async #unsubscribe(connection: Connection, signal: AbortSignal): Promise<void> {
    const filters = unwantedFilters(this.#context);
    if (filters.length === 0) return;
    if (!(await this.#backlog.caughtUp(connection, this.#over.signal, catchUpMs)))
      this.#context.warn(unsubscribedEarly(filters, catchUpMs / 60_000));
    await connection.unsubscribe(filters, signal);
  }

  /**
   * Unsubscribes, and ends the iteration when the session is empty: everything is acknowledged, the broker has seen that,
   * and nothing arrived for a while.
   */
  async #drainSession(connection: Connection): Promise<void> {
    const { signal } = this.#context;
    await this.#unsubscribe(connection, signal);
    await this.#backlog.drained(connection, this.#over.signal);
    this.#ended = true;
    this.#wake?.();
  }

  #inBackground(work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (!this.#over.signal.aborted) this.#fail(error);
    });
  }

  readonly #aborted = (): void => {
    this.#arrived = [];
    this.#fail(this.#context.signal.reason);
  };

  /** QoS 0 messages are still handed out; the broker delivers the others again. */
  #abandon(): void {
    this.#acks?.abandon();
    this.#arrived = this.#arrived.filter((delivery) => delivery.qos === 0);
  }

  /** Ends the iteration with `error`. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined || this.#ended) return;
    this.#failure = error;
    this.#over.abort(error);
    this.#abandon();
    this.#wake?.();
    this.#windowFull?.();
    void this.#connection?.destroy();
  }
}
