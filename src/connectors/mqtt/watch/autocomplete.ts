import { PenstockError } from '../../../errors.ts';
import type { AutocompleteContext, Reachable } from '../../connector.ts';
import { codeOf } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import type { Connection } from '../connection/connection.ts';
import { untilReported, within } from '../connection/deadline.ts';
import { lookOn } from './watch.ts';

/** Connecting and listening together take no longer. */
const totalMs = 2_000;
const maxTopics = 1_000;
const maxTopicBytes = 64 * 1024;
/** A busy broker would go on for ever: enough has been read after this many bytes of payload. */
const maxPayloadBytes = 4 * 1024 * 1024;

/** Brokers that keep `#` to administrators may allow the next. */
const filters = ['#', '+/#'];

/**
 * The topics that the broker shows on a short wildcard subscription, retained messages included, sorted. It has an id
 * and a clean session of its own, and leaves nothing behind. See `autocomplete` in the connector contract.
 */
export async function autocomplete(
  context: AutocompleteContext<MqttProfile>,
): Promise<Record<string, string[]>> {
  const heard = new Topics();
  const enough = new Error('enough');
  try {
    await within(
      totalMs,
      context.signal,
      () => enough,
      (soon) => listen(context, heard, soon),
    );
  } catch (error) {
    if (error !== enough) throw error;
    if (!heard.listening) throw tooSlow();
  }
  return { topic: heard.sorted() };
}

const listen = (reachable: Reachable<MqttProfile>, heard: Topics, signal: AbortSignal): Promise<void> =>
  lookOn(
    reachable,
    signal,
    (topic, packet) => heard.add(topic, packet.payload.length),
    async (connection) => {
      await subscribe(connection, signal);
      await heard.untilFull(connection, signal);
    },
  );

async function subscribe(connection: Connection, signal: AbortSignal): Promise<void> {
  let refusal: unknown;
  for (const filter of filters) {
    try {
      await connection.subscribe(filter, 0, signal);
      return;
    } catch (error) {
      if (!(error instanceof PenstockError) || codeOf(error) !== 'mqtt_subscribe_refused') throw error;
      refusal ??= error;
    }
  }
  throw refusal;
}

const tooSlow = (): PenstockError =>
  new PenstockError('connection_timeout', `The broker did not take a subscription within ${totalMs} ms`, {
    hint: 'Test the connection to see which step takes long.',
  });

/** Collects topics up to the bounds. */
class Topics {
  /** Whether the broker has taken the subscription. */
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

  /** Resolves at the bounds; rejects when the connection is lost or the signal aborts. */
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
