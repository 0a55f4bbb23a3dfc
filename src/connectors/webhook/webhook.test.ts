import { describe, expect, test } from 'vitest';
import { atEnd } from '../../../test/support/at-end.ts';
import { testCheck } from '../../../test/support/connector-conformance/check.ts';
import { testSink } from '../../../test/support/connector-conformance/sink.ts';
import { failureOf, runContext } from '../../../test/support/connector-conformance/subject.ts';
import { type Endpoint, endpoint, type Reply } from '../../../test/support/http-endpoint.ts';
import { until } from '../../../test/support/until.ts';
import type { CheckStep, Outgoing, RunContext } from '../connector.ts';
import { webhook } from './index.ts';
import type { WebhookTable } from './table.ts';

type Context = RunContext<object, WebhookTable>;
const contextOf = (table: WebhookTable, rest: Partial<Context> = {}): Context => ({
  ...(runContext(table) as Context),
  schema: { format: { type: 'json' } },
  ...rest,
});

const messages = (count: number, row: (index: number) => Outgoing['row'] = () => ({})): Outgoing[] =>
  Array.from({ length: count }, (_, index) => ({ payload: Buffer.from(`{"n":${index}}`), row: row(index) }));

const open = async (at: Endpoint, table: Partial<WebhookTable> = {}, rest: Partial<Context> = {}) => {
  const sink = await webhook.openSink?.(contextOf({ endpoint: at.url, ...table }, rest));
  if (!sink) throw new Error('no sink');
  atEnd(() => sink.close());
  return sink;
};

const shared = await endpoint();
let made = 0;
testSink({
  connector: webhook,
  dials: false,
  context: () => contextOf({ endpoint: `${shared.url}/${++made}` }),
  written: ({ table }) => {
    const { pathname } = new URL((table as WebhookTable).endpoint);
    return shared.received.filter(({ url }) => url === pathname).map(({ body }) => body);
  },
  async stalled() {
    const silent = await endpoint();
    silent.reply = () => undefined;
    const context = contextOf({ endpoint: silent.url, concurrency: 16, timeout_ms: 60_000 });
    return { context, sent: () => silent.received.length };
  },
  async breakable() {
    const own = await endpoint();
    return { context: contextOf({ endpoint: own.url }), cut: () => own.stop() };
  },
});

// Of its own: connections of the sinks may be about to close.
const checked = await endpoint();
testCheck({
  connector: webhook,
  dials: true,
  context: () => contextOf({ endpoint: checked.url }),
  traces: async () => checked.sockets.size,
});

describe('a webhook', () => {
  test('sends a message as one request, with its media type and headers', async () => {
    const at = await endpoint();
    const sink = await open(at, { headers: 'Authorization: Bearer abc,X-Site: north', method: 'PUT' });
    await sink.write(messages(1));
    expect(at.received).toMatchObject([
      {
        method: 'PUT',
        url: '/in',
        body: '{"n":0}',
        headers: { authorization: 'Bearer abc', 'x-site': 'north', 'content-type': 'application/json' },
      },
    ]);
  });

  test.each([
    ['json_array', '[{"n":0},{"n":1}]', 'application/json'],
    ['ndjson', '{"n":0}\n{"n":1}\n', 'application/x-ndjson'],
  ] as const)('sends a batch as %s', async (batch, body, type) => {
    const at = await endpoint();
    await (await open(at, { batch })).write(messages(2));
    expect(at.received.map((one) => [one.body, one.headers['content-type']])).toEqual([[body, type]]);
  });

  test('keeps batches within their limits, and sends a larger message alone', async () => {
    const at = await endpoint();
    const sink = await open(at, { batch: 'ndjson', batch_max_messages: 2 });
    await sink.write(messages(5));
    expect(at.bodies.map((body) => body.split('\n').length - 1)).toEqual([2, 2, 1]);
    const small = await endpoint();
    await (await open(small, { batch: 'ndjson', batch_max_bytes: 4 })).write(messages(2));
    expect(small.bodies).toEqual(['{"n":0}\n', '{"n":1}\n']);
  });

  test.each([400, 409, 413, 422])(
    'refuses only the messages that the server refuses with %i',
    async (status) => {
      const at = await endpoint();
      at.reply = ({ body }) => (/"n":(3|11)\}/.test(body) ? status : 200);
      const sink = await open(at, { batch: 'json_array' });
      const refusals = await sink.write(messages(16));
      expect(refusals.map(({ index, error }) => [index, error.code, error.facts.statusCode])).toEqual([
        [3, 'webhook_message_refused', status],
        [11, 'webhook_message_refused', status],
      ]);
      const taken = at.bodies
        .filter((body) => !/"n":(3|11)\}/.test(body))
        .flatMap((body) => JSON.parse(body));
      expect(taken.map(({ n }: { n: number }) => n)).toEqual(
        [...Array(16).keys()].filter((n) => n !== 3 && n !== 11),
      );
    },
  );

  test('sends again what the server cannot take now, after the time that it asks for', async () => {
    const at = await endpoint();
    const replies: Reply[] = [503, { status: 429, headers: { 'retry-after': '0' } }, 200];
    at.reply = () => replies.shift();
    const warned: string[] = [];
    const sink = await open(at, {}, { warn: ({ code }) => void warned.push(code) });
    expect(await sink.write(messages(1))).toEqual([]);
    expect(at.bodies).toEqual(['{"n":0}', '{"n":0}', '{"n":0}']);
    expect(warned).toEqual(['http_unavailable', 'http_unavailable']);
  });

  test('fails in passing when the server wants more time than a task waits', async () => {
    const at = await endpoint();
    at.reply = () => ({ status: 503, headers: { 'retry-after': '600' } });
    expect(await failureOf((await open(at)).write(messages(1)))).toMatchObject({
      code: 'http_unavailable',
      passing: true,
    });
    expect(at.received).toHaveLength(1);
  });

  test.each([
    [401, 'http_unauthorized'],
    [403, 'http_unauthorized'],
    [404, 'http_refused'],
    [405, 'http_refused'],
    [302, 'http_refused'],
  ])('fails for good at %i, which another try or message would not change', async (status, code) => {
    const at = await endpoint();
    at.reply = () => status;
    expect(await failureOf((await open(at)).write(messages(3)))).toMatchObject({ code, passing: false });
  });

  test('has at most as many requests as it may, and keeps the order of each key', async () => {
    const at = await endpoint();
    const waiting: (() => void)[] = [];
    at.reply = () => new Promise((resolve) => waiting.push(() => resolve(200)));
    const sink = await open(at, { concurrency: 3, order_by: 'device' });
    const device = (index: number): string => ['a', 'a', 'b', 'a', 'c', 'b', 'd'][index] as string;
    const written = sink.write(messages(7, (index) => ({ device: device(index) })));
    let over = false;
    void written.then(() => {
      over = true;
    });
    await until('as many requests as there may be', () => waiting.length === 3);
    while (!over) {
      await until('a request', () => over || waiting.length > 0);
      // The last one first: requests may overtake each other.
      waiting.pop()?.();
    }
    expect(at.maxOpen).toBe(3);
    const numbers = at.bodies.map((body) => JSON.parse(body).n as number);
    const ofA = numbers.filter((n) => device(n) === 'a');
    const ofB = numbers.filter((n) => device(n) === 'b');
    expect({ ofA, ofB, all: numbers.length }).toEqual({ ofA: [0, 1, 3], ofB: [2, 5], all: 7 });
  });

  test('gives a message that is sent again the same key', async () => {
    const at = await endpoint();
    const replies = [500, 200, 200];
    at.reply = () => replies.shift();
    const sink = await open(at, { idempotency_header: 'Idempotency-Key' });
    await sink.write(messages(2));
    const keys = at.received.map(({ headers }) => headers['idempotency-key']);
    expect(keys[0]).toMatch(/^[0-9a-f]{64}$/);
    expect([keys[1] === keys[0], keys[2] === keys[0]]).toEqual([true, false]);
  });

  test('uses a new connection when the server has closed an idle one', async () => {
    const at = await endpoint();
    const sink = await open(at);
    await sink.write(messages(1));
    for (const socket of at.sockets) socket.destroy();
    expect(await sink.write(messages(1))).toEqual([]);
  });

  test('asks the targets before it sends', async () => {
    const at = await endpoint();
    const { PenstockError } = await import('../../errors.ts');
    const allowed = () => {
      throw new PenstockError('target_not_allowed', 'no');
    };
    const sink = await open(at, {}, { targets: { allowed } });
    expect(await failureOf(sink.write(messages(1)))).toMatchObject({ code: 'target_not_allowed' });
    expect(at.received).toEqual([]);
  });

  test('does not batch what is not json', async () => {
    const at = await endpoint();
    const csv = { schema: { format: { type: 'csv' as const } } };
    expect(await failureOf(open(at, { batch: 'ndjson' }, csv))).toMatchObject({
      code: 'invalid_config',
      errors: [{ path: '/config/batch' }],
    });
  });
});

describe('the test of a webhook', () => {
  const steps = async (
    at: Endpoint | string,
    probe: 'publish' | 'none' = 'publish',
    table: Partial<WebhookTable> = {},
  ) => {
    const found: CheckStep[] = [];
    const own = contextOf({ endpoint: typeof at === 'string' ? at : at.url, ...table });
    await webhook.check?.({ ...own, probe, stepTimeoutMs: 30_000, report: (step) => void found.push(step) });
    return found.map(({ name, outcome, code }) => [name, outcome, code].filter(Boolean).join(' '));
  };

  test('sends a test message, or asks for the options only', async () => {
    const at = await endpoint();
    expect(await steps(at)).toEqual(['resolve ok', 'tcp ok', 'request ok']);
    expect(at.received).toMatchObject([
      { method: 'POST', body: '{"test":"Penstock tests this connection"}' },
    ]);
    at.reply = () => 405;
    expect(await steps(at, 'none')).toEqual(['resolve ok', 'tcp ok', 'request ok']);
    expect(at.received.at(-1)).toMatchObject({ method: 'OPTIONS', body: '' });
  });

  test.each([
    [401, 'request failed http_unauthorized'],
    [404, 'request failed http_refused'],
    [422, 'request warning webhook_message_refused'],
    [500, 'request failed http_unavailable'],
  ])('says what %i means', async (status, step) => {
    const at = await endpoint();
    at.reply = () => status;
    expect((await steps(at)).at(-1)).toBe(step);
  });

  test('shows what the server says', async () => {
    const at = await endpoint();
    at.reply = () => 400;
    const found: CheckStep[] = [];
    const own = contextOf({ endpoint: at.url });
    await webhook.check?.({
      ...own,
      probe: 'publish',
      stepTimeoutMs: 30_000,
      report: (step) => void found.push(step),
    });
    expect(found.at(-1)?.details).toMatchObject({ statusCode: 400, response: 'said 400' });
  });

  test('skips the request when the server cannot be reached', async () => {
    expect(await steps('http://127.0.0.1:1/in')).toEqual([
      'resolve ok',
      'tcp failed connection_refused',
      'request skipped',
    ]);
    expect(await steps('http://no.invalid/in')).toEqual([
      'resolve failed name_not_resolved',
      'tcp skipped',
      'request skipped',
    ]);
  });
});

test.each([
  [{ endpoint: 'ftp://a' }, '/endpoint'],
  [{ endpoint: 'a b' }, '/endpoint'],
  [{ endpoint: 'https://user:pass@a' }, '/endpoint'],
  [{ endpoint: 'https://a', headers: 'nonsense' }, '/headers'],
  [{ endpoint: 'https://a', headers: 'Host: b' }, '/headers'],
  [{ endpoint: 'https://a', headers: 'A: b,a: c' }, '/headers'],
  [{ endpoint: 'https://a', headers: 'Expect: 100-continue' }, '/headers'],
  [{ endpoint: 'https://a', idempotency_header: 'a b' }, '/idempotency_header'],
  [{ endpoint: 'https://a', idempotency_header: 'Content-Type' }, '/idempotency_header'],
  [{ endpoint: 'https://a', idempotency_header: 'Host' }, '/idempotency_header'],
  [{ endpoint: 'https://a', headers: 'KEY: b', idempotency_header: 'Key' }, '/idempotency_header'],
  [{ endpoint: 'https://a', idempotency_header: 'K', batch: 'ndjson' as const }, '/idempotency_header'],
])('%j is refused', (table, path) => {
  expect(webhook.validateTable?.(table, undefined).map((error) => error.path)).toEqual([path]);
});

test('variables are checked when they have their values', () => {
  const table = { endpoint: 'https://a/{{ PATH }}', headers: '{{ HEADERS }}' };
  expect(webhook.validateTable?.(table, undefined)).toEqual([]);
});
