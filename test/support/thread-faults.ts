import { BroadcastChannel } from 'node:worker_threads';
import { atEnd } from './at-end.ts';

/** Makes the threads of this process fail on demand, if they begin with `entry`. */
export class ThreadFaults {
  static readonly entry = new URL('./faulty-thread.ts', import.meta.url);
  /** The ids of the threads that have started, in order. */
  readonly started: number[] = [];
  readonly #channel = new BroadcastChannel('faults of threads');

  constructor() {
    this.#channel.onmessage = (message: unknown) => {
      const { started } = (message as { data: { started?: number } }).data;
      if (started !== undefined) this.started.push(started);
    };
    atEnd(() => this.#channel.close());
  }

  /** Throws an uncaught error, or blocks forever. */
  cause(fault: 'crash' | 'hang', thread: number): void {
    this.#channel.postMessage({ fault, thread });
  }
}
