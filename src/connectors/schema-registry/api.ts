import { asPenstockError, PenstockError } from '../../errors.ts';
import type { Reachable } from '../connector.ts';
import { HttpClient, type HttpResponse, retryAfterMs } from '../network/http.ts';
import { given } from '../network/tls.ts';
import { parseEndpoint, type SchemaRegistry } from './profile.ts';

/** Requests to a schema registry. */

const timeoutMs = 10_000;
const maxResponseBytes = 4 * 1024 * 1024;
const maxShown = 500;

export class RegistryApi {
  readonly #registry: Reachable<SchemaRegistry>;
  readonly #signal: AbortSignal;
  readonly #base: string;
  #http: Promise<HttpClient> | undefined;

  /** Connects on demand. `signal` ends everything. */
  constructor(registry: Reachable<SchemaRegistry>, signal: AbortSignal) {
    this.#registry = registry;
    this.#signal = signal;
    const { endpoint } = registry.profile;
    const url = parseEndpoint(endpoint);
    if (typeof url === 'string')
      throw new PenstockError('invalid_config', `The endpoint of the schema registry ${url}`);
    this.#base = url.href.replace(/\/*$/, '/');
  }

  /** Name of the registry for people. */
  get address(): string {
    return this.#base.replace(/\/$/, '');
  }

  async close(): Promise<void> {
    const http = await this.#http?.catch(() => undefined);
    await http?.close();
  }

  /** Returns the body of a response; undefined if what was asked for does not exist. */
  async ask(method: string, path: string, body?: object): Promise<unknown> {
    const response = await this.#request(method, path, body);
    const { status } = response;
    const json = jsonIn(response.body);
    if (status >= 200 && status < 300) {
      if (json === undefined) throw this.notRegistry({ statusCode: status });
      return json;
    }
    const { error_code: code, message } = Object(json) as { error_code?: unknown; message?: unknown };
    const facts = { statusCode: status, ...(typeof code === 'number' ? { errorCode: code } : {}) };
    const words = typeof message === 'string' ? `: ${shown(message)}` : '';
    const text = `The schema registry at ${this.address} responded with HTTP status ${status}${words}`;
    if (status === 404) {
      if (code === 404 || (typeof code === 'number' && Math.floor(code / 100) === 404)) return undefined;
      throw this.notRegistry(facts);
    }
    if ([401, 403, 407].includes(status))
      throw new PenstockError('schema_registry_unauthorized', text, {
        hint: 'Check apiKey and apiSecret of the schema registry in the connection profile or table, and what they may do.',
        facts,
      });
    if ([408, 425, 429].includes(status) || status >= 500) {
      const after = retryAfterMs(response.headers['retry-after']);
      const wait = after === undefined ? {} : { retryAfterMs: after };
      throw new PenstockError('schema_registry_unavailable', text, { facts: { ...facts, ...wait } });
    }
    if (status === 409)
      throw new PenstockError('schema_incompatible', text, {
        hint: 'Take the latest schema of the subject as the definition of the table, or change the compatibility of the subject.',
        facts,
      });
    if (typeof code !== 'number') throw this.notRegistry(facts);
    const hint =
      status === 422
        ? 'Change the schema of the table as the message says, or set the schema_id of one that the registry has.'
        : 'Check the endpoint, the subject and the rights of the login: the message has the words of the registry.';
    throw new PenstockError('schema_registry_refused', text, { hint, facts });
  }

  async #request(method: string, path: string, body: object | undefined): Promise<HttpResponse> {
    const { apiKey, apiSecret = '' } = this.#registry.profile;
    const login = Buffer.from(`${apiKey}:${apiSecret}`).toString('base64');
    this.#http ??= HttpClient.open(this.#registry, { connections: 4, signal: this.#signal });
    try {
      const http = await this.#http;
      return await http.request({
        method,
        url: new URL(path, this.#base),
        headers: {
          accept: 'application/vnd.schemaregistry.v1+json, application/json',
          ...(body ? { 'content-type': 'application/vnd.schemaregistry.v1+json' } : {}),
          ...(given(apiKey) ? { authorization: `Basic ${login}` } : {}),
        },
        body: body && JSON.stringify(body),
        timeoutMs,
        maxBytes: maxResponseBytes,
        signal: this.#signal,
      });
    } catch (error) {
      if (this.#signal.aborted) throw this.#ended(this.#signal.reason);
      throw this.#unreachable(asPenstockError(error));
    }
  }

  /** The reason of the signal, which may be a time limit (`AbortSignal.timeout`). */
  #ended(reason: unknown): unknown {
    if (!(reason instanceof DOMException) || reason.name !== 'TimeoutError') return reason;
    const text = `The schema registry at ${this.address} did not respond in time`;
    return new PenstockError('schema_registry_unavailable', text, { cause: reason });
  }

  /** Says which of the two servers of a table it is. */
  #unreachable(error: PenstockError): PenstockError {
    if (error.code === 'internal') return error;
    const { hint, facts } = error;
    // A redirect to elsewhere is not of a registry but of a proxy.
    const passing = error.passing || error.code === 'http_refused';
    const kind = passing ? 'schema_registry_unavailable' : error;
    return new PenstockError(kind, `The schema registry at ${this.address}: ${error.message}`, {
      ...(hint === undefined ? {} : { hint }),
      facts: passing ? { ...facts, code: error.code } : facts,
      cause: error,
    });
  }

  notRegistry = (facts: Record<string, unknown> = {}): NotRegistry => new NotRegistry(this.address, facts);
}

const notRegistry = {
  hint: 'Check the endpoint of the schema registry, whether its API has a path, and whether a proxy responds instead.',
};

/** Passing by default: a proxy may respond with a page of its own while a registry is away. */
export class NotRegistry extends PenstockError {
  constructor(address: string, facts: Record<string, unknown>) {
    const message = `The server at ${address} is not a schema registry with the API of Confluent`;
    super('schema_registry_unavailable', message, { ...notRegistry, facts });
  }

  /** The same for a test, which says it at once. */
  lasting(): PenstockError {
    return new PenstockError('schema_registry_refused', this.message, { ...notRegistry, facts: this.facts });
  }
}

function jsonIn(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    // The status decides what that means.
    return undefined;
  }
}

export const shown = (text: string): string =>
  text
    .slice(0, maxShown)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are replaced
    .replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ')
    .trim();
