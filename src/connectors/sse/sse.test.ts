import type { ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { testCheck } from '../../../test/support/connector-conformance/check.ts';
import { testSource } from '../../../test/support/connector-conformance/source.ts';
import { runContext, texts } from '../../../test/support/connector-conformance/subject.ts';
import { type Endpoint, endpoint } from '../../../test/support/http-endpoint.ts';
import { KeptPosition, reading } from '../../../test/support/sources.ts';
import { until } from '../../../test/support/until.ts';
import type { CheckStep, RunContext } from '../connector.ts';
import { sse } from './index.ts';
import type { SseTable } from './table.ts';

type Context = RunContext<object, SseTable>;

/** Sends events to whoever listens, and those after Last-Event-ID to whoever comes back. */
class Events {
  readonly at: Endpoint;
  readonly sent: string[] = [];
  readonly listeners = new Set<ServerResponse>();

  constructor(at: Endpoint) {
    this.at = at;
    at.reply = ({ headers }, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
      const after = Number(headers['last-event-id'] ?? 0);
      response.write(': welcome\nretry: 10\n\n');
      for (const [index, data] of this.sent.entries())
        if (index >= after) response.write(framed(data, index + 1));
      this.listeners.add(response);
      response.once('close', () => this.listeners.delete(response));
      return 'handled';
    };
  }

  send(data: string): void {
    const id = this.sent.push(data);
    for (const response of this.listeners) response.write(framed(data, id));
  }

  raw(text: string): void {
    for (const response of this.listeners) response.write(text);
  }

  /** Ends the responses, as servers do from time to time. */
  end(): void {
    for (const response of this.listeners) response.end();
    this.listeners.clear();
  }
}

const framed = (data: string, id: number): string =>
  `id: ${id}\n${data
    .split('\n')
    .map((line) => `data: ${line}\n`)
    .join('')}\n`;

const server = async (): Promise<Events> => new Events(await endpoint());

const servers = new Map<unknown, Events>();
async function contextOf(table: Partial<SseTable> = {}, rest: Partial<Context> = {}): Promise<Context> {
  const events = await server();
  const context: Context = {
    ...(runContext({}) as Context),
    table: { endpoint: events.at.url, ...table },
    position: new KeptPosition(),
    ...rest,
  };
  servers.set(context.table, events);
  return context;
}
const at = ({ table }: { table: unknown }) => servers.get(table) as Events;

const pool = await Promise.all(Array.from({ length: 12 }, () => contextOf()));
testSource({
  connector: sse,
  dials: false,
  keeps: true,
  context: () => pool.pop() as Context,
  async send(context, count, bytes = 0) {
    for (let sent = 0; sent < count; sent++)
      at(context).send(`m${at(context).sent.length}`.padEnd(bytes, '.'));
  },
  maxBytes: 64 * 1024 * 1024,
  async breakable() {
    const context = await contextOf();
    return { context, cut: () => at(context).at.stop() };
  },
});

const checked = await contextOf();
at(checked).send('{"celsius":1}');
testCheck({
  connector: sse,
  dials: true,
  context: () => checked,
  traces: async () => at(checked).at.sockets.size,
});

describe('a stream of events', () => {
  test('gives each event with its type, id and lines', async () => {
    const context = await contextOf({ headers: 'X-Key: k' });
    const { deliveries } = await reading(sse, context);
    await until('a listener', () => at(context).listeners.size === 1);
    at(context).raw('event: alarm\nid: a\ndata: one\ndata: two\n\ndata: three\n\n: a comment\n\n');
    await until('two events', () => deliveries.length === 2);
    expect(texts(deliveries)).toEqual(['one\ntwo', 'three']);
    expect(deliveries.map(({ metadata: { event, id } }) => [event, id])).toEqual([
      ['alarm', 'a'],
      ['message', 'a'],
    ]);
    expect(at(context).at.received[0]).toMatchObject({
      headers: { accept: 'text/event-stream', 'x-key': 'k' },
    });
  });

  test('gives the wanted types only, and goes on behind the others', async () => {
    const context = await contextOf({ events: 'alarm, reading' });
    const { deliveries } = await reading(sse, context);
    await until('a listener', () => at(context).listeners.size === 1);
    at(context).raw('event: alarm\ndata: 1\n\nevent: other\ndata: 2\n\nevent: reading\ndata: 3\n\n');
    await until('two events', () => deliveries.length === 2);
    expect(texts(deliveries)).toEqual(['1', '3']);
  });

  test('goes on after the last event when the server ends the response', async () => {
    const context = await contextOf();
    const { deliveries } = await reading(sse, context);
    await until('a listener', () => at(context).listeners.size === 1);
    at(context).send('1');
    await until('the event', () => deliveries.length === 1);
    at(context).end();
    at(context).send('2');
    await until('the next event', () => deliveries.length === 2);
    expect(texts(deliveries)).toEqual(['1', '2']);
    expect(at(context).at.received[1]?.headers['last-event-id']).toBe('1');
  });

  test('goes on after the last acknowledged event in another process', async () => {
    const context = await contextOf();
    for (const data of 'abc') at(context).send(data);
    const first = await reading(sse, context);
    await until('all', () => first.deliveries.length === 3);
    await first.source.close();
    at(context).send('d');
    const second = await reading(sse, context);
    await until('the new one', () => second.deliveries.length === 1);
    expect(texts(second.deliveries)).toEqual(['d']);
  });

  test('ends when the server says that there is no more', async () => {
    const context = await contextOf();
    at(context).at.reply = () => 204;
    expect(await (await reading(sse, context)).end).toBeUndefined();
  });

  test.each([
    [401, 'http_unauthorized', false],
    [404, 'http_refused', false],
    [503, 'http_unavailable', true],
    [200, 'sse_not_spoken', false],
  ] as const)('ends at %i of another kind', async (status, code, passing) => {
    const context = await contextOf();
    at(context).at.reply = () => ({ status, headers: { 'content-type': 'text/html' } });
    expect(await (await reading(sse, context)).end).toMatchObject({ code, passing });
  });

  test('counts as lost when nothing comes for too long', async () => {
    const context = await contextOf({ idle_timeout_secs: 1 });
    expect(await (await reading(sse, context)).end).toMatchObject({ code: 'connection_lost', passing: true });
  });

  test('refuses an event that is too large', async () => {
    const context = await contextOf();
    const { end } = await reading(sse, context);
    await until('a listener', () => at(context).listeners.size === 1);
    at(context).raw(`data: ${'x'.repeat(17 * 1024 * 1024)}`);
    expect(await end).toMatchObject({ code: 'sse_not_spoken' });
  });
});

test('the test of a stream waits for an event, and says whether it can be resumed', async () => {
  const context = await contextOf(
    {},
    { schema: { format: { type: 'json' }, fields: [{ name: 'a', type: 'int64' }] } },
  );
  const steps: CheckStep[] = [];
  const run = () =>
    sse.check?.({
      ...context,
      probe: 'publish',
      stepTimeoutMs: 30_000,
      report: (step) => void steps.push(step),
    });
  const running = run();
  await until('a listener', () => at(context).listeners.size === 1);
  at(context).raw('data: {"a":1}\n\n');
  await running;
  expect(steps.map(({ name, outcome }) => `${name} ${outcome}`)).toEqual([
    'resolve ok',
    'tcp ok',
    'request ok',
    'first_message ok',
    'decode ok',
  ]);
  expect(steps[3]?.hint).toContain('Last-Event-ID');
  steps.length = 0;
  at(context).send('{"a":"x"}');
  await run();
  expect(steps.map(({ name, outcome }) => `${name} ${outcome}`).slice(3)).toEqual([
    'first_message ok',
    'decode failed',
  ]);
  expect(steps[3]?.hint).toBeNull();
});
