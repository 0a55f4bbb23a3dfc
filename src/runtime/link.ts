import type { MessagePort, Worker as Thread } from 'node:worker_threads';
import { type AnyErrorCode, asPenstockError, type FieldError, PenstockError } from '../errors.ts';

/** An operation that one thread performs for the other. Input and result are plain data (structured clone). */
type RemoteOperation = (input: never) => unknown;

type InputOf<O, K extends keyof O> = Parameters<Extract<O[K], RemoteOperation>>[0];
type ResultOf<O, K extends keyof O> = Awaited<ReturnType<Extract<O[K], RemoteOperation>>>;

type Port = Pick<MessagePort | Thread, 'postMessage' | 'on'>;

interface CallRequest {
  operation: string;
  input: unknown;
  /** The attempt that must perform it. Undefined for the thread itself. */
  attempt: number | undefined;
  /** Undefined if the sender does not wait for a response. */
  id: number | undefined;
}

interface Response {
  responseTo: number;
  result?: unknown;
  error?: PlainError;
}

interface PendingCall {
  resolve(result: unknown): void;
  reject(error: PenstockError): void;
}

/** Calls between two threads. Requests arrive in the order in which they were sent. */
export class Link<Remote> {
  readonly #port: Port;
  readonly #local: (attempt: number | undefined) => object | undefined;
  readonly #failed: (error: unknown) => void;
  readonly #pending = new Map<number, PendingCall>();
  #lastId = 0;
  #closedBy: PenstockError | undefined;

  /**
   * `local` returns the operations of an attempt, or of the thread itself. Undefined if the attempt is over. `failed` receives
   * errors of operations whose caller does not wait.
   */
  constructor(
    port: Port,
    local: (attempt: number | undefined) => object | undefined,
    failed: (error: unknown) => void,
  ) {
    this.#port = port;
    this.#local = local;
    this.#failed = failed;
    port.on('message', (message: CallRequest | Response) => {
      if ('operation' in message) void this.#serve(message);
      else this.#settle(message);
    });
  }

  /** Resolves with the result. Rejects with a `PenstockError`, also when the attempt is over or the thread is gone. */
  async call<K extends keyof Remote & string>(
    operation: K,
    input: InputOf<Remote, K>,
    attempt?: number,
  ): Promise<ResultOf<Remote, K>> {
    if (this.#closedBy) throw this.#closedBy;
    this.#lastId += 1;
    const id = this.#lastId;
    this.#port.postMessage({ operation, input, attempt, id } satisfies CallRequest);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { resolve, reject });
    return (await promise) as ResultOf<Remote, K>;
  }

  /** Does not wait for a response. Does nothing when the attempt is over or the other thread is gone. */
  notify<K extends keyof Remote & string>(operation: K, input: InputOf<Remote, K>, attempt?: number): void {
    if (this.#closedBy) return;
    this.#port.postMessage({ operation, input, attempt, id: undefined } satisfies CallRequest);
  }

  /** The other thread is gone: rejects pending and future calls with `error`. */
  close(error: PenstockError): void {
    this.#closedBy ??= error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  async #serve({ operation, input, attempt, id }: CallRequest): Promise<void> {
    try {
      const target = this.#local(attempt) as Record<string, RemoteOperation> | undefined;
      if (!target && id !== undefined)
        throw new PenstockError('connection_lost', 'The task is no longer connected');
      const result = await target?.[operation]?.(input as never);
      if (id !== undefined) this.#port.postMessage({ responseTo: id, result } satisfies Response);
    } catch (error) {
      if (id === undefined) this.#failed(error);
      else this.#port.postMessage({ responseTo: id, error: toPlain(error) } satisfies Response);
    }
  }

  #settle({ responseTo, result, error }: Response): void {
    const call = this.#pending.get(responseTo);
    this.#pending.delete(responseTo);
    if (error) call?.reject(fromPlain(error));
    else call?.resolve(result);
  }
}

/** A `PenstockError` as plain data, to cross between threads. */
export interface PlainError {
  code: AnyErrorCode;
  passing: boolean;
  message: string;
  stack: string | undefined;
  hint: string | undefined;
  errors: FieldError[];
  facts: Record<string, unknown>;
  cause: Error | undefined;
}

const maxCauseDepth = 4;

export function toPlain(error: unknown): PlainError {
  const { code, passing, message, stack, hint, errors, facts, cause } = asPenstockError(error);
  return { code, passing, message, stack, hint, errors, facts, cause: plainCause(cause) };
}

export function fromPlain(plain: PlainError): PenstockError {
  const { message, stack, hint, errors, facts, cause } = plain;
  const error = new PenstockError(plain, message, { ...(hint ? { hint } : {}), errors, facts, cause });
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** Message, stack and causes only: errors of libraries may hold values that cannot be cloned. */
export function plainCause(cause: unknown, depth = 0): Error | undefined {
  if (cause === undefined || depth === maxCauseDepth) return undefined;
  if (!(cause instanceof Error)) return new Error(String(cause));
  const plain = new Error(cause.message, { cause: plainCause(cause.cause, depth + 1) });
  if (cause.stack !== undefined) plain.stack = cause.stack;
  return plain;
}
