import { pause } from '../../network/deadline.ts';

/** Pauses before a message is sent once more. */
const firstPauseMs = 250;
const maxPauseMs = 10_000;

interface HeldBackTools<T> {
  /** How long messages are held back. */
  longestMs: number;
  /** Aborted when the sink is over. */
  signal: AbortSignal;
  /** Called before each pause. */
  warn(): void;
  /** Whether nothing is in flight and a message can be sent. */
  canSend(): boolean;
  send(message: T): void;
  /** Called with all messages when it has lasted for too long. */
  giveUp(messages: T[]): void;
  failed(error: unknown): void;
}

/**
 * Messages that no queue took, although no row is at fault, in their order. One of them is sent now and then, until it is taken: the source
 * keeps its messages meanwhile, and no queue of the exchange gets more than a few twice.
 */
export class HeldBack<T> {
  readonly #tools: HeldBackTools<T>;
  #held: T[] = [];
  /** The first of them while it is sent. */
  #probe: T | undefined;
  #wait: { since: number } | undefined;

  constructor(tools: HeldBackTools<T>) {
    this.#tools = tools;
  }

  /** Whether there are any. Nothing else may be sent then. */
  get isWaiting(): boolean {
    return this.#wait !== undefined;
  }

  /** Adds one that has come back. */
  add(message: T): void {
    if (message === this.#probe) this.#held.unshift(message);
    else this.#held.push(message);
    if (this.#wait) return;
    this.#wait = { since: performance.now() };
    this.#run(this.#wait).catch(this.#tools.failed);
  }

  /** Ends the wait. Returns all messages, those before `inFlight` or behind them. */
  release(inFlight: readonly T[] = []): T[] {
    const all = this.#probe === undefined ? [...this.#held, ...inFlight] : [...inFlight, ...this.#held];
    this.#held = [];
    this.#probe = undefined;
    this.#wait = undefined;
    return all;
  }

  async #run(wait: { since: number }): Promise<void> {
    const { longestMs, signal, warn, canSend, send, giveUp } = this.#tools;
    for (let ms = firstPauseMs; ; ms = Math.min(2 * ms, maxPauseMs)) {
      warn();
      await pause(ms, signal).catch(() => {});
      if (this.#wait !== wait || signal.aborted) return;
      if (!canSend()) continue;
      if (performance.now() - wait.since > longestMs) return giveUp(this.release());
      this.#probe = this.#held.shift();
      if (this.#probe !== undefined) send(this.#probe);
    }
  }
}
