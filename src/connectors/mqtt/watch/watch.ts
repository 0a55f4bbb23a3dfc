import type { IPublishPacket } from 'mqtt';
import { PenstockError } from '../../../errors.ts';
import type { AutocompleteContext, Reachable, WatchContext, Watched } from '../../connector.ts';
import { forUpTo, untilReported, within } from '../../network/deadline.ts';
import { connectTimeoutMs, type MqttProfile } from '../config/profile.ts';
import { type MqttTable, sourceOf } from '../config/table.ts';
import { isInternal, isShared, splitShared } from '../config/topic.ts';
import { pingOnTime } from '../connection/acks.ts';
import { connect } from '../connection/client.ts';
import { probeClient } from '../connection/connect-request.ts';
import type { Connection } from '../connection/connection.ts';
import { Metadata } from '../connection/delivery.ts';
import { unanswered } from '../connection/requests.ts';

/** Reads messages without affecting other clients: a random client id, a clean session, no last will. */

/** Runs `work` over a connection of a probe client that passes every message to `received`, then disconnects. */
async function withProbeClient<T>(
  reachable: Reachable<MqttProfile>,
  signal: AbortSignal,
  received: (topic: string, packet: IPublishPacket) => void,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await connect({
    ...probeClient(reachable),
    signal,
    prepare: (client) => {
      pingOnTime(client);
      client.on('message', (topic, _payload, packet) => received(topic, packet));
    },
  });
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

/**
 * Subscribes to the table's filter at QoS 0, so that the broker queues nothing. Of a shared subscription it uses the
 * filter without the group, whose members would miss messages otherwise. See `watch` in the connector contract.
 */
export function watch(context: WatchContext<MqttProfile, MqttTable>): Promise<never> {
  const { profile, table, signal } = context;
  const filter = isShared(table.topic) ? splitShared(table.topic).filter : table.topic;
  const retained = sourceOf(table)?.retained;
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  const received = (topic: string, packet: IPublishPacket): void => {
    if (isInternal(topic, filter)) return;
    // With MQTT 3.1.1 a subscription cannot exclude retained messages.
    if (retained === 'never' && packet.retain) return;
    try {
      context.deliver(watched(topic, packet));
    } catch (error) {
      failed.reject(error);
    }
  };
  return withProbeClient(context, signal, received, async (connection) => {
    const ms = connectTimeoutMs(profile);
    const late = () => unanswered({ packet: 'SUBSCRIBE', topic: filter, qos: 0 }, ms);
    await within(ms, signal, late, (soon) => connection.subscribe(filter, 0, soon, retained));
    context.listening();
    return await untilReported<never>(signal, (_resolve, reject) => {
      connection.whenLost(reject);
      failed.promise.catch(reject);
    });
  });
}

function watched(topic: string, packet: IPublishPacket): Watched {
  const receivedAt = performance.timeOrigin + performance.now();
  const payload = packet.payload as Buffer;
  let metadata: Metadata | undefined;
  return {
    payload,
    receivedAt,
    get metadata() {
      const { qos, retain, dup, messageId: packetId = 0, properties } = packet;
      metadata ??= new Metadata({ topic, payload, qos, retain, dup, packetId, properties, receivedAt });
      return metadata as unknown as Watched['metadata'];
    },
  };
}

const totalMs = 2_000;
const maxTopics = 1_000;
const maxTopicBytes = 64 * 1024;
/** Bounds what is read from a busy broker. */
const maxPayloadBytes = 4 * 1024 * 1024;

/** Some brokers reserve `#` for administrators and allow the second one. */
const filters = ['#', '+/#'];

/**
 * The topics of messages that arrive on a short wildcard subscription, retained messages included, sorted. See
 * `autocomplete` in the connector contract.
 */
export async function autocomplete(
  context: AutocompleteContext<MqttProfile>,
): Promise<Record<string, string[]>> {
  const topics = new TopicCollector();
  const received = (topic: string, packet: IPublishPacket) => {
    if (!isInternal(topic, '#')) topics.add(topic, packet.payload.length);
  };
  await forUpTo(totalMs, context.signal, (soon) =>
    withProbeClient(context, soon, received, async (connection) => {
      await subscribeToAll(connection, soon);
      await topics.untilFull(connection, soon);
    }),
  );
  if (!topics.listening)
    throw new PenstockError(
      'connection_timeout',
      `The broker accepted no subscription within ${totalMs} ms`,
      {
        hint: 'Test the connection profile to see which step is slow.',
      },
    );
  return { topic: topics.sorted() };
}

async function subscribeToAll(connection: Connection, signal: AbortSignal): Promise<void> {
  let refusal: unknown;
  for (const filter of filters) {
    try {
      await connection.subscribe(filter, 0, signal);
      return;
    } catch (error) {
      if (!(error instanceof PenstockError) || error.code !== 'mqtt_subscribe_refused') throw error;
      refusal ??= error;
    }
  }
  throw refusal;
}

class TopicCollector {
  listening = false;
  readonly #topics = new Set<string>();
  #topicBytes = 0;
  #payloadBytes = 0;
  #full: (() => void) | undefined;

  add(topic: string, payloadBytes: number): void {
    this.#payloadBytes += payloadBytes;
    if (!this.#isFull() && !this.#topics.has(topic)) {
      this.#topics.add(topic);
      this.#topicBytes += Buffer.byteLength(topic);
    }
    if (this.#isFull()) this.#full?.();
  }

  sorted(): string[] {
    return [...this.#topics].sort();
  }

  /** Resolves at the bounds; rejects if the connection is lost or the signal aborts. */
  untilFull(connection: Connection, signal: AbortSignal): Promise<void> {
    this.listening = true;
    return untilReported<void>(signal, (resolve, reject) => {
      this.#full = resolve;
      connection.whenLost(reject);
      if (this.#isFull()) resolve();
      return () => {
        this.#full = undefined;
      };
    });
  }

  #isFull(): boolean {
    return (
      this.#topics.size >= maxTopics ||
      this.#topicBytes >= maxTopicBytes ||
      this.#payloadBytes >= maxPayloadBytes
    );
  }
}
