import { connect, type Socket } from 'node:net';
import { afterEach, expect, onTestFinished, test } from 'vitest';
import { serverLimits } from '../../src/api/limits.ts';
import { type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

let service: Service;
const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

const get = (path: string, key?: string) =>
  service.request.get(path).set(key === undefined ? {} : { authorization: `Bearer ${key}` });

test('a caller above its limit gets the time to retry, and others are not affected', async () => {
  const [key, other] = ['the-key-of-an-admin', undefined];
  service = await startService({ adminKey: key, requestsPerMinute: 5 });
  const made = await service.request
    .post('/api/v1/api_keys')
    .set({ authorization: `Bearer ${key}` })
    .send({ name: 'another', role: 'viewer' });
  for (let sent = 1; sent < 5; sent++) expect((await get('/api/v1/jobs', key)).status).toBe(200);
  const refused = await get('/api/v1/jobs', key);
  expect(refused).toMatchObject({ status: 429, body: { code: 'too_many_requests' } });
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
  expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(60);
  expect((await get('/api/v1/jobs', made.body.key)).status).toBe(200);
  expect((await get('/healthz', other)).status).toBe(200);
});

test('wrong keys are limited', async () => {
  service = await startService({ adminKey: 'the-key-of-an-admin' });
  const statuses = new Set<number>();
  for (let guess = 0; guess < 70; guess++) statuses.add((await get('/api/v1/jobs', `guess-${guess}`)).status);
  expect([...statuses]).toEqual([401, 429]);
  expect((await get('/api/v1/jobs', 'the-key-of-an-admin')).status).toBe(200);
});

test('without a key the limit applies to the address', async () => {
  service = await startService({ requestsPerMinute: 3 });
  const statuses = [];
  for (let sent = 0; sent < 4; sent++) statuses.push((await get('/api/v1/jobs')).status);
  expect(statuses).toEqual([200, 200, 200, 429]);
});

test('an overloaded process refuses requests, except health checks', async () => {
  service = await startService({ maxEventLoopDelayMs: 500 });
  const health = new Set<number>();
  let refusal: Awaited<ReturnType<typeof get>> | undefined;
  // Blocks every turn of the event loop, so that it is busy on average however slow the machine is.
  const blocking = setInterval(() => {
    const blockedUntil = performance.now() + 700;
    while (performance.now() < blockedUntil);
    void get('/api/v1/jobs').then((response) => {
      if (response.status === 503) refusal ??= response;
    });
    void get('/healthz').then(({ status }) => health.add(status));
  }, 0);
  try {
    await until('a refusal', () => refusal !== undefined && health.size > 0, 40_000);
  } finally {
    clearInterval(blocking);
  }
  expect(refusal?.body.code).toBe('overloaded');
  expect([...health]).toEqual([200]);
  await until('its recovery', async () => (await get('/api/v1/jobs')).status === 200);
});

test('requests that never end are cut off, while others are served', async () => {
  // Sooner than in a service, except in a soak.
  if (process.env.PENSTOCK_SOAK !== '1') {
    const limits: Record<string, unknown> = serverLimits;
    const before = { ...limits };
    onTestFinished(() => void Object.assign(limits, before));
    Object.assign(limits, { headersTimeout: 2_000, connectionsCheckingInterval: 500 });
  }
  service = await startService();
  const { port } = new URL(service.address);
  const slow: Socket[] = [];
  let closed = 0;
  for (let index = 0; index < 200; index++) {
    const socket = connect(Number(port), '127.0.0.1');
    socket
      .on('error', () => {})
      .on('close', () => (closed += 1))
      .resume();
    const begin =
      index % 2 === 0 ? 'GET /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\nx-a: ' : unfinished(port);
    socket.write(begin);
    if (index % 2 === 1) socket.once('connect', () => socket.destroy());
    slow.push(socket);
  }
  open.push(() => slow.forEach((socket) => void socket.destroy()));
  expect((await get('/api/v1/jobs')).status).toBe(200);
  await until('the end of all of them', async () => closed === 200, 40_000);
  expect((await get('/api/v1/jobs')).status).toBe(200);
});

/** The beginning of an upload. */
const unfinished = (port: string): string =>
  `POST /api/v1/connection_profiles HTTP/1.1\r\nhost: localhost:${port}\r\ncontent-type: application/json\r\ncontent-length: 500000\r\n\r\n{"name": "`;

test('headers and paths are bounded', async () => {
  service = await startService();
  expect((await service.request.get('/api/v1/jobs').set('x-large', 'a'.repeat(20_000))).status).toBe(431);
  expect((await get(`/api/v1/jobs?${'a'.repeat(20_000)}`)).status).toBe(431);
});
