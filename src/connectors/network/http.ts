import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { asPenstockError, PenstockError } from '../../errors.ts';
import type { Reachable } from '../connector.ts';
import { within } from './deadline.ts';
import { openSocket } from './dial.ts';
import { isTlsReason, isUnavailable, refusedPeer, tlsError } from './socket-errors.ts';
import type { TlsProfile } from './tls.ts';

/** HTTP/1.1 for connectors. Every connection, also of a redirect, is dialled through the allowed targets. */

export interface HttpRequest {
  method: string;
  url: URL;
  headers: Readonly<Record<string, string>>;
  body?: Buffer | string | undefined;
  /** Deadline for the whole response, in milliseconds. */
  timeoutMs: number;
  /** Maximum size of the body, in bytes. */
  maxBytes: number;
  signal: AbortSignal;
}

export interface HttpResponse {
  status: number;
  /** By lower-case name. Several values of one header are joined by commas. */
  headers: Readonly<Record<string, string>>;
  body: Buffer;
}

export type StreamedResponse = Omit<HttpResponse, 'body'> & { body: Readable };

const maxRedirects = 5;
const maxHeaderBytes = 64 * 1024;

/** A pool of connections to the servers of one connector. Close it at the end. */
export class HttpClient {
  readonly #agent: Dispatcher;
  readonly #refusal: () => PenstockError | undefined;

  /** `refusal`: why a server has refused TLS after the handshake. */
  private constructor(agent: Dispatcher, refusal: () => PenstockError | undefined) {
    this.#agent = agent;
    this.#refusal = refusal;
  }

  /** `connections`: maximum number to one server. `signal` ends the dialling of connections. */
  static async open(
    reachable: Reachable<TlsProfile>,
    { connections = 8, signal }: { connections?: number; signal: AbortSignal },
  ): Promise<HttpClient> {
    const { Agent } = await import('undici');
    let refusal: PenstockError | undefined;
    return new HttpClient(
      new Agent({
        connections,
        pipelining: 1,
        maxHeaderSize: maxHeaderBytes,
        connect: (options, callback) => {
          const tls = options.protocol === 'https:';
          const host = options.hostname.replace(/^\[(.*)\]$/, '$1');
          const port = options.port ? Number(options.port) : tls ? 443 : 80;
          openSocket({ host, port, tls }, reachable, signal).then(
            (socket: Socket) => {
              // The client that opened the socket is told only that it is closed.
              socket.on('error', (error) => {
                if (isTlsReason(error)) refusal = tlsError(error, refusedPeer(host, reachable.profile));
              });
              callback(null, socket as never);
            },
            (error: Error) => callback(error, null),
          );
        },
      }),
      () => refusal,
    );
  }

  /**
   * Sends a request and reads the whole response. GET and HEAD follow redirects within the same origin, at most five. Throws
   * `http_protocol_error`, `http_too_large`, or what dialling throws; any status is returned.
   */
  async request(request: HttpRequest): Promise<HttpResponse> {
    let { url } = request;
    for (let redirects = 0; ; redirects++) {
      const response = await this.#once({ ...request, url });
      const { location } = response.headers;
      const isRedirect = response.status >= 300 && response.status < 400 && location !== undefined;
      if (!isRedirect || !['GET', 'HEAD'].includes(request.method)) return response;
      if (redirects === maxRedirects)
        throw new PenstockError('http_refused', `The server redirects more than ${maxRedirects} times`);
      url = redirected(url, location);
    }
  }

  /** Opens a response whose body the caller reads to its end or destroys. `signal` ends it too. */
  async stream(request: Omit<HttpRequest, 'maxBytes'>): Promise<StreamedResponse> {
    const { timeoutMs, signal } = request;
    const ending = new AbortController();
    const end = () => ending.abort(signal.reason);
    try {
      const late = () => timedOut(timeoutMs);
      const response = await within(timeoutMs, signal, late, (soon) => {
        soon.addEventListener('abort', () => ending.abort(soon.reason), { once: true });
        return this.#send(request, ending.signal);
      });
      signal.addEventListener('abort', end, { once: true });
      response.body.once('close', () => signal.removeEventListener('abort', end));
      return response;
    } catch (error) {
      throw this.#translated(error, signal);
    }
  }

  async #once(request: HttpRequest): Promise<HttpResponse> {
    const { timeoutMs, maxBytes, signal } = request;
    const late = () => timedOut(timeoutMs);
    try {
      return await within(timeoutMs, signal, late, async (soon) => {
        const { body, ...response } = await this.#send(request, soon);
        return { ...response, body: await readAll(body, maxBytes) };
      });
    } catch (error) {
      throw this.#translated(error, signal);
    }
  }

  #translated(error: unknown, signal: AbortSignal): unknown {
    const found = translated(error, signal);
    const isLost = found instanceof PenstockError && found.code === 'connection_lost';
    return (isLost && this.#refusal()) || found;
  }

  async #send(
    { method, url, headers, body }: Pick<HttpRequest, 'method' | 'url' | 'headers' | 'body'>,
    signal: AbortSignal,
  ): Promise<StreamedResponse> {
    const response = await this.#agent.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: method as Dispatcher.HttpMethod,
      headers,
      body: body ?? null,
      signal,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    // One that is destroyed early has an error that nobody waits for.
    response.body.on('error', () => {});
    return { status: response.statusCode, headers: joined(response.headers), body: response.body };
  }

  /** Closes all connections at once. Never throws. */
  async close(): Promise<void> {
    await this.#agent.destroy().catch(() => {});
  }
}

/** Runs `work` with a client of one connection. */
export async function withHttpClient<T>(
  reachable: Reachable<TlsProfile>,
  signal: AbortSignal,
  work: (client: HttpClient) => Promise<T>,
): Promise<T> {
  const client = await HttpClient.open(reachable, { connections: 1, signal });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

async function readAll(body: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes)
      throw new PenstockError('http_too_large', `The response is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** A redirect to another origin would take headers with secrets there. */
function redirected(from: URL, location: string): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from.href) : undefined;
  if (to?.origin === from.origin) return to;
  throw new PenstockError('http_refused', 'The server redirects to another origin, which is not followed', {
    hint: 'Set the endpoint to the address that it redirects to.',
  });
}

const joined = (headers: Record<string, string | string[] | undefined>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
    ),
  );

const timedOut = (ms: number): PenstockError =>
  new PenstockError('connection_timeout', `The server did not respond within ${ms} ms`, {
    hint: 'Check the endpoint, or raise the timeout.',
  });

function translated(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  if (error instanceof PenstockError) return error;
  const { code = '', name, message } = error as NodeJS.ErrnoException;
  if (error instanceof Error && error.cause instanceof PenstockError) return error.cause;
  if (['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(code))
    return new PenstockError('connection_lost', `The server closed the connection (${message})`, {
      cause: error,
    });
  if (code.startsWith('HPE_') || code.startsWith('UND_ERR_') || name === 'HTTPParserError')
    return new PenstockError('http_protocol_error', `The response is not valid HTTP (${code})`, {
      cause: error,
    });
  return asPenstockError(error);
}

/** Returns the error of a status that is not a success; undefined for 2xx. */
export function statusError({
  status,
  headers,
}: Pick<HttpResponse, 'status' | 'headers'>): PenstockError | undefined {
  if (status >= 200 && status < 300) return undefined;
  const text = `The server responded with HTTP status ${status}`;
  const facts = { statusCode: status };
  if ([401, 403, 407].includes(status)) return new PenstockError('http_unauthorized', text, { facts });
  if (isUnavailable(status)) {
    const after = retryAfterMs(headers['retry-after']);
    return new PenstockError('http_unavailable', text, {
      facts: { ...facts, ...(after === undefined ? {} : { retryAfterMs: after }) },
    });
  }
  return new PenstockError('http_refused', text, { facts });
}

/** Milliseconds that a `Retry-After` asks for: seconds or a date (RFC 9110, 10.2.3). At most an hour. */
export function retryAfterMs(value: string | undefined, now: number = Date.now()): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), 3_600_000);
}

const headerStart = /[,\n](?=\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*:)/;
const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const owned = [
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** Whether the connection sets this header, so that no other may. */
export const isOwned = (name: string): boolean => owned.includes(name) || name.startsWith('sec-websocket-');

/**
 * Parses `Name: value,Name: value`, as Arroyo writes headers, or one header a line. A comma inside a value stays. Returns a
 * predicate that shows no value if the text is invalid.
 */
export function parseHeaders(text: string): Record<string, string> | string {
  const headers: Record<string, string> = {};
  for (const part of text.split(headerStart)) {
    if (part.trim() === '') continue;
    const colon = part.indexOf(':');
    const name = part.slice(0, Math.max(colon, 0)).trim();
    const value = part.slice(colon + 1).trim();
    if (!headerName.test(name))
      return 'must be headers like "Name: value", separated by commas or line breaks';
    if (/[^\t\x20-\x7e\x80-\xff]/.test(value))
      return `must have no control or non-Latin-1 characters in the value of ${name}`;
    if (isOwned(name.toLowerCase())) return `must not set ${name}, which the connection sets itself`;
    if (name.toLowerCase() in headers) return `must not set ${name} twice`;
    headers[name.toLowerCase()] = value;
  }
  return headers;
}
