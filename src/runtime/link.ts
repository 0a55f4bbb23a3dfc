import type { MessagePort, Worker as Thread } from 'node:worker_threads';
import type { PenstockError } from '../errors.ts';
import { fromPlain, type PlainError, toPlain } from './plain-error.ts';

/** What one side does for the other, by name. Input and answer are plain data, as structured cloning takes them. */
export type Operations = Record<string, (input: never) => unknown>;

type InputOf<O extends Operations, K extends keyof O> = Parameters<O[K]>[0];
type AnswerOf<O extends Operations, K extends keyof O> = Awaited<ReturnType<O[K]>>;

/** One end of a channel between two threads. */
type Port = Pick<MessagePort | Thread, 'postMessage' | 'on'>;

type Message =
  | { does: string; input: unknown; id: number | undefined }
  | { answers: number; answer?: unknown; error?: PlainError };

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: PenstockError): void;
}

/** Two threads that ask things of each other. What one tells the other arrives in the order in which it was told. */
export class Link<Theirs extends Operations> {
  readonly #port: Port;
  readonly #ours: Operations;
  readonly #failed: (error: unknown) => void;
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;
  #cut: PenstockError | undefined;

  /** `failed` gets what is thrown by an operation that nobody waits for. */
  constructor(port: Port, ours: Operations, failed: (error: unknown) => void) {
    this.#port = port;
    this.#ours = ours;
    this.#failed = failed;
    port.on('message', (message: Message) => {
      if ('does' in message) void this.#serve(message);
      else this.#answered(message);
    });
  }

  /** Resolves with the answer; rejects with a `PenstockError`, also when the other side is gone. */
  async call<K extends keyof Theirs & string>(
    does: K,
    input: InputOf<Theirs, K>,
  ): Promise<AnswerOf<Theirs, K>> {
    if (this.#cut) throw this.#cut;
    this.#last += 1;
    const id = this.#last;
    this.#port.postMessage({ does, input, id } satisfies Message);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.set(id, { resolve, reject });
    return (await promise) as AnswerOf<Theirs, K>;
  }

  /** Waits for nothing, and does nothing when the other side is gone. */
  tell<K extends keyof Theirs & string>(does: K, input: InputOf<Theirs, K>): void {
    if (!this.#cut) this.#port.postMessage({ does, input, id: undefined } satisfies Message);
  }

  /** The other side is gone: nobody gets an answer any more. */
  cut(error: PenstockError): void {
    this.#cut ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  async #serve({ does, input, id }: Extract<Message, { does: string }>): Promise<void> {
    try {
      const answer = await this.#ours[does]?.(input as never);
      if (id !== undefined) this.#port.postMessage({ answers: id, answer } satisfies Message);
    } catch (error) {
      if (id === undefined) this.#failed(error);
      else this.#port.postMessage({ answers: id, error: toPlain(error) } satisfies Message);
    }
  }

  #answered({ answers, answer, error }: Extract<Message, { answers: number }>): void {
    const waiting = this.#waiting.get(answers);
    this.#waiting.delete(answers);
    if (error) waiting?.reject(fromPlain(error));
    else waiting?.resolve(answer);
  }
}
