import type { Delivery, Position, Source, WatchContext } from '../connector.ts';
import { pause } from './deadline.ts';
import { Fifo } from './fifo.ts';

/** A message that a connector has read. */
export interface Incoming {
  payload: Buffer;
  metadata: Delivery['metadata'];
  /** Bytes that it holds in memory, if they are more than its payload. */
  bytes?: number;
  /** Where the source is when this message and all before it are acknowledged. */
  position?: unknown;
  /** Called when it is acknowledged, in any order. */
  settled?(): void;
}

interface QueueOptions {
  window: number;
  signal: AbortSignal;
  position?: Position | undefined;
  /** Called with each position in turn when everything up to it is acknowledged, for sources that are at several places. */
  passed?(position: unknown): void;
  /** Reads until `signal` aborts. Returns when there is no more to read; what it throws ends the source. */
  read(queue: QueueSource, signal: AbortSignal): Promise<void>;
}

/** Maximum size of messages that are not acknowledged. */
const maxBytes = 64 * 1024 * 1024;
/** Maximum number of windows that are read after a message that is not acknowledged, if their positions are kept. */
const maxWindows = 10;

interface Entry {
  position: unknown;
  done: boolean;
}

const stopped = new Error('the source is read no further');

/**
 * A source over a connection that is read in the background. It keeps the window, and commits positions in order of receipt:
 * one is committed when everything up to it is acknowledged.
 */
export class QueueSource implements Source {
  readonly #options: QueueOptions;
  readonly #stop = new AbortController();
  readonly #reading: Promise<void>;
  /** Messages that are not handed out, and entries whose position is not committed. */
  #ready: Delivery[] = [];
  readonly #entries = new Fifo<Entry>();
  #unsettled = 0;
  #bytes = 0;
  #end: { error?: unknown } | undefined;
  #changed = Promise.withResolvers<void>();
  #closed = false;

  constructor(options: QueueOptions) {
    this.#options = options;
    const { signal } = options;
    signal.addEventListener('abort', this.#aborted, { once: true });
    this.#reading = options.read(this, this.#stop.signal).then(
      () => this.#finish({}),
      (error: unknown) => this.#finish(this.#stop.signal.aborted ? {} : { error }),
    );
  }

  /** Number of messages that `add` takes at once. */
  get room(): number {
    const { window } = this.#options;
    if (this.#bytes >= maxBytes) return 0;
    return Math.max(0, Math.min(window - this.#unsettled, maxWindows * window - this.#entries.length));
  }

  /** Whether somebody wants to know up to where everything is acknowledged. */
  get #keepsOrder(): boolean {
    return this.#options.position !== undefined || this.#options.passed !== undefined;
  }

  /** Whether every message is acknowledged. */
  get isIdle(): boolean {
    return this.#unsettled === 0;
  }

  /** Resolves when `room` is above 0. Rejects if the source is no longer read. */
  async untilRoom(): Promise<void> {
    while (this.room === 0 && !this.#stop.signal.aborted) await this.#changed.promise;
    this.#stop.signal.throwIfAborted();
  }

  /** Hands out a message as soon as the window has room. Rejects if the source is no longer read. */
  async add({ payload, metadata, bytes = payload.length, position, settled }: Incoming): Promise<void> {
    await this.untilRoom();
    const entry: Entry = { position, done: false };
    if (this.#keepsOrder) this.#entries.push(entry);
    this.#unsettled += 1;
    this.#bytes += bytes;
    const receivedAt = performance.timeOrigin + performance.now();
    const ack = () => this.#acknowledged(entry, bytes, settled);
    this.#ready.push({ payload, metadata, receivedAt, position, ack });
    this.#wake();
  }

  /** The source is at `position` when all messages so far are acknowledged. */
  reached(position: unknown): void {
    if (!this.#keepsOrder) return;
    this.#entries.push({ position, done: true });
    this.#commit();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Delivery[]> {
    const { signal } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      if (this.#ready.length > 0) {
        const batch = this.#ready;
        this.#ready = [];
        yield batch;
      } else if (this.#end) {
        if ('error' in this.#end) throw this.#end.error;
        return;
      } else await this.#changed.promise;
    }
  }

  async drain(): Promise<void> {
    this.#stop.abort(stopped);
    this.#wake();
    await this.#reading;
  }

  async close(): Promise<void> {
    await this.drain();
    this.#closed = true;
    this.#options.signal.removeEventListener('abort', this.#aborted);
  }

  readonly #aborted = (): void => {
    this.#stop.abort(this.#options.signal.reason);
    this.#wake();
  };

  #finish(end: { error?: unknown }): void {
    this.#end ??= end;
    this.#wake();
  }

  #acknowledged(entry: Entry, bytes: number, settled: (() => void) | undefined): void {
    if (entry.done) return;
    settled?.();
    entry.done = true;
    this.#unsettled -= 1;
    this.#bytes -= bytes;
    this.#commit();
    this.#wake();
  }

  #commit(): void {
    const { passed, position } = this.#options;
    let reached: unknown;
    while (this.#entries.first?.done) {
      const own = this.#entries.shift()?.position;
      if (own === undefined) continue;
      reached = own;
      if (!this.#closed) passed?.(own);
    }
    if (reached !== undefined && !this.#closed) position?.commit(reached);
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** Shows messages until the signal aborts, also after the last one. See `watch` in the connector contract. */
export async function watchAll(
  { deliver, ended, signal }: Pick<WatchContext<unknown, unknown>, 'deliver' | 'ended' | 'signal'>,
  messages: AsyncIterable<Incoming>,
): Promise<never> {
  for await (const { payload, metadata } of messages)
    deliver({ payload, metadata, receivedAt: performance.timeOrigin + performance.now() });
  ended?.();
  for (;;) await pause(60_000, signal);
}
