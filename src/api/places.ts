import { PenstockError } from '../errors.ts';

/** A number of places for what costs too much to run any number of times at once, in one process. */
export class Places {
  readonly #most: number;
  readonly #what: string;
  #taken = 0;

  /** `what` is who sits there, in the plural, for the refusal. */
  constructor(most: number, what: string) {
    this.#most = most;
    this.#what = what;
  }

  /** A place until the function it answers is called, once. Throws `too_many_requests`. */
  take(): () => void {
    if (this.#taken >= this.#most) {
      throw new PenstockError(
        'too_many_requests',
        `${this.#most} ${this.#what} are running already; try again in a moment`,
      );
    }
    this.#taken++;
    return () => {
      this.#taken--;
    };
  }
}
