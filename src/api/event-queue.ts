/** What waits to be answered: one side adds, the other iterates. */
export class EventQueue<T> {
  readonly #waiting: T[] = [];
  #wake: (() => void) | undefined;
  #over = false;

  /** How many wait. */
  get length(): number {
    return this.#waiting.length;
  }

  add(event: T): void {
    this.#waiting.push(event);
    this.#wake?.();
  }

  /** The iteration ends after what waits. */
  end(): void {
    this.#over = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const event = this.#waiting.shift();
      if (event !== undefined) yield event;
      else if (this.#over) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
