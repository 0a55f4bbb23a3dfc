import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Document, operationsOf } from '../../scripts/docs/document.ts';
import { created, profileBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

/** Requests as proxies, scanners, old clients and broken ones send them: every error is a declared problem document. */

let service: Service;
let document: Document;
beforeAll(async () => {
  service = await startService();
  document = JSON.parse(JSON.stringify(service.app.swagger()));
  await created(service.request, '/connection_profiles', profileBody('mqtt://127.0.0.1:1'));
});

interface Response {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** Sends text as it is, and returns the last response before the server closes the connection. */
function raw(text: string | Buffer): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const socket = connect(Number(new URL(service.address).port), '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk)).on('error', reject);
  socket.on('close', () => {
    const all = Buffer.concat(chunks).toString();
    const last = all.split(/(?=HTTP\/1\.1 \d)/).at(-1) ?? '';
    const [head = '', body = ''] = last.split(/\r\n\r\n(.*)/s);
    const [line = '', ...lines] = head.split('\r\n');
    const headers = Object.fromEntries(lines.map((each) => each.split(/: (.*)/s).slice(0, 2)));
    resolve({ status: Number(line.split(' ')[1]), headers, body });
  });
  socket.write(text);
  return promise;
}

const profiles = '/api/v1/connection_profiles';
const request = (method: string, target: string, headers: Record<string, string> = {}, body = ''): string => {
  const all = { host: 'localhost', connection: 'close', ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
};
const withBody = (method: string, target: string, body: string, headers: Record<string, string> = {}) =>
  request(
    method,
    target,
    { 'content-type': 'application/json', 'content-length': `${body.length}`, ...headers },
    body,
  );

const security = {
  'content-security-policy': expect.stringContaining("frame-ancestors 'none'"),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
};

async function expectProblem(sent: string | Buffer, status: number, code: string, headers: object = {}) {
  const response = await raw(sent);
  const said = `${String(sent).slice(0, 200)} → ${response.status} ${response.body}`;
  expect(response.status, said).toBe(status);
  expect(response.headers, said).toMatchObject({
    'content-type': expect.stringMatching(/^application\/problem\+json/),
    'x-request-id': expect.any(String),
    ...security,
    ...headers,
  });
  const problem = JSON.parse(response.body);
  expect(problem, said).toMatchObject({ status, code, instance: response.headers['x-request-id'] });
  expect(problem.detail.length, said).toBeGreaterThan(10);
  return problem;
}

describe('an odd request gets a problem document', () => {
  test.each([
    ['TRACE', profiles, 'GET, HEAD, POST'],
    ['PROPFIND', profiles, 'GET, HEAD, POST'],
    ['BREW', profiles, 'GET, HEAD, POST'],
    ['OPTIONS', `${profiles}/cp_1/test`, 'POST'],
    ['PUT', profiles, 'GET, HEAD, POST'],
    ['DELETE', '/api/v1/ping/', 'GET, HEAD'],
    ['POST', `${profiles}/by-name/a%2Fb?x=1`, 'GET, HEAD, PUT'],
    ['GET', '/api/v1/apply', 'POST'],
    ['HEAD', '/api/v1/connection_tables/ct_1/tail', 'GET'],
    ['POST', '/api/v1/swagger-ui/', 'GET, HEAD'],
    ['POST', '/api/v1/swagger-ui/static/index.css', 'GET, HEAD'],
    ['BREW', 'http://localhost/healthz', 'GET, HEAD'],
    ['OPTIONS', '*', 'DELETE, GET, HEAD, PATCH, POST, PUT'],
    ['CONNECT', 'localhost:1883', 'DELETE, GET, HEAD, PATCH, POST, PUT'],
  ])('for the method: %s %s', async (method, target, allow) => {
    const sent = request(method, target);
    if (method !== 'HEAD') await expectProblem(sent, 405, 'method_not_allowed', { allow });
    else expect(await raw(sent)).toMatchObject({ status: 405, headers: { allow }, body: '' });
  });

  test.each(['BREW', 'TRACE', 'GET'])('for a path that does not exist: %s', async (method) => {
    await expectProblem(request(method, '/api/v1/nothing?secret=1'), 404, 'not_found');
  });

  test.each([
    ['an expectation', withBody('POST', profiles, '{}', { expect: 'a miracle' }), 417, 'expectation_failed'],
    ['an expectation of a read', request('GET', profiles, { expect: '200-ok' }), 417, 'expectation_failed'],
    [
      'two codings',
      withBody('POST', profiles, '', { 'content-encoding': 'gzip, br' }),
      415,
      'unsupported_media_type',
    ],
    [
      'an unknown coding',
      withBody('PUT', `${profiles}/by-name/a`, '{}', { 'content-encoding': 'x' }),
      415,
      'unsupported_media_type',
    ],
    [
      'a charset',
      withBody('POST', profiles, '{}', { 'content-type': 'application/json; charset="utf-16"' }),
      415,
      'unsupported_media_type',
    ],
    [
      'text on DELETE',
      withBody('DELETE', `${profiles}/cp_1`, 'hello', { 'content-type': 'text/plain' }),
      415,
      'unsupported_media_type',
    ],
    [
      'a body without a type',
      request('DELETE', `${profiles}/cp_1`, { 'content-length': '2' }, '{}'),
      415,
      'unsupported_media_type',
    ],
    [
      'a large body on DELETE',
      request('DELETE', `${profiles}/cp_1`, {
        'content-type': 'application/json',
        'content-length': '2000000',
      }),
      413,
      'payload_too_large',
    ],
    ['a transfer coding', request('POST', profiles, { 'transfer-encoding': 'gzip' }), 400, 'invalid_request'],
    [
      'two transfer codings',
      request('POST', profiles, { 'transfer-encoding': 'gzip, chunked' }, '0\r\n\r\n'),
      400,
      'invalid_request',
    ],
    [
      'a bad chunk',
      request(
        'POST',
        profiles,
        { 'content-type': 'application/json', 'transfer-encoding': 'chunked' },
        'zz\r\n',
      ),
      400,
      'invalid_request',
    ],
    ['a bad length', request('POST', profiles, { 'content-length': '-1' }), 400, 'invalid_request'],
    [
      'two lengths',
      `POST ${profiles} HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n`,
      400,
      'invalid_request',
    ],
    ['no host', 'GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n', 403, 'host_not_allowed'],
    [
      'two hosts',
      `GET ${profiles} HTTP/1.1\r\nhost: localhost\r\nhost: other\r\nconnection: close\r\n\r\n`,
      400,
      'invalid_request',
    ],
    [
      'another HTTP',
      'GET /healthz HTTP/2.0\r\nhost: localhost\r\nconnection: close\r\n\r\n',
      400,
      'invalid_request',
    ],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'invalid_request'],
    ['TLS', Buffer.from('160301020001000001fc0303', 'hex'), 400, 'invalid_request'],
    ['a long path', request('GET', `${profiles}?${'a'.repeat(20_000)}`), 431, 'headers_too_large'],
    ['a long header', request('GET', profiles, { 'x-long': 'a'.repeat(20_000) }), 431, 'headers_too_large'],
    ['a space in the path', request('GET', '/a b'), 400, 'invalid_request'],
    ['a relative path', request('GET', 'api/v1/ping'), 400, 'invalid_request'],
    ['a bad escape', request('GET', `${profiles}/%zz`), 400, 'invalid_request'],
    ['a header without a colon', `GET / HTTP/1.1\r\nhost\r\n\r\n`, 400, 'invalid_request'],
    ['a repeated parameter', request('GET', '/api/v1/pipelines?limit=1&limit=2'), 400, 'invalid_request'],
    [
      'bytes that are not UTF-8',
      Buffer.from(withBody('POST', profiles, '{"name":"\xff"}'), 'latin1'),
      400,
      'invalid_request',
    ],
    ['a forbidden key', withBody('POST', profiles, '{"__proto__":{}}'), 400, 'invalid_request'],
    [
      'a precondition of a new object',
      withBody('POST', profiles, JSON.stringify(profileBody('mqtt://a')), { 'if-match': '"a"' }),
      412,
      'precondition_failed',
    ],
  ])('for %s', async (_name, sent, status, code) => {
    const problem = await expectProblem(sent, status, code);
    // The GET of the collection declares what any request can get.
    const any = operationsOf(document).find(({ path }) => path === profiles);
    if (![412, 413, 415].includes(status)) expect(any?.operation.responses).toHaveProperty([`${status}`]);
    if (status === 415 || status === 400) expect(problem.hint ?? problem.detail).toBeTruthy();
  });

  test('names the coding of a compressed body and what is accepted', async () => {
    const body = gzipSync('{}').toString('latin1');
    const sent = Buffer.from(withBody('POST', profiles, body, { 'content-encoding': 'gzip' }), 'latin1');
    const headers = { 'accept-encoding': 'identity' };
    const problem = await expectProblem(sent, 415, 'unsupported_media_type', headers);
    expect(problem.detail).toContain('content-encoding gzip');
  });

  test('says where JSON is wrong, and shows nothing of it', async () => {
    const at = async (body: string) => (await raw(withBody('POST', profiles, body))).body;
    expect(await at('{"name":\n hunter2,}')).toContain('The body is not valid JSON"');
    expect(await at('{"name": 1,\n  ,')).toContain('not valid JSON: line 2, column 3');
    expect(await at('{"name": "hunter2"')).toContain('line 1, column 19');
    for (const body of ['', '{', '{"password": hunter2}']) expect(await at(body)).not.toContain('hunter2');
  });

  test.each([2, 20])('when its content-length is %d too small, and does nothing', async (missing) => {
    const body = JSON.stringify({ name: 'short', connector: 'mqtt', config: { url: 'mqtt://127.0.0.1' } });
    const sent = withBody('POST', profiles, body).replace(`: ${body.length}`, `: ${body.length - missing}`);
    const { hint } = await expectProblem(sent, 400, 'invalid_request');
    expect(hint).toContain('in bytes, not in characters');
    expect((await raw(request('GET', profiles))).body).not.toContain('short');
  });

  test.each(['{"name":"\\ud800"}', '{"\\uDFFFx":1}', '{"a":["\\ude00\\ud83d"]}'])(
    'for half a character: %s',
    async (body) => {
      const { detail } = await expectProblem(withBody('POST', profiles, body), 400, 'invalid_request');
      expect(detail).toContain('surrogate pair');
    },
  );

  test('declares these for every operation, and those of bodies for every method that may have one', () => {
    for (const { name, method, operation } of operationsOf(document)) {
      const body = method === 'get' ? [] : [413, 415];
      for (const status of [400, 401, 403, 405, 408, 417, 429, 431, 500, 503, ...body])
        expect(operation.responses, name).toHaveProperty([`${status}`]);
    }
  });
});

describe('a request that is only unusual is served', () => {
  test.each([
    [
      '100-continue',
      withBody('POST', `${profiles}/test`, JSON.stringify(profileBody('mqtt://127.0.0.1:1')), {
        expect: '100-Continue',
        accept: 'application/json',
      }),
    ],
    [
      'a coding that changes nothing',
      withBody('PUT', `${profiles}/by-name/plant`, JSON.stringify(profileBody('mqtt://127.0.0.1:1')), {
        'content-encoding': 'identity',
      }),
    ],
    [
      'a charset',
      withBody('PUT', `${profiles}/by-name/plant`, JSON.stringify(profileBody('mqtt://127.0.0.1:1')), {
        'content-type': 'application/json;charset=UTF-8',
      }),
    ],
    ['a body of a read', withBody('GET', profiles, '{')],
    ['the absolute form', request('GET', `http://localhost${profiles}`)],
    ['HTTP/1.0', `GET ${profiles} HTTP/1.0\r\nhost: localhost\r\n\r\n`],
    [
      'an upgrade that is not offered',
      request('GET', profiles, { upgrade: 'h2c', connection: 'upgrade, close' }),
    ],
    ['a range', request('GET', profiles, { range: 'bytes=0-1' })],
    ['another type wanted', request('GET', profiles, { accept: 'text/html, application/xml;q=0.9' })],
  ])('%s', async (_name, sent) => {
    const { status, headers, body } = await raw(sent);
    expect(status, body).toBe(200);
    expect(headers).toMatchObject(security);
  });
});

describe('without a key', () => {
  const status = async (headers: Record<string, string>, path = profiles, method = 'GET') =>
    (await raw(request(method, path, headers))).status;

  test('only loopback names are served, in any spelling', async () => {
    for (const host of [
      'LOCALHOST',
      'localhost.',
      'LocalHost.:5115',
      'penstock.localhost',
      '127.1',
      '[0:0:0:0:0:0:0:1]:1',
    ])
      expect(await status({ host }), host).toBe(200);
    for (const host of [
      'localhost.example',
      '127.0.0.1.nip.example',
      'evil@localhost',
      '[::2]',
      '128.0.0.1',
      'localhost..',
      '',
    ])
      expect(await status({ host }), host).toBe(403);
    expect(await status({}, `http://evil.example${profiles}`)).toBe(403);
  });

  test.each([
    [{ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }, 403],
    [{ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }, 403],
    [{ 'sec-fetch-site': 'same-site', origin: 'http://localhost:3000' }, 403],
    [{ origin: 'https://evil.example' }, 403],
    [{ origin: 'null' }, 403],
    [{ referer: 'https://evil.example/page' }, 403],
    [{ origin: 'http://localhost:3000' }, 403],
    [{ 'sec-fetch-site': 'same-origin', origin: 'http://localhost' }, 200],
    [{ 'sec-fetch-site': 'none' }, 200],
    [{ origin: 'http://localhost' }, 200],
    [{ referer: 'http://LOCALHOST/api/v1/swagger-ui/' }, 200],
  ])('a page of another site reaches nothing: %o', async (headers, expected) => {
    expect(await status(headers)).toBe(expected);
    const reaching = await status(headers, `${profiles}/cp_none/autocomplete`);
    expect(reaching).toBe(expected === 403 ? 403 : 404);
    expect(await status(headers, '/api/v1/swagger-ui/')).toBe(200);
  });

  test('with a key another site may call, because pages do not have it', async () => {
    const guarded = await startService({ adminKey: 'a-key-of-some-length' });
    const response = await guarded.request
      .get(profiles)
      .set({ authorization: 'Bearer a-key-of-some-length', 'sec-fetch-site': 'cross-site' });
    expect(response.status).toBe(200);
  });
});

test('the documentation works below any path: all its addresses are relative, and it may load only its own files', async () => {
  const at = (path: string) => service.request.get(path);
  const base = new URL('https://proxy.example/some/where/');
  const root = new URL((await at('/')).headers.location as string, base);
  expect(root.href).toBe('https://proxy.example/some/where/api/v1/swagger-ui/');
  const bare = await at('/api/v1/swagger-ui');
  expect(new URL(bare.headers.location as string, new URL('api/v1/swagger-ui', base)).href).toBe(root.href);
  const index = await at('/api/v1/swagger-ui/static/index.html');
  expect(new URL(index.headers.location as string, new URL('static/index.html', root)).href).toBe(root.href);
  const page = await at('/api/v1/swagger-ui/');
  const files = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, file]) => file as string);
  expect(files.length).toBeGreaterThan(3);
  for (const file of files) {
    const url = new URL(file, root);
    expect(url.href.startsWith(root.href), file).toBe(true);
    expect((await at(url.pathname.slice('/some/where'.length))).status, file).toBe(200);
  }
  const policy = page.headers['content-security-policy'];
  expect(policy).toContain("script-src 'self';");
  expect(policy).toContain("frame-ancestors 'none'");
  for (const place of ['api/v1/swagger-ui/json', 'api/v1/api-docs/openapi.json']) {
    const { servers } = (await at(`/${place}`)).body;
    expect(new URL(servers[0].url, new URL(place, base)).href).toBe(base.href);
  }
});

test('the location of a new object is relative to the request', async () => {
  const base = 'https://proxy.example/some/where';
  for (const [method, path] of [
    ['post', '/api/v1/connection_profiles'],
    ['post', '/api/v1/connection_profiles/'],
    ['put', '/api/v1/connection_profiles/by-name/located%2F..%2F3?dry_run=false'],
  ] as const) {
    const name = method === 'put' ? 'located/../3' : `located ${path.length}`;
    const { headers, body } = await service.request[method](path).send(profileBody('mqtt://a', { name }));
    const href = new URL(headers.location as string, base + path).href;
    expect(href, path).toBe(`${base}/api/v1/connection_profiles/${body.id}`);
  }
  const { headers, body } = await service.request
    .post('/api/v1/api_keys')
    .send({ name: 'first', role: 'admin' });
  expect(headers.location).toBe(`api_keys/${body.id}`);
  await service.request.delete(`/api/v1/api_keys/${body.id}`).set('authorization', `Bearer ${body.key}`);
});

test('the log has the names of parameters and not their values', async () => {
  await service.request.get('/api/v1/pipelines?label_selector=hunter2-canary&limit=5');
  await service.request.get('/nothing?hunter2-canary');
  await raw(`GET /x HTTP/1.1\r\nauthorization: Bearer hunter2-canary\r\nbad\r\n\r\n`);
  await raw(request('GET', `http://user:hunter2-canary@localhost/healthz?token=hunter2-canary`));
  expect(service.logged()).toContain('"/api/v1/pipelines?label_selector=…&limit=…"');
  expect(service.logged()).not.toContain('hunter2-canary');
});
