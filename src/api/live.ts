import type { ConnectorDefinition, WatchContext, Watched } from '../connectors/connector.ts';
import { PenstockError } from '../errors.ts';

/** Limits how many expensive operations run at once in this process. */
export class Slots {
  readonly #max: number;
  readonly #what: string;
  #taken = 0;

  /** `what` names the operations in errors, in the plural. */
  constructor(max: number, what: string) {
    this.#max = max;
    this.#what = what;
  }

  /** Takes a place until the returned function is called, once. Throws `too_many_requests`. */
  take(): () => void {
    if (this.#taken >= this.#max)
      throw new PenstockError(
        'too_many_requests',
        `${this.#max} ${this.#what} are already running; try again in a moment`,
      );
    this.#taken++;
    return () => {
      this.#taken--;
    };
  }
}

export class PerSecond {
  readonly #max: number;
  readonly #startedAt = performance.now();
  #second = 0;
  #used = 0;

  constructor(max: number) {
    this.#max = max;
  }

  take(wanted = 1): number {
    const second = Math.floor((performance.now() - this.#startedAt) / 1000);
    if (second !== this.#second) this.#used = 0;
    this.#second = second;
    const granted = Math.max(0, Math.min(wanted, this.#max - this.#used));
    this.#used += granted;
    return granted;
  }
}

/** The reason with which a live view ends when it has not failed. */
export const enough = new Error('enough');

/**
 * Watches a source without affecting pipelines. Never resolves; rejects with the reason of `signal` or the failure. It calls
 * `listening` once and before the first message, which some servers send together with their confirmation.
 */
export async function watchSource(
  connector: ConnectorDefinition,
  context: WatchContext<unknown, unknown>,
): Promise<never> {
  if (!connector.watch)
    throw new PenstockError('invalid_request', `The connector ${connector.id} cannot show live messages`);
  let isListening = false;
  const listening = (): void => {
    if (isListening) return;
    isListening = true;
    context.listening();
  };
  const deliver = (message: Watched): void => {
    listening();
    context.deliver(message);
  };
  return connector.watch({ ...context, listening, deliver });
}

/** Messages of a live view that wait for a schema. */
const maxWaiting = 1000;

/**
 * Returns a function that delivers messages in order, each when it is ready to be decoded. `leftOut` is called for one that there
 * is no room for, `failed` once when a message can never be ready. Without anything to wait for it delivers at once.
 */
export function whenReady<M>(
  ready: (messages: readonly M[]) => Promise<void> | undefined,
  { deliver, leftOut, failed }: { deliver(message: M): void; leftOut(): void; failed(error: unknown): void },
): (message: M) => void {
  let last: Promise<void> | undefined;
  let waiting = 0;
  return (message) => {
    if (waiting >= maxWaiting) {
      leftOut();
      return;
    }
    const loading = last ? last.then(() => ready([message])) : ready([message]);
    if (loading === undefined) {
      deliver(message);
      return;
    }
    waiting += 1;
    const own = loading
      .then(() => deliver(message))
      .finally(() => {
        waiting -= 1;
        if (last === own) last = undefined;
      });
    last = own;
    own.catch(failed);
  };
}

/** Refuses a sink table: only sources have messages to watch. */
export function refuseSink(direction: string, path = ''): void {
  if (direction === 'source') return;
  const message = 'is a sink; only the messages of a source can be watched';
  throw new PenstockError('invalid_request', `The table ${message}`, {
    hint: 'Create a source table on the same topic to watch what is written there.',
    errors: [{ path, message }],
  });
}
