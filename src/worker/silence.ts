/** Watches for how long nothing has been heard. It is told of each batch, so hearing costs no timer. */
export class SilenceWatch {
  readonly #maxMs: number;
  readonly #changed: (silent: boolean) => void;
  #timer: NodeJS.Timeout | undefined;
  #heardAt = 0;
  #silent = false;
  #busy = false;

  /** `changed` is called with true after `maxMs` without a batch, and with false when there is one again. */
  constructor(maxMs: number, changed: (silent: boolean) => void) {
    this.#maxMs = maxMs;
    this.#changed = changed;
  }

  start(): void {
    this.#heardAt = performance.now();
    this.#timer = setTimeout(this.#look, this.#maxMs);
  }

  /** A batch has come. */
  heard(): void {
    this.#heardAt = performance.now();
    if (!this.#silent) return;
    this.#silent = false;
    this.#changed(false);
  }

  /** Whether one is on its way to the sink: nobody listens for more until it is there, so that is no silence. */
  busy(busy: boolean): void {
    if (this.#busy && !busy) this.#heardAt = performance.now();
    this.#busy = busy;
  }

  stop(): void {
    clearTimeout(this.#timer);
    if (this.#silent) this.#changed(false);
    this.#silent = false;
  }

  readonly #look = (): void => {
    const left = this.#busy ? this.#maxMs : this.#heardAt + this.#maxMs - performance.now();
    if (left <= 0 && !this.#silent) {
      this.#silent = true;
      this.#changed(true);
    }
    this.#timer = setTimeout(this.#look, left > 0 ? Math.ceil(left) : this.#maxMs);
  };
}
