import type { PenstockError } from '../errors.ts';
import type { TaskSpec } from '../runtime/task-spec.ts';

/**
 * How far a job is with the edits of what it runs. Until a new version has run for the first time, with every task
 * connected, there is something to go back to: the last version that did.
 */
export class Edits {
  #asked: number;
  #begun: number;
  /** Whether what runs now has been connected as a whole. */
  #proven = false;
  #fallback: readonly TaskSpec[] | undefined;
  #goingBack = false;
  /** Why the last edit is not what runs. */
  refusal: PenstockError | undefined;

  /** `done` edits are part of what the job starts with. */
  constructor(done: number) {
    this.#asked = done;
    this.#begun = done;
  }

  /** Answers whether that is new. */
  ask(requests: number): boolean {
    if (requests <= this.#asked) return false;
    this.#asked = requests;
    return true;
  }

  get pending(): boolean {
    return this.#asked > this.#begun;
  }

  /** All that are asked for are dealt with together; answers how many that makes. */
  begin(): number {
    this.#begun = this.#asked;
    return this.#begun;
  }

  /** Another version takes the place of `before`. */
  trying(before: readonly TaskSpec[]): void {
    if (this.#proven) this.#fallback = before;
    this.#proven = false;
    this.refusal = undefined;
  }

  /** What runs now is connected as a whole. */
  ran(): void {
    if (this.#goingBack) return;
    this.#proven = true;
    this.#fallback = undefined;
  }

  get canGoBack(): boolean {
    return this.#fallback !== undefined;
  }

  /** Answers whether that is new. */
  goBack(): boolean {
    if (this.#goingBack) return false;
    this.#goingBack = true;
    return true;
  }

  /** What to go back to, once. */
  takeBack(): TaskSpec[] | undefined {
    if (!this.#goingBack) return undefined;
    this.#goingBack = false;
    const fallback = this.#fallback;
    this.#fallback = undefined;
    return fallback && [...fallback];
  }
}
