import { type IncomingMessage, METHODS, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify';
import { type ErrorCode, PenstockError } from '../errors.ts';
import { problemOf, securityHeaders, statusOf } from './problem.ts';

/**
 * Checks before any route: the form of a request, the errors of Node's HTTP parser, and methods that a path does
 * not have. Each of them responds with a problem document too.
 */

/** Returns the path of a request target. Proxies may send it in absolute form (RFC 9112, 3.2.2). */
export function pathOf({ url = '/' }: Pick<IncomingMessage, 'url'>): string {
  const [, rest] = absolute.exec(url) ?? [];
  return rest === undefined ? url : rest.startsWith('/') ? rest : `/${rest}`;
}

const absolute = /^https?:\/\/[^/?#]*(.*)$/i;

/** Maximum length of a name of a parameter in the log. */
const parameterName = /^[a-z_]{1,40}$/i;

/** The target for the log: the values of parameters can be secrets, so only their names appear. */
export function loggedTarget(url: string): string {
  const [path = '', query] = url.split(/\?(.*)/s);
  if (query === undefined) return path;
  const names = query.split('&').map((pair) => {
    const [name = '', value] = pair.split('=');
    return value !== undefined && parameterName.test(name) ? `${name}=…` : '…';
  });
  return `${path}?${names.slice(0, 20).join('&')}`;
}

/** The request as the log has it. */
export const loggedRequest = ({ method, url, host, ip, socket }: FastifyRequest) => ({
  method,
  url: loggedTarget(url),
  host,
  remoteAddress: ip,
  remotePort: socket?.remotePort,
});

export function sendCommonHeaders(app: FastifyInstance): void {
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers({ ...securityHeaders, 'cache-control': 'no-cache' });
  });
  app.addHook('onSend', async (request, reply) => {
    reply.header('x-request-id', request.id);
  });
}

const invalid = (message: string, hint?: string): PenstockError =>
  new PenstockError('invalid_request', message, { ...(hint && { hint }) });

/** Refuses requests whose headers cannot be followed. Their bodies were never read. */
export function refuseOddRequests(app: FastifyInstance): void {
  // Node would respond itself, without a body.
  app.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    app.server.emit('request', request, response);
  });
  app.addHook('onRequest', async (request) => {
    refuseOddHeaders(request);
    for (const [name, value] of Object.entries(request.query as Record<string, unknown>))
      if (Array.isArray(value)) throw givenTwice(name);
  });
}

function refuseOddHeaders({ raw, headers, method }: FastifyRequest): void {
  const { expect, 'transfer-encoding': transfer, 'content-encoding': encoding } = headers;
  if (raw.httpVersionMajor !== 1) throw invalid(`HTTP/${raw.httpVersion} is not supported`, 'Use HTTP/1.1.');
  const hosts = raw.headersDistinct.host?.length ?? 0;
  if (hosts > 1 || (hosts === 0 && raw.httpVersionMinor > 0))
    throw invalid(`The request has ${hosts} host headers; it must have one`);
  if (expect !== undefined && expect.toLowerCase() !== '100-continue')
    throw new PenstockError('expectation_failed', 'The only supported expectation is 100-continue', {
      hint: 'Send the request without the header expect.',
    });
  if (transfer !== undefined && transfer.trim().toLowerCase() !== 'chunked')
    throw invalid('The only supported transfer-encoding is chunked', 'Send the body without compression.');
  const compressed = encoding !== undefined && !/^(identity)?$/i.test(encoding.trim());
  if (compressed && method !== 'GET' && method !== 'HEAD')
    throw new PenstockError(
      'unsupported_media_type',
      `The content-encoding ${encoding.slice(0, 40)} is not supported`,
      {
        hint: 'Send the body without compression.',
        facts: { headers: { 'accept-encoding': 'identity' } },
      },
    );
}

function givenTwice(name: string): PenstockError {
  const error = { path: `/${name}`, message: 'is given more than once' };
  return new PenstockError('invalid_request', `The query is not valid: ${name} ${error.message}`, {
    errors: [error],
  });
}

/** Returns the error for a request that no route takes. */
type Unrouted = (method: string, path: string) => PenstockError;

/** Follows the routes that are added from now on. */
export function unrouted(app: FastifyInstance, hint: string): Unrouted {
  const routes: { method: string; pattern: RegExp }[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    const source = url
      .replace(/\/$/, '')
      .replaceAll(/[.+?^${}()|[\]\\-]/g, '\\$&')
      .replaceAll(/:\w+/g, '[^/]+')
      .replaceAll('*', '.*');
    const pattern = new RegExp(`^${source}/?$`);
    for (const each of [method].flat()) routes.push({ method: each, pattern });
  });
  return (method, path) => {
    const methods = routes.filter(({ pattern }) => pattern.test(path)).map((route) => route.method);
    const allow = [...new Set(path === '*' ? routes.map((route) => route.method) : methods)].sort();
    if (allow.length === 0 || allow.includes(method))
      return new PenstockError('not_found', `There is no ${method} ${path}`, { hint });
    return new PenstockError('method_not_allowed', `${path} has no method ${method}`, {
      hint: `Use one of: ${allow.join(', ')}.`,
      facts: { headers: { allow: allow.join(', ') } },
    });
  };
}

interface ParserError extends Error {
  code?: string;
  reason?: string;
  /** A Buffer, contrary to Fastify's types. */
  rawPacket?: unknown;
}

/** The first byte of a TLS connection. */
const tlsHandshake = 0x16;
const requestLine = /^([!#$%&'*+.^_`|~\w-]+) (\S+) HTTP\/1\.[01]\r?\n/;
const parserErrors: Record<string, [ErrorCode, string, string]> = {
  ERR_HTTP_REQUEST_TIMEOUT: [
    'request_timeout',
    'The request was not complete in time',
    'Send the headers within 10 seconds and the whole request within 30.',
  ],
  HPE_HEADER_OVERFLOW: [
    'headers_too_large',
    'The path and the headers together are larger than 16 KiB',
    'Shorten them.',
  ],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [
    'payload_too_large',
    'The chunk extensions of the body are too large',
    'Send the body without chunk extensions.',
  ],
};

/** Responds to what Node's parser refuses, which reaches no route. */
export function explainParserErrors(
  app: FastifyInstance,
  noRoute: Unrouted,
): (error: ParserError, socket: Duplex) => void {
  const responses = new WeakMap<Duplex, ServerResponse>();
  let count = 0;
  const refuse = (socket: Duplex, raised: PenstockError): void => {
    const begun = responses.get(socket);
    // A second status line in the middle of a response would look like a part of it.
    if (!socket.writable || (begun?.headersSent && !begun.writableFinished)) return void socket.destroy();
    const id = `http-${++count}`;
    const { code, message } = raised;
    (app.log as FastifyBaseLogger).debug(
      { reqId: id, code, problem: message },
      'refused a request that is not valid HTTP',
    );
    socket.end(rawResponse(raised, id), () => socket.destroy());
  };
  app.server.on('request', (_request, response: ServerResponse) => {
    if (response.socket) responses.set(response.socket, response);
  });
  // Node would close the connection without a response.
  app.server.on('connect', ({ url = '' }: IncomingMessage, socket: Duplex) =>
    refuse(socket, noRoute('CONNECT', url.startsWith('/') ? url : '*')),
  );
  return (error, socket) => {
    if (error.code === 'ECONNRESET' || socket.destroyed) return;
    refuse(socket, parserProblem(error, noRoute));
  };
}

function parserProblem(
  { code = '', reason, message, rawPacket }: ParserError,
  noRoute: Unrouted,
): PenstockError {
  const known = parserErrors[code];
  if (known) return new PenstockError(known[0], known[1], { hint: known[2] });
  // Node knows only registered methods.
  const [, method, target] =
    requestLine.exec(Buffer.isBuffer(rawPacket) ? rawPacket.toString('latin1') : '') ?? [];
  if (code === 'HPE_INVALID_METHOD' && method !== undefined && !METHODS.includes(method))
    return noRoute(method, pathOf({ url: target }).split('?')[0] as string);
  if (code === 'HPE_CLOSED_CONNECTION' || (code === 'HPE_INVALID_METHOD' && method !== undefined))
    return invalid(
      'The text after the request is not another request',
      'Set content-length to the size of the body in bytes, not in characters.',
    );
  const [first] = Buffer.isBuffer(rawPacket) ? rawPacket : [];
  if (first === tlsHandshake)
    return invalid(
      'This is TLS, and Penstock speaks plain HTTP',
      'Use http://, or the address of the proxy that ends TLS.',
    );
  if (code === 'HPE_PAUSED_H2_UPGRADE') return invalid('HTTP/2 is not supported', 'Use HTTP/1.1.');
  return invalid(`This is not a valid HTTP/1.1 request: ${reason ?? message}`);
}

function rawResponse(raised: PenstockError, id: string): string {
  const body = JSON.stringify(problemOf(raised, id));
  const status = statusOf(raised.code);
  const headers: Record<string, string> = {
    ...securityHeaders,
    ...(raised.facts.headers as Record<string, string> | undefined),
    'content-type': 'application/problem+json; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
    'x-request-id': id,
    date: new Date().toUTCString(),
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n${lines.join('')}\r\n${body}`;
}

const maxDepth = 100;

/**
 * Accepts only JSON bodies. An empty body counts as none, because many clients always send the JSON content type; a
 * route that needs a body refuses it.
 */
export function readJsonOnly(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  const types = ['application/json', 'application/merge-patch+json'];
  app.addContentTypeParser(types, { parseAs: 'buffer' }, (request, body, done) => {
    const text = attempt(() => readText(request, body as Buffer));
    if (typeof text !== 'string') return done(text);
    if (text === '') return done(null, undefined);
    // With a callback it returns no promise.
    void parse(request, text, (error, value) => {
      if (error) return done(notJson(text));
      if (!isNestedWithin(value, maxDepth))
        return done(invalid(`The body is nested more than ${maxDepth} levels deep`));
      if (!surrogate.test(text) || isWellFormed(value)) return done(null, value);
      done(
        invalid(
          'The body has half of a surrogate pair (\\ud800 to \\udfff)',
          'Write both halves, or neither.',
        ),
      );
    });
  });
}

function attempt<T>(run: () => T): T | Error {
  try {
    return run();
  } catch (error) {
    return error as Error;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Decodes a body. Throws if it is not UTF-8, because a replaced character would be stored. */
export function readText({ headers }: Pick<FastifyRequest, 'headers'>, body: Buffer): string {
  const [, charset = 'utf-8'] = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(headers['content-type'] ?? '') ?? [];
  if (!/^(utf-?8|us-ascii)$/i.test(charset))
    throw new PenstockError(
      'unsupported_media_type',
      `The charset ${charset.slice(0, 40)} is not supported`,
      {
        hint: 'Send the body in UTF-8.',
      },
    );
  const text = attempt(() => utf8.decode(body));
  if (typeof text === 'string') return text;
  throw invalid('The body is not valid UTF-8', 'Encode it in UTF-8.');
}

/** Says where the mistake is, without the text around it, which may be secret. */
function notJson(text: string): PenstockError {
  const error = attempt(() => JSON.parse(text) as object);
  if (!(error instanceof Error))
    return invalid('The body has a key that is not allowed: __proto__, or prototype in constructor');
  const [, line, column] = /\(line (\d+) column (\d+)\)/.exec(error.message) ?? [];
  const end = /^Unexpected end/.test(error.message) ? ': it ends too early' : '';
  return invalid(`The body is not valid JSON${line ? `: line ${line}, column ${column}` : end}`);
}

function isNestedWithin(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return levels > 0 && Object.values(value).every((inner) => isNestedWithin(inner, levels - 1));
}

/** An escape that can be half of a surrogate pair. */
const surrogate = /\\ud[89a-f]/i;

/** Whether all text can be stored: half of a pair would become another character. */
function isWellFormed(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed();
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([key, inner]) => key.isWellFormed() && isWellFormed(inner));
}
