import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { PenstockError } from '../../../errors.ts';
import { untilReported } from '../../network/deadline.ts';
import { mqttError } from '../config/errors.ts';
import { type Connection, closedByPeer } from '../connection/connection.ts';
import type { PublishHeads, SentMessage } from './outgoing.ts';

/**
 * Finds a message at which the broker closes the connection without naming it, as brokers do over 3.1.1. After two such
 * losses in a row, messages are sent one at a time, over a link that has just proven to stay open. A message that was alone
 * at several losses in a row is put aside. It is refused once the broker has confirmed another one: then neither the link
 * nor the rights of the user are the reason.
 */

const lossesBefore = 2;
/** Losses of a message alone that convict it. Each loss that it cannot have caused adds as many as `perFault`. */
const trialsBefore = 3;
const perFault = 2;
/** A connection that lasted this long ends a row of losses. */
const healthyMs = 60_000;
/** The link has to stay open this long with nothing on it but pings. */
const proofMs = 1_000;
const maxEntries = 1_000;
const maxRepeated = 1_000;

/** Reasons of a DISCONNECT (MQTT 5) that may concern a single message. */
const perMessage: readonly unknown[] = [0x81, 0x82, 0x83, 0x87, 0x90, 0x95, 0x99, 0x9a, 0x9b];

interface Suspicion {
  losses: number;
  /** The number of messages up to the last one in flight at a loss: this many may have to be sent alone. */
  extent: number;
  /** The message that was last alone at a loss, and how often in a row. */
  alone: string | undefined;
  trials: number;
  /** Losses without a message in flight, or with another one alone: the link may be bad. */
  faults: number;
  /** Whether the broker has confirmed a message meanwhile. */
  confirms: boolean;
  /** Found messages. They come again until the write that they are in is over. */
  convicted: ReadonlySet<string>;
}

const innocent: Suspicion = {
  losses: 0,
  extent: 0,
  alone: undefined,
  trials: 0,
  faults: 0,
  confirms: false,
  convicted: new Set(),
};

/** By the identity of the connection. */
const suspicions = new Map<string, Suspicion>();

export const fingerprint = (topic: Buffer, payload: Buffer): string =>
  createHash('sha256').update(topic).update('\0').update(payload).digest('base64');

/** The fingerprint of a message that was sent; empty if there is none. */
export function fingerprintOf(heads: PublishHeads, sent: SentMessage | undefined): string {
  const message = sent?.write?.messages[sent.index];
  return message ? fingerprint(heads.of(message.row).topic, message.payload) : '';
}

export class Suspects {
  readonly #identity: string;
  readonly #openedAt = performance.now();
  readonly #known: Suspicion | undefined;
  /** Number of messages that are still to be sent alone. */
  #left: number;
  #accused: string | undefined;
  #confirmed = 0;

  constructor({ identity }: Pick<Connection, 'identity'>) {
    this.#identity = identity;
    this.#known = suspicions.get(identity);
    const { losses, extent, trials, faults, alone } = this.#known ?? innocent;
    this.#left = losses < lossesBefore ? 0 : extent;
    this.#accused = trials < trialsBefore + perFault * faults ? undefined : alone;
  }

  /** Whether each message must be sent alone. */
  get careful(): boolean {
    return this.#left > 0;
  }

  /** Proves the link before the first message. Throws if it is lost meanwhile, which then no message has caused. */
  async proveLink(connection: Connection, signal: AbortSignal): Promise<void> {
    if (!this.careful) return;
    const over = new AbortController();
    connection.whenLost((error) => over.abort(error));
    const soon = AbortSignal.any([signal, over.signal]);
    try {
      await connection.ping(soon);
      await Promise.race([sleep(proofMs, undefined, { signal }), rejected(soon)]);
      await connection.ping(soon);
    } catch (error) {
      if (this.#known && over.signal.aborted) this.#known.faults += 1;
      throw error;
    }
  }

  /** Whether messages have to be compared with those found. */
  get comparing(): boolean {
    return this.#accused !== undefined || (this.#known?.convicted.size ?? 0) > 0;
  }

  convicts(message: string): boolean {
    return this.#known?.convicted.has(message) === true || (this.#accused === message && this.#convict());
  }

  /** Whether the message ended connections when it was alone. It is convicted once another one is confirmed. */
  accuses(message: string): boolean {
    return this.#accused === message;
  }

  /** Convicts the accused message if the broker has confirmed another one. */
  #convict(): boolean {
    if (!this.#known?.confirms || this.#accused === undefined) return false;
    const convicted = new Set([...this.#known.convicted, this.#accused]);
    Object.assign(this.#known, { alone: undefined, trials: 0, convicted });
    this.#accused = undefined;
    return true;
  }

  /** The write that convicted messages were in is over. Sent again later, they are tried again: the broker may accept them. */
  release(): void {
    if (this.#known) this.#known.convicted = new Set();
    this.#forget();
  }

  confirmed(): void {
    this.#confirmed += 1;
    if (this.#known) this.#known.confirms = true;
    this.#convict();
    if (this.#left === 0) return;
    this.#left -= 1;
    this.#forget();
  }

  #forget(): void {
    if (this.#left === 0 && !this.comparing) suspicions.delete(this.#identity);
  }

  /**
   * The connection was lost with `inFlight` unconfirmed messages; `first` is the oldest. Returns the error to raise: a passing
   * one, unless the reason cannot be a message.
   */
  lost(error: PenstockError, inFlight: number, first: () => string): PenstockError {
    if (inFlight === 0 || !(perMessage.includes(error.facts.reasonCode) || closedByPeer(error))) return error;
    const healthy = performance.now() - this.#openedAt > healthyMs && this.#confirmed > 0;
    const next = { ...innocent, ...(healthy ? {} : suspicions.get(this.#identity)) };
    if (this.careful && inFlight === 1) {
      const message = first();
      if (next.alone !== undefined && next.alone !== message) next.faults += 1;
      next.trials = next.alone === message ? next.trials + 1 : 1;
      next.alone = message;
    }
    next.losses += 1;
    // Some that were confirmed come again too.
    next.extent = Math.max(next.extent, inFlight + Math.min(this.#confirmed, maxRepeated));
    remember(this.#identity, next);
    if (error.passing) return error;
    const { message, hint } = error;
    return new PenstockError('connection_lost', message, { ...(hint ? { hint } : {}), cause: error });
  }
}

function remember(identity: string, suspicion: Suspicion): void {
  suspicions.delete(identity);
  suspicions.set(identity, suspicion);
  const [oldest] = suspicions.keys();
  if (suspicions.size > maxEntries && oldest !== undefined) suspicions.delete(oldest);
}

const rejected = (signal: AbortSignal): Promise<never> => untilReported<never>(signal, () => undefined);

/** The error for a message at which the broker closes the connection. */
export const closesAt = (topic: string): PenstockError =>
  mqttError(
    'mqtt_publish_refused',
    `The broker closes the connection at this message to ${topic}, also when it is sent alone, and accepts another`,
    {
      hint:
        'Compare the message with what the broker accepts: its size, its topic, its retain flag, and the rights of the user. ' +
        'The log of the broker may name the reason.',
    },
  );
