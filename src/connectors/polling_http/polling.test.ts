import { describe, expect, test, vi } from 'vitest';
import { testCheck } from '../../../test/support/connector-conformance/check.ts';
import { testSource } from '../../../test/support/connector-conformance/source.ts';
import { runContext, texts } from '../../../test/support/connector-conformance/subject.ts';
import { type Endpoint, endpoint, type Reply } from '../../../test/support/http-endpoint.ts';
import { KeptPosition, reading } from '../../../test/support/sources.ts';
import { until } from '../../../test/support/until.ts';
import type { CheckStep, RunContext } from '../connector.ts';
import { pollingHttp } from './index.ts';
import type { PollingTable } from './table.ts';

type Context = RunContext<object, PollingTable>;

const contextOf = (
  at: Endpoint,
  table: Partial<PollingTable> = {},
  rest: Partial<Context> = {},
): Context => ({
  ...(runContext({}) as Context),
  table: { endpoint: at.url, poll_interval_ms: 10, ...table },
  ...rest,
});

const json = (value: unknown, headers: Record<string, string> = {}): Reply => ({
  status: 200,
  headers,
  text: JSON.stringify(value),
});

/** A list that grows, and hands out what follows a cursor. */
class Feed {
  readonly items: string[] = [];

  reply(url: string): Reply {
    const after = Number(new URL(url, 'http://a').searchParams.get('after') ?? 0);
    const page = this.items.slice(after, after + 3);
    return json({ items: page, next: String(after + page.length) });
  }
}

const paged = { items: '/items', paging: 'cursor', cursor: '/next', cursor_parameter: 'after' } as const;

const feeds = new Map<Context['table'], Feed>();
async function feedContext(): Promise<Context> {
  const at = await endpoint();
  const feed = new Feed();
  at.reply = ({ url }) => feed.reply(url);
  const context = contextOf(at, paged, { position: new KeptPosition() });
  feeds.set(context.table, feed);
  return context;
}
const pool = await Promise.all(Array.from({ length: 12 }, feedContext));

testSource({
  connector: pollingHttp,
  dials: false,
  // Pages after the last acknowledged one come again.
  keeps: false,
  context: () => pool.pop() as Context,
  async send({ table }, count, bytes = 0) {
    const feed = feeds.get(table as PollingTable);
    for (let sent = 0; sent < count; sent++) feed?.items.push(`m${feed.items.length}`.padEnd(bytes, '.'));
  },
  async breakable() {
    const at = await endpoint();
    const feed = new Feed();
    at.reply = ({ url }) => feed.reply(url);
    const context = contextOf(at, paged, { position: new KeptPosition() });
    feeds.set(context.table, feed);
    return { context, cut: () => at.stop() };
  },
});

const checked = await endpoint();
checked.reply = () => json({ items: [] });
testCheck({
  connector: pollingHttp,
  dials: true,
  context: () => contextOf(checked),
  traces: async () => checked.sockets.size,
});

describe('a polled endpoint', () => {
  test('makes a message of each response, with its metadata', async () => {
    const at = await endpoint();
    at.reply = () => json({ celsius: 21.5 });
    const { deliveries } = await reading(pollingHttp, contextOf(at, { headers: 'X-Key: k' }));
    await until('two polls', () => deliveries.length >= 2);
    expect(texts(deliveries.slice(0, 1))).toEqual(['{"celsius":21.5}']);
    expect(deliveries[0]?.metadata).toMatchObject({ status: 200, item: 0, timestamp: expect.any(BigInt) });
    expect(at.received[0]).toMatchObject({ method: 'GET', headers: { 'x-key': 'k' } });
  });

  test('makes a message of each item, with its numbers as they are written', async () => {
    const at = await endpoint();
    at.reply = () => ({ status: 200, text: '{"data":{"list":[{"v":1.50},{"v":12345678901234567890}]}}' });
    const { deliveries } = await reading(pollingHttp, contextOf(at, { items: '/data/list' }));
    await until('a poll', () => deliveries.length >= 2);
    expect(texts(deliveries.slice(0, 2))).toEqual(['{"v":1.50}', '{"v":12345678901234567890}']);
    expect(deliveries[1]?.metadata.item).toBe(1);
  });

  test('emits only what has changed, also after a restart, and asks so that the server can say so', async () => {
    const at = await endpoint();
    let value = 1;
    at.reply = ({ headers }) =>
      headers['if-none-match'] === `"${value}"` ? 304 : json({ value }, { etag: `"${value}"` });
    const position = new KeptPosition();
    const table = { emit_behavior: 'changed' } as const;
    const first = await reading(pollingHttp, contextOf(at, table, { position }));
    await until('the first value', () => first.deliveries.length === 1);
    const before = at.received.length;
    await until('more polls', () => at.received.length > before + 2);
    value = 2;
    await until('the second value', () => first.deliveries.length === 2);
    await first.source.close();
    const again = await reading(pollingHttp, contextOf(at, table, { position }));
    const since = at.received.length;
    await until('polls after the restart', () => at.received.length > since + 2);
    expect(texts(first.deliveries)).toEqual(['{"value":1}', '{"value":2}']);
    expect(again.deliveries).toEqual([]);
  });

  test('compares responses itself if the server has no ETag', async () => {
    const at = await endpoint();
    let value = 1;
    at.reply = () => json({ value });
    const { deliveries } = await reading(pollingHttp, contextOf(at, { emit_behavior: 'changed' }));
    await until('polls', () => at.received.length > 3);
    value = 2;
    await until('the change', () => deliveries.length === 2);
    expect(texts(deliveries)).toEqual(['{"value":1}', '{"value":2}']);
  });

  test('follows the links to all pages of a poll', async () => {
    const at = await endpoint();
    at.reply = ({ url }) => {
      const page = Number(new URL(url, at.url).searchParams.get('page') ?? 1);
      return json(
        [page],
        page < 3 ? { link: `</in?page=1>; rel="first", </in?page=${page + 1}>; rel="next"` } : {},
      );
    };
    const { deliveries } = await reading(
      pollingHttp,
      contextOf(at, { items: '/', paging: 'link', poll_interval_ms: 60_000 }),
    );
    await until('all pages', () => deliveries.length === 3);
    expect(texts(deliveries)).toEqual(['1', '2', '3']);
  });

  test('goes on after the last acknowledged cursor', async () => {
    const context = await feedContext();
    const feed = feeds.get(context.table) as Feed;
    feed.items.push(...'abcdefg');
    const first = await reading(pollingHttp, context);
    await until('all', () => first.deliveries.length === 7);
    await first.source.close();
    expect((context.position as KeptPosition).stored).toEqual({ cursor: '7' });
    feed.items.push('h');
    const second = await reading(pollingHttp, context);
    await until('the new one', () => second.deliveries.length === 1);
    expect(texts(second.deliveries)).toEqual(['"h"']);
  });

  test('waits as long as a busy server asks for', async () => {
    const at = await endpoint();
    const replies: Reply[] = [{ status: 429, headers: { 'retry-after': '0' } }, json(1)];
    at.reply = () => replies.shift() ?? json(2);
    const warned: string[] = [];
    const { deliveries } = await reading(
      pollingHttp,
      contextOf(at, {}, { warn: ({ code }) => void warned.push(code) }),
    );
    await until('a response', () => deliveries.length > 0);
    expect([warned, texts(deliveries.slice(0, 1))]).toEqual([['http_unavailable'], ['1']]);
  });

  test.each([
    [401, 'http_unauthorized', false],
    [404, 'http_refused', false],
    [500, 'http_unavailable', true],
  ] as const)('ends at %i', async (status, code, passing) => {
    const at = await endpoint();
    at.reply = () => status;
    expect(await (await reading(pollingHttp, contextOf(at))).end).toMatchObject({ code, passing });
  });

  test.each([
    [{ items: '/items' }, { status: 200, text: 'nonsense' }],
    [{ items: '/items' }, json({ items: 1 })],
    [paged, json({ items: [1], next: {} })],
  ] as [Partial<PollingTable>, Reply][])(
    'ends if the response has not what %j names',
    async (table, reply) => {
      const at = await endpoint();
      at.reply = () => reply;
      expect(await (await reading(pollingHttp, contextOf(at, table))).end).toMatchObject({
        code: 'polling_unreadable',
      });
    },
  );

  test('does not follow a link to another origin, which would get its headers', async () => {
    const at = await endpoint();
    at.reply = () => json([1], { link: '<http://other.invalid/>; rel=next' });
    const { end } = await reading(pollingHttp, contextOf(at, { items: '/', paging: 'link' }));
    expect(await end).toMatchObject({ code: 'http_refused' });
  });
});

test('the test of an endpoint polls once, and compares the items with the schema', async () => {
  const at = await endpoint();
  at.reply = () => json({ items: [{ celsius: 1 }, { celsius: 'x' }] });
  const outline = async (fields: object) => {
    const steps: CheckStep[] = [];
    const schema = { format: { type: 'json' }, fields: [fields] } as never;
    const context = { ...contextOf(at, { items: '/items' }), schema };
    await pollingHttp.check?.({
      ...context,
      probe: 'publish',
      stepTimeoutMs: 30_000,
      report: (step) => void steps.push(step),
    });
    return steps.map(({ name, outcome }) => `${name} ${outcome}`);
  };
  expect(await outline({ name: 'celsius', type: 'json' })).toEqual([
    'resolve ok',
    'tcp ok',
    'request ok',
    'decode ok',
  ]);
  expect((await outline({ name: 'celsius', type: 'float64' })).at(-1)).toBe('decode failed');
});

test('a watch shows the messages of each poll', async () => {
  const at = await endpoint();
  at.reply = () => json([1, 2]);
  const abort = new AbortController();
  const seen: string[] = [];
  const listening = vi.fn();
  const { table, profile, targets } = contextOf(at, { items: '/' });
  const watching = pollingHttp.watch?.({
    table,
    profile,
    targets,
    signal: abort.signal,
    listening,
    deliver: ({ payload }) => void seen.push(String(payload)),
  });
  await until('messages', () => seen.length >= 4);
  abort.abort(new Error('enough'));
  await expect(watching).rejects.toThrow('enough');
  expect(listening).toHaveBeenCalledOnce();
  expect(seen.slice(0, 2)).toEqual(['1', '2']);
});

test.each([
  [{ body: 'x' }, '/body'],
  [{ items: 'items' }, '/items'],
  [{ paging: 'cursor', cursor: '/next' }, '/cursor_parameter'],
  [{ paging: 'cursor', cursor_parameter: 'c' }, '/cursor'],
  [{ cursor: '/next' }, '/cursor'],
  [{ cursor_parameter: 'c' }, '/cursor_parameter'],
] as [Partial<PollingTable>, string][])('%j is refused', (table, path) => {
  const errors = pollingHttp.validateTable?.({ endpoint: 'https://a', ...table }, undefined);
  expect(errors?.map((error) => error.path)).toEqual([path]);
});
