import type { Socket } from 'node:net';
import type { CheckContext } from '../connector.ts';
import type { CheckSteps, Finding } from './check-steps.ts';
import { dialSteps } from './dial-steps.ts';
import { HttpClient, type HttpResponse, statusError } from './http.ts';
import { type HttpTable, httpServer, requestOf } from './http-table.ts';

interface TestRequest {
  method: string;
  headers?: Readonly<Record<string, string>>;
  body?: string | undefined;
  /** Throws if the config cannot be used with the schema. */
  prepare?(): void;
  /** Returns a message or a warning for a status that needs no error; undefined to judge it as usual. */
  judge?(status: number): string | Omit<Finding<unknown>, 'value'> | undefined;
}

/** Bytes of a response that a test reads, and characters of it that it shows. */
const maxBytes = 4 * 1024 * 1024;
const maxShown = 300;

type HttpTest = CheckContext<unknown, HttpTable> & { table: HttpTable };

/** Runs the steps `resolve → tcp → tls` of a test. `prepare` throws if the config cannot be used. */
export async function dialHttp(
  context: HttpTest,
  steps: CheckSteps,
  prepare: () => void = () => {},
): Promise<void> {
  const { table } = context;
  const opened: Socket[] = [];
  try {
    const url = URL.canParse(table.endpoint) ? new URL(table.endpoint) : undefined;
    const tls = url?.protocol === 'https:' || url?.protocol === 'wss:';
    const host = () => requestOf(table).url.hostname.replace(/^\[(.*)\]$/, '$1');
    const endpoint = url && { host: url.hostname, port: Number(url.port) || (tls ? 443 : 80), tls };
    await dialSteps(steps, {
      endpoint,
      host: () => {
        prepare();
        return host();
      },
      reachable: httpServer(context),
      opened: (socket) => void opened.push(socket),
    });
  } finally {
    for (const socket of opened) socket.destroy();
  }
}

/** Runs the steps `resolve → tcp → tls → request` of a test. Returns the response if it succeeded. */
export async function httpSteps(
  context: HttpTest,
  steps: CheckSteps,
  { method, headers, body, prepare, judge }: TestRequest,
): Promise<HttpResponse | undefined> {
  const { table, signal } = context;
  await dialHttp(context, steps, prepare);
  const client = await HttpClient.open(httpServer(context), { connections: 1, signal });
  try {
    return await steps.run('request', async (soon): Promise<Finding<HttpResponse>> => {
      const request = requestOf(table);
      const response = await client.request({
        method,
        url: request.url,
        headers: { ...headers, ...request.headers },
        body,
        timeoutMs: request.timeoutMs,
        maxBytes,
        signal: soon,
      });
      const { status } = response;
      const facts = {
        statusCode: status,
        contentType: response.headers['content-type'] ?? null,
        response: shown(response.body),
      };
      const judged = judge?.(status);
      if (typeof judged === 'string') return { value: response, message: judged, details: facts };
      if (judged) return { value: response, details: facts, ...judged };
      const error = statusError(response);
      if (error) {
        Object.assign(error.facts, facts);
        throw error;
      }
      return {
        value: response,
        message: `The server responded with HTTP status ${status}`,
        details: facts,
      };
    });
  } finally {
    await client.close();
  }
}

/** The beginning of a response, for people: the server's own words about what is wrong. */
const shown = (body: Buffer): string =>
  body
    .subarray(0, maxShown)
    .toString()
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are replaced
    .replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ')
    .trim();
