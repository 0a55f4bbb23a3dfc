import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcp, type Server } from 'node:net';
import { describe, expect, test } from 'vitest';
import { atEnd } from '../../../test/support/at-end.ts';
import { targets } from '../../../test/support/mqtt.ts';
import { PenstockError } from '../../errors.ts';
import { HttpClient, type HttpRequest, parseHeaders, retryAfterMs, statusError } from './http.ts';

const { signal } = new AbortController();

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'it did not fail',
    (error: unknown) => error,
  );

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  atEnd(() => new Promise<void>((resolve) => void server.close(() => resolve())));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function client(allowed = targets): Promise<HttpClient> {
  const opened = await HttpClient.open({ profile: {}, targets: allowed }, { signal });
  atEnd(() => opened.close());
  return opened;
}

const get = (url: string, rest: Partial<HttpRequest> = {}): HttpRequest => ({
  method: 'GET',
  url: new URL(url),
  headers: {},
  timeoutMs: 60_000,
  maxBytes: 1_000,
  signal,
  ...rest,
});

async function responding(
  listener: RequestListener,
): Promise<(path?: string, rest?: Partial<HttpRequest>) => ReturnType<HttpClient['request']>> {
  const [base, http] = [await listening(createServer(listener)), await client()];
  return (path = '/', rest = {}) => http.request(get(`${base}${path}`, rest));
}

describe('an HTTP request', () => {
  test('sends method, headers and body, and returns the response', async () => {
    const request = await responding(async (sent, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of sent) chunks.push(chunk as Buffer);
      response.setHeader('x-a', ['1', '2']);
      response.statusCode = 201;
      response.end(`${sent.method} ${sent.url} ${sent.headers['x-key']} ${Buffer.concat(chunks)}`);
    });
    const { status, headers, body } = await request('/in?x=1', {
      method: 'POST',
      headers: { 'x-key': 'k' },
      body: 'hello',
    });
    expect({ status, a: headers['x-a'], body: String(body) }).toEqual({
      status: 201,
      a: '1, 2',
      body: 'POST /in?x=1 k hello',
    });
  });

  test('follows redirects within its origin only, and not for ever', async () => {
    const request = await responding((sent, response) => {
      const to = { '/a': '/b', '/loop': '/loop', '/away': 'http://127.0.0.1:1/' }[sent.url ?? ''];
      response.writeHead(to ? 302 : 200, to ? { location: to } : {}).end(sent.url);
    });
    expect(String((await request('/a')).body)).toBe('/b');
    expect(await failureOf(request('/loop'))).toMatchObject({ code: 'http_refused' });
    expect(await failureOf(request('/away'))).toMatchObject({ code: 'http_refused' });
    expect((await request('/a', { method: 'POST' })).status).toBe(302);
  });

  test('is bounded in size and time', async () => {
    const request = await responding((sent, response) => {
      if (sent.url === '/large') response.end('x'.repeat(2_000));
      else if (sent.url === '/half') response.write('x');
    });
    expect(await failureOf(request('/large'))).toMatchObject({ code: 'http_too_large' });
    for (const path of ['/never', '/half'])
      expect(await failureOf(request(path, { timeoutMs: 50 }))).toMatchObject({ code: 'connection_timeout' });
  });

  test('tells a lost connection from a server that does not speak HTTP', async () => {
    const replies = ['', 'SSH-2.0-OpenSSH_9\r\n', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort'];
    const codes: string[] = [];
    for (const reply of replies) {
      const server = createTcp((socket) =>
        socket.on('error', () => {}).once('data', () => socket.end(reply)),
      );
      const url = await listening(server);
      codes.push(((await failureOf((await client()).request(get(url)))) as PenstockError).code);
    }
    expect(codes).toEqual(['connection_lost', 'http_protocol_error', 'connection_lost']);
  });

  test('asks the targets, also for an address, and names the reason of a failed connection', async () => {
    const fenced = {
      allowed: (host: string) => {
        throw new PenstockError('target_not_allowed', host);
      },
    };
    const closed = await client(fenced as never);
    expect(await failureOf(closed.request(get('http://127.0.0.1:9/')))).toMatchObject({
      code: 'target_not_allowed',
    });
    expect(await failureOf((await client()).request(get('http://127.0.0.1:1/')))).toMatchObject({
      code: 'connection_refused',
    });
  });

  test('rejects with the reason of its signal', async () => {
    const request = await responding(() => {});
    const abort = new AbortController();
    const failure = failureOf(request('/', { signal: abort.signal }));
    const reason = new Error('enough');
    abort.abort(reason);
    expect(await failure).toBe(reason);
  });
});

test('a status is passing, permanent or a success', () => {
  const codeOf = (status: number) => statusError({ status, headers: {} })?.code;
  expect([200, 204, 401, 403, 404, 410, 422, 408, 429, 500, 503].map(codeOf)).toEqual([
    undefined,
    undefined,
    'http_unauthorized',
    'http_unauthorized',
    'http_refused',
    'http_refused',
    'http_refused',
    'http_unavailable',
    'http_unavailable',
    'http_unavailable',
    'http_unavailable',
  ]);
  expect(statusError({ status: 503, headers: { 'retry-after': '7' } })?.facts).toEqual({
    statusCode: 503,
    retryAfterMs: 7_000,
  });
});

test('Retry-After is a number of seconds or a date, at most an hour', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  expect(
    ['3', 'Thu, 01 Jan 2026 00:00:05 GMT', '999999', 'Wed, 31 Dec 2025 00:00:00 GMT', 'soon', undefined].map(
      (value) => retryAfterMs(value, now),
    ),
  ).toEqual([3_000, 5_000, 3_600_000, 0, undefined, undefined]);
});

describe('headers', () => {
  test.each([
    [
      'Authentication: Basic abc,Content-Type: application/json',
      { authentication: 'Basic abc', 'content-type': 'application/json' },
    ],
    ['Accept: text/html, application/json;q=0.9', { accept: 'text/html, application/json;q=0.9' }],
    ['X-A: 1\nX-B: http://host:80/', { 'x-a': '1', 'x-b': 'http://host:80/' }],
    ['', {}],
    ['no header', 'must be headers like "Name: value", separated by commas or line breaks'],
    ['Host: other', 'must not set Host, which the connection sets itself'],
    ['X-A: 1,x-a: 2', 'must not set x-a twice'],
    ['X-A: a\u0000b', 'must have no control or non-Latin-1 characters in the value of X-A'],
  ])('%j', (text, parsed) => {
    expect(parseHeaders(text)).toEqual(parsed);
  });
});
