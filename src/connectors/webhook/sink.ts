import { createHash } from 'node:crypto';
import { asPenstockError, PenstockError } from '../../errors.ts';
import type { Value } from '../../formats/format.ts';
import type { Outgoing, Refusal, RunContext, Sink } from '../connector.ts';
import { pause } from '../network/deadline.ts';
import { HttpClient, type HttpResponse, statusError } from '../network/http.ts';
import { httpServer, requestOf } from '../network/http-table.ts';
import {
  checkBatches,
  contentType,
  refusesMessage,
  sends,
  type WebhookTable,
  webhookError,
} from './table.ts';

type WebhookContext = RunContext<unknown, WebhookTable>;

/** Bytes of a response that are read; servers have little to say. */
const maxResponseBytes = 1024 * 1024;
/** Tries of one request while the server says that it is not available. Then the job connects again, with back-off. */
const maxTries = 5;
const firstPauseMs = 250;
const maxPauseMs = 30_000;

export async function openSink(context: WebhookContext): Promise<Sink> {
  const { table, schema, signal } = context;
  signal.throwIfAborted();
  checkBatches(table, schema);
  const client = await HttpClient.open(httpServer(context), {
    connections: sends(table).concurrency,
    signal,
  });
  return new WebhookSink(context, client);
}

interface Call {
  refusals: Refusal[];
  /** Number of messages that are neither confirmed nor refused. */
  left: number;
  resolve(refusals: Refusal[]): void;
  reject(error: unknown): void;
}

interface Pending {
  message: Outgoing;
  index: number;
  call: Call;
  key: Value | undefined;
}

/** Sends messages in order: of each key, if there is one, or else of the requests. Every request is confirmed by its status. */
class WebhookSink implements Sink {
  readonly #context: WebhookContext;
  readonly #client: HttpClient;
  readonly #options: ReturnType<typeof sends>;
  readonly #request: ReturnType<typeof requestOf>;
  readonly #contentType: string;
  readonly #closing = new AbortController();
  readonly #calls = new Set<Call>();
  /** Messages that wait, in order. */
  #waiting: Pending[] = [];
  readonly #busyKeys = new Set<Value | undefined>();
  #requests = 0;
  #inFlight = 0;
  #failure: { error: unknown } | undefined;

  constructor(context: WebhookContext, client: HttpClient) {
    this.#context = context;
    this.#client = client;
    this.#options = sends(context.table);
    this.#request = requestOf(context.table);
    this.#contentType = contentType(context.table, context.schema);
    context.signal.addEventListener('abort', this.#aborted, { once: true });
  }

  async write(messages: Outgoing[]): Promise<Refusal[]> {
    if (this.#failure) throw this.#failure.error;
    if (messages.length === 0) return [];
    const { promise, resolve, reject } = Promise.withResolvers<Refusal[]>();
    const call: Call = { refusals: [], left: messages.length, resolve, reject };
    this.#calls.add(call);
    const { orderBy } = this.#options;
    for (const [index, message] of messages.entries()) {
      const key = orderBy === undefined ? undefined : message.row[orderBy];
      this.#waiting.push({ message, index, call, key });
    }
    this.#pump();
    return promise;
  }

  async close(): Promise<void> {
    this.#context.signal.removeEventListener('abort', this.#aborted);
    this.#fail(new PenstockError('connection_lost', 'The sink was closed'));
    await this.#client.close();
  }

  #pump(): void {
    while (!this.#failure && this.#requests < this.#options.concurrency) {
      const batch = this.#take();
      if (batch.length === 0) return;
      this.#requests += 1;
      this.#inFlight += batch.length;
      for (const { key } of batch) this.#busyKeys.add(key);
      void this.#deliver(batch)
        .catch((error: unknown) => this.#lose(error))
        .finally(() => {
          this.#requests -= 1;
          this.#inFlight -= batch.length;
          for (const { key } of batch) this.#busyKeys.delete(key);
          this.#pump();
        });
    }
  }

  /** Takes the next messages that fit into one request. A message waits while an earlier one of its key is under way. */
  #take(): Pending[] {
    const { maxMessages, maxBytes, orderBy } = this.#options;
    const most = Math.min(maxMessages, this.#context.window - this.#inFlight);
    const taken: Pending[] = [];
    const passedOver = new Set<Value | undefined>();
    let bytes = 0;
    let at = 0;
    const kept: Pending[] = [];
    for (; at < this.#waiting.length && taken.length < most; at++) {
      const pending = this.#waiting[at] as Pending;
      const blocked =
        orderBy !== undefined && (this.#busyKeys.has(pending.key) || passedOver.has(pending.key));
      if (blocked) {
        passedOver.add(pending.key);
        kept.push(pending);
        continue;
      }
      bytes += pending.message.payload.length + 1;
      if (taken.length > 0 && bytes > maxBytes) break;
      taken.push(pending);
    }
    if (taken.length > 0) this.#waiting = [...kept, ...this.#waiting.slice(at)];
    return taken;
  }

  /** Sends a batch until it is taken. Divides one that is refused, so that only the messages at fault are refused. */
  async #deliver(batch: readonly Pending[]): Promise<void> {
    const response = await this.#sendUntilTaken(batch);
    if (!refusesMessage(response.status)) {
      for (const pending of batch) this.#settle(pending);
      return;
    }
    const [first] = batch;
    if (batch.length === 1 && first) {
      const message = `The server refused the message with HTTP status ${response.status}`;
      const error = webhookError('webhook_message_refused', message, {
        facts: { statusCode: response.status },
      });
      this.#settle(first, error);
      return;
    }
    const middle = Math.ceil(batch.length / 2);
    await this.#deliver(batch.slice(0, middle));
    await this.#deliver(batch.slice(middle));
  }

  async #sendUntilTaken(batch: readonly Pending[]): Promise<HttpResponse> {
    for (let tries = 1; ; tries++) {
      const response = await this.#send(batch);
      const error = refusesMessage(response.status) ? undefined : statusError(response);
      if (!error) return response;
      if (!error.passing || tries === maxTries) throw error;
      this.#context.warn(error);
      const asked = error.facts.retryAfterMs as number | undefined;
      if ((asked ?? 0) > maxPauseMs) throw error;
      await pause(asked ?? firstPauseMs * 2 ** (tries - 1), this.#closing.signal);
    }
  }

  /** A server may close an idle connection at the moment it is used again. One more try shows whether it is gone. */
  async #send(batch: readonly Pending[]): Promise<HttpResponse> {
    try {
      return await this.#sendOnce(batch);
    } catch (error) {
      if (!(error instanceof PenstockError) || error.code !== 'connection_lost') throw error;
      return this.#sendOnce(batch);
    }
  }

  #sendOnce(batch: readonly Pending[]): Promise<HttpResponse> {
    const { method, idempotencyHeader } = this.#options;
    const { url, headers, timeoutMs } = this.#request;
    const body = this.#bodyOf(batch);
    const key = idempotencyHeader && { [idempotencyHeader]: createHash('sha256').update(body).digest('hex') };
    return this.#client.request({
      method,
      url,
      headers: { 'content-type': this.#contentType, ...headers, ...key },
      body,
      timeoutMs,
      maxBytes: maxResponseBytes,
      signal: this.#closing.signal,
    });
  }

  #bodyOf(batch: readonly Pending[]): Buffer {
    const payloads = batch.map(({ message }) => message.payload);
    const separated = (separator: Buffer) =>
      payloads.flatMap((payload, index) => (index === 0 ? [payload] : [separator, payload]));
    switch (this.#options.batch) {
      case 'json_array':
        return Buffer.concat([Buffer.from('['), ...separated(Buffer.from(',')), Buffer.from(']')]);
      case 'ndjson':
        return Buffer.concat(payloads.flatMap((payload) => [payload, Buffer.from('\n')]));
      default:
        return payloads[0] as Buffer;
    }
  }

  #settle({ call, index }: Pending, error?: PenstockError): void {
    if (error) call.refusals.push({ index, error });
    call.left -= 1;
    if (call.left > 0) return;
    this.#calls.delete(call);
    call.resolve(call.refusals.toSorted((a, b) => a.index - b.index));
  }

  #lose(error: unknown): void {
    if (this.#failure) return;
    const raised = asPenstockError(error);
    this.#fail(raised);
    this.#context.lost?.(raised);
  }

  readonly #aborted = (): void => this.#fail(this.#context.signal.reason);

  #fail(error: unknown): void {
    if (this.#failure) return;
    this.#failure = { error };
    this.#closing.abort(error);
    this.#waiting = [];
    for (const call of this.#calls) call.reject(error);
    this.#calls.clear();
  }
}
