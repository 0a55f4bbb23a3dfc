/** Minimum number of taken elements to cut off. */
const minCut = 64;

/** A queue in which taking the first element costs the same however long it is. */
export class Fifo<T> {
  #elements: T[] = [];
  #head = 0;

  get length(): number {
    return this.#elements.length - this.#head;
  }

  get first(): T | undefined {
    return this.#elements[this.#head];
  }

  push(element: T): void {
    this.#elements.push(element);
  }

  shift(): T | undefined {
    const { first } = this;
    if (this.length === 0) return undefined;
    // Without it the element would be kept until the next cut.
    this.#elements[this.#head] = undefined as T;
    this.#head += 1;
    if (this.#head >= minCut && this.#head * 2 > this.#elements.length) {
      this.#elements = this.#elements.slice(this.#head);
      this.#head = 0;
    }
    return first;
  }
}
