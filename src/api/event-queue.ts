/** What waits to be answered: one side adds, the other iterates. */
export class EventQueue<T> {
  readonly #sizeOf: (event: T) => number;
  readonly #waiting: T[] = [];
  #size = 0;
  #wake: (() => void) | undefined;
  #over = false;

  constructor(sizeOf: (event: T) => number = () => 1) {
    this.#sizeOf = sizeOf;
  }

  /** Of all that waits. */
  get size(): number {
    return this.#size;
  }

  add(event: T): void {
    this.#waiting.push(event);
    this.#size += this.#sizeOf(event);
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
      if (event !== undefined) {
        this.#size -= this.#sizeOf(event);
        yield event;
      } else if (this.#over) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
