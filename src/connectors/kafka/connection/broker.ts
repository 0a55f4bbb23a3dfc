import type { Socket } from 'node:net';
import {
  type API,
  apiVersionsV3,
  type Connection,
  Reader,
  ResponseError,
  type ResponseParser,
  Writer,
} from '@platformatic/kafka';
import { PenstockError } from '../../../errors.ts';
import { type Endpoint, lastError } from '../../network/dial.ts';
import { isTlsReason, someTlsPeer, tlsError } from '../../network/socket-errors.ts';
import { kafkaError } from '../config/errors.ts';
import { addressOf, clientId, type KafkaProfile, requestTimeoutMs, saslOf } from '../config/profile.ts';
import { refusal, reply } from './replies.ts';

/** Largest response that a broker may send. Penstock asks for much less. */
const maxResponse = 64 * 1024 * 1024;

interface Request {
  parser: ResponseParser<unknown>;
  apiKey: number;
  apiVersion: number;
  tagged: boolean;
  timer: NodeJS.Timeout;
  callback(error: Error | null, value?: unknown): void;
}

// biome-ignore lint/suspicious/noExplicitAny: each version of a request has its own arguments and response
export type AnyApi = API<any[], any>;

type Arguments<A> = A extends API<infer P, unknown> ? P : never;
type Response<A> = A extends API<infer _, infer R> ? R : never;

/**
 * A connection to one broker, over a socket of `network/`. The requests are written and read by the library, which sees a
 * connection with `send` only.
 */
export class Broker {
  readonly endpoint: Endpoint;
  readonly #socket: Socket;
  readonly #profile: KafkaProfile;
  readonly #requests = new Map<number, Request>();
  readonly #closed: Promise<void>;
  readonly #versions = new Map<number, { min: number; max: number }>();
  #chunks: Buffer[] = [];
  #bytes = 0;
  #wanted = 4;
  #next = 0;
  #responses = 0;
  #failure: PenstockError | undefined;
  #closing = false;
  #lost: (error: PenstockError) => void = () => {};

  constructor(socket: Socket, endpoint: Endpoint, profile: KafkaProfile) {
    this.#socket = socket;
    this.endpoint = endpoint;
    this.#profile = profile;
    this.#closed = new Promise((resolve) => {
      if (socket.closed) resolve();
      else socket.once('close', () => resolve());
    });
    socket.on('data', this.#received);
    socket.once('close', () => this.#fail(this.#whyClosed()));
    if (socket.destroyed) this.#fail(this.#whyClosed());
  }

  get name(): string {
    return addressOf(this.endpoint);
  }

  /** Why the connection has ended. */
  get failure(): PenstockError | undefined {
    return this.#failure;
  }

  /** Calls `lost` once, when the connection ends before `close`. */
  whenLost(lost: (error: PenstockError) => void): void {
    this.#lost = lost;
    if (this.#failure !== undefined && !this.#closing) lost(this.#failure);
  }

  /** The first of `apis` whose version the broker has. */
  choose<A extends readonly AnyApi[]>(apis: A, what: string): A[number] {
    const found = apis.find((api) => this.has(api));
    if (found) return found;
    throw kafkaError(
      'kafka_too_old',
      `The broker ${this.name} does not support ${what} as Penstock needs it`,
      {
        hint: 'Penstock needs Kafka 2.7 or later.',
        facts: { versions: this.#versions.get(apis[0]?.key ?? -1) ?? null },
      },
    );
  }

  has(api: AnyApi): boolean {
    const { min, max } = this.#versions.get(api.key) ?? { min: 0, max: -1 };
    return api.version >= min && api.version <= max;
  }

  /** Number of kinds of requests that the broker knows. */
  get kinds(): number {
    return this.#versions.size;
  }

  /** Sends a request. Resolves with the response, also if it has errors in it. */
  call<A extends AnyApi>(api: A, ...args: Arguments<A>): Promise<Response<A>> {
    return new Promise((resolve, reject) => {
      const done = (error: Error | null, value?: unknown): void => {
        if (error instanceof ResponseError && 'response' in error) resolve(error.response as Response<A>);
        else if (error) reject(this.#translated(error));
        else resolve(value as Response<A>);
      };
      api(this as unknown as Connection, ...args, done);
    });
  }

  /** Called by the library. */
  send(
    apiKey: number,
    apiVersion: number,
    createPayload: () => Writer | Promise<Writer>,
    parser: ResponseParser<unknown>,
    taggedRequest: boolean,
    taggedResponse: boolean,
    callback: Request['callback'],
  ): void {
    const write = (payload: Writer): void => {
      if (this.#failure) {
        callback(this.#failure);
        return;
      }
      const id = this.#next;
      this.#next = (this.#next + 1) & 0x7fffffff;
      const writer = Writer.create()
        .appendInt16(apiKey)
        .appendInt16(apiVersion)
        .appendInt32(id)
        .appendString(clientId(this.#profile), false);
      if (taggedRequest) writer.appendTaggedFields();
      const ms = requestTimeoutMs(this.#profile);
      const timer = setTimeout(() => this.destroy(silent(this.name, ms)), ms);
      this.#requests.set(id, { parser, apiKey, apiVersion, tagged: taggedResponse, timer, callback });
      this.#socket.write(writer.appendFrom(payload).prependLength().buffer);
    };
    try {
      const payload = createPayload();
      if (payload instanceof Writer) write(payload);
      else payload.then(write).catch((error: unknown) => callback(error as Error));
    } catch (error) {
      callback(error as Error);
    }
  }

  /** Ends the connection at once. Pending requests reject with `error`. */
  destroy(error?: unknown): void {
    if (error === undefined) this.#closing = true;
    const reason = error ?? new PenstockError('connection_lost', 'The connection was closed');
    this.#fail(reason as PenstockError);
    this.#socket.destroy();
  }

  /** Ends the connection and waits until the socket is closed. Never throws. */
  async close(): Promise<void> {
    this.destroy();
    await this.#closed;
  }

  async askVersions(): Promise<void> {
    const response = await this.call(apiVersionsV3.api, 'penstock', '1');
    if (response.errorCode === reply.unsupportedVersion)
      throw kafkaError('kafka_too_old', `The broker ${this.name} does not support version 3 of ApiVersions`, {
        hint: 'Penstock needs Kafka 2.7 or later.',
      });
    checked(response.errorCode, `The broker ${this.name} does not say what it supports`);
    for (const { apiKey, minVersion, maxVersion } of response.apiKeys)
      this.#versions.set(apiKey, { min: minVersion, max: maxVersion });
  }

  readonly #received = (data: Buffer): void => {
    this.#chunks.push(data);
    this.#bytes += data.length;
    while (this.#bytes >= this.#wanted) {
      if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
      const all = this.#chunks[0] as Buffer;
      const size = all.readUInt32BE(0);
      if (size > maxResponse || size < 4) {
        this.destroy(this.#notKafka(all));
        return;
      }
      this.#wanted = size + 4;
      if (this.#bytes < this.#wanted) return;
      const rest = all.subarray(this.#wanted);
      this.#chunks = rest.length > 0 ? [rest] : [];
      this.#bytes = rest.length;
      const frame = all.subarray(4, this.#wanted);
      this.#wanted = 4;
      this.#responded(frame);
    }
  };

  #responded(frame: Buffer): void {
    const id = frame.readInt32BE(0);
    const request = this.#requests.get(id);
    if (!request) {
      this.destroy(this.#notKafka(frame));
      return;
    }
    this.#requests.delete(id);
    this.#responses += 1;
    clearTimeout(request.timer);
    let value: unknown;
    try {
      const body = frame.subarray(request.tagged ? 5 : 4);
      value = request.parser(id, request.apiKey, request.apiVersion, Reader.from(body));
    } catch (error) {
      this.#callBack(request, error as Error);
      return;
    }
    this.#callBack(request, null, value);
  }

  /** Keeps errors that the library throws in a callback from ending the process. */
  #callBack(request: Request, error: Error | null, value?: unknown): void {
    try {
      request.callback(error, value);
    } catch (thrown) {
      this.destroy(this.#translated(thrown));
    }
  }

  #translated(error: unknown): PenstockError {
    if (this.#failure) return this.#failure;
    if (error instanceof PenstockError) return error;
    const reason = error instanceof Error ? error.message : '';
    return kafkaError(
      'kafka_not_readable',
      `A response of the broker ${this.name} cannot be read: ${reason}`,
      {
        cause: error,
      },
    );
  }

  #notKafka(data: Buffer): PenstockError {
    const tls = data[0] === 0x15 && data[1] === 3;
    return kafkaError('kafka_not_spoken', `The server at ${this.name} does not respond as Kafka does`, {
      hint: tls
        ? 'It speaks TLS: set the protocol of authentication to SSL or SASL_SSL.'
        : 'Check the port: Kafka usually listens on 9092, with TLS on 9093.',
    });
  }

  #whyClosed(): PenstockError {
    const error = lastError(this.#socket);
    // In TLS 1.3 the refusal of a client certificate comes after the handshake.
    if (isTlsReason(error)) return tlsError(error, someTlsPeer(this.endpoint.host));
    if (this.#responses === 0)
      return kafkaError(
        'kafka_not_spoken',
        `The server at ${this.name} closed the connection at the first request`,
        {
          hint: this.endpoint.tls
            ? 'Check that this is a port of Kafka. Look at the log of the broker.'
            : 'It may be a listener with TLS: set the protocol of authentication to SSL or SASL_SSL.',
          cause: error,
        },
      );
    if (this.#responses === 1 && !saslOf(this.#profile) && this.#requests.size > 0)
      return kafkaError(
        'kafka_login_required',
        `The broker ${this.name} closed the connection at the first request without a login`,
        {
          hint: 'It may be a listener with SASL: set authentication. Otherwise look at the log of the broker.',
          cause: error,
        },
      );
    return kafkaError('connection_lost', `The connection to the broker ${this.name} was lost`, {
      facts: error?.code === undefined ? {} : { error: error.code },
      cause: error,
    });
  }

  #fail(error: PenstockError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const request of this.#requests.values()) {
      clearTimeout(request.timer);
      this.#callBack(request, error);
    }
    this.#requests.clear();
    if (!this.#closing) this.#lost(error);
  }
}

const silent = (name: string, ms: number): PenstockError =>
  kafkaError('connection_lost', `The broker ${name} has not responded for ${ms} ms`, {
    hint: 'Check the network, and whether the broker hangs.',
  });

/** Throws the error of a response unless it is 0. */
export function checked(code: number, what: string, hint?: string): void {
  if (code !== 0) throw refusal(code, what, hint);
}
