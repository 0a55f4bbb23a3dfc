interface LoopTools {
  /** Milliseconds until a commit is due, or until that has to be looked at again. */
  waitMs(): number;
  /** Commits. `isWanted` says that somebody waits for it, even if there is nothing new. */
  commit(isWanted: boolean): Promise<void>;
}

/** Commits one at a time, as soon as one is due. */
export class CommitLoop {
  readonly #tools: LoopTools;
  #committing: Promise<void> = Promise.resolve();
  #waiters: PromiseWithResolvers<void>[] = [];
  #wake = Promise.withResolvers<void>();
  #urgent = false;
  #ended = false;

  constructor(tools: LoopTools) {
    this.#tools = tools;
  }

  /** Commits while work is done, such as opening sources and reading them. Ends when the work does. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const stop = new AbortController();
    const commits = this.#run(stop.signal);
    try {
      return await Promise.race([work(), commits.then(() => new Promise<never>(() => {}))]);
    } finally {
      stop.abort();
      this.soon();
      await commits.catch(() => {});
      this.#ended = true;
      this.fail(new Error('the commits have ended'));
    }
  }

  /** A commit is due now. */
  soon(): void {
    this.#urgent = true;
    this.#wake.resolve();
  }

  /** The time of the next commit may be another. */
  changed(): void {
    this.#wake.resolve();
  }

  /** Resolves with a commit that begins now or later. */
  next(): Promise<void> {
    const waiter = Promise.withResolvers<void>();
    if (this.#ended) waiter.reject(new Error('the commits have ended'));
    else this.#waiters.push(waiter);
    this.soon();
    return waiter.promise;
  }

  /** Rejects for those who wait for a commit. */
  fail(error: unknown): void {
    for (const { reject } of this.#waiters.splice(0)) reject(error);
  }

  /** Resolves when no commit runs. */
  async settled(): Promise<void> {
    await this.#committing.catch(() => {});
  }

  async #run(stop: AbortSignal): Promise<void> {
    try {
      while (!stop.aborted) {
        const wait = this.#urgent ? 0 : this.#tools.waitMs();
        if (wait > 0) {
          await this.#sleep(wait);
          continue;
        }
        this.#committing = this.#commit();
        await this.#committing;
      }
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  async #commit(): Promise<void> {
    this.#urgent = false;
    const waiters = this.#waiters.splice(0);
    try {
      await this.#tools.commit(waiters.length > 0);
      for (const { resolve } of waiters) resolve();
    } catch (error) {
      for (const { reject } of waiters) reject(error);
      throw error;
    }
  }

  async #sleep(ms: number): Promise<void> {
    const timer = Number.isFinite(ms) ? setTimeout(() => this.#wake.resolve(), ms) : undefined;
    await this.#wake.promise;
    clearTimeout(timer);
    this.#wake = Promise.withResolvers<void>();
  }
}
