import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { atEnd } from '../../../test/support/at-end.ts';
import { testCheck } from '../../../test/support/connector-conformance/check.ts';
import { testSource } from '../../../test/support/connector-conformance/source.ts';
import { failureOf, runContext } from '../../../test/support/connector-conformance/subject.ts';
import { reading } from '../../../test/support/sources.ts';
import { until } from '../../../test/support/until.ts';
import type { CheckStep, RunContext } from '../connector.ts';
import { websocket } from './index.ts';
import type { WebSocketTable } from './table.ts';

type Context = RunContext<object, WebSocketTable>;

/** A WebSocket server. What is sent before a client comes goes to the first one. */
class Server {
  readonly server: WebSocketServer;
  readonly said: string[] = [];
  readonly requests: { url: string | undefined; key: unknown; protocol: unknown }[] = [];
  readonly #early: (string | Buffer)[] = [];

  constructor(options: object = {}) {
    this.server = new WebSocketServer({ host: '127.0.0.1', port: 0, ...options });
    this.server.on('connection', (client, { url, headers }) => {
      this.requests.push({ url, key: headers['x-key'], protocol: client.protocol });
      client.on('message', (data) => this.said.push(String(data))).on('error', () => {});
      for (const message of this.#early.splice(0)) client.send(message);
    });
    atEnd(() => this.stop());
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.server.address() as AddressInfo).port}/stream`;
  }

  get clients(): WebSocket[] {
    return [...this.server.clients];
  }

  send(message: string | Buffer): void {
    if (this.clients.length === 0) this.#early.push(message);
    for (const client of this.clients) client.send(message);
  }

  stop(): Promise<void> {
    for (const client of this.clients) client.terminate();
    return new Promise((resolve) => void this.server.close(() => resolve()));
  }
}

async function server(options?: object): Promise<Server> {
  const started = new Server(options);
  await until('the server to listen', () => started.server.address() !== null);
  return started;
}

const servers = new Map<unknown, Server>();
function contextOf(at: Server, table: Partial<WebSocketTable> = {}, rest: Partial<Context> = {}): Context {
  const context: Context = { ...(runContext({}) as Context), table: { endpoint: at.url, ...table }, ...rest };
  servers.set(context.table, at);
  return context;
}
const at = ({ table }: { table: unknown }) => servers.get(table) as Server;

const pool = await Promise.all(Array.from({ length: 12 }, async () => contextOf(await server())));
testSource({
  connector: websocket,
  dials: true,
  keeps: false,
  context: () => pool.pop() as Context,
  async send(context, count, bytes = 0) {
    for (let sent = 0; sent < count; sent++) at(context).send(`m${sent}`.padEnd(bytes, '.'));
  },
  async breakable() {
    const context = contextOf(await server());
    return { context, cut: () => at(context).stop() };
  },
});

const greeting = await server();
greeting.server.on('connection', (client) => client.send('{}'));
const checked = contextOf(greeting);
testCheck({
  connector: websocket,
  dials: true,
  context: () => checked,
  traces: async () => at(checked).clients.length,
});

describe('a WebSocket', () => {
  test('asks with its headers and protocol, sends its subscriptions in order, and reads text and bytes', async () => {
    const own = await server();
    const table = {
      headers: 'X-Key: k',
      protocol: 'v2',
      subscription_message: 'a',
      subscription_messages: ['b', 'c'],
    };
    const { deliveries } = await reading(websocket, contextOf(own, table));
    await until('the subscriptions', () => own.said.length === 3);
    expect([own.said, own.requests]).toEqual([
      ['a', 'b', 'c'],
      [{ url: '/stream', key: 'k', protocol: 'v2' }],
    ]);
    own.send('text');
    own.send(Buffer.from([0, 255]));
    await until('two messages', () => deliveries.length === 2);
    expect(deliveries.map(({ payload, metadata }) => [payload.toString('hex'), metadata.binary])).toEqual([
      [Buffer.from('text').toString('hex'), false],
      ['00ff', true],
    ]);
  });

  test('reads no further while the window is full', async () => {
    const own = await server();
    const context = contextOf(own, {}, { window: 5 });
    const source = await websocket.openSource?.(context);
    if (!source) throw new Error('no source');
    const iterator = source[Symbol.asyncIterator]();
    for (let sent = 0; sent < 2_000; sent++) own.send('x'.repeat(10_000));
    await iterator.next();
    const [client] = own.clients;
    await until('the socket to be full', () => (client?.bufferedAmount ?? 0) > 1_000_000);
    await source.close();
  });

  test.each([
    [1000, 'connection_lost', true],
    [1001, 'connection_lost', true],
    [1008, 'websocket_closed', false],
    [1011, 'connection_lost', true],
    [4001, 'connection_lost', true],
  ] as const)('ends when the server closes it with %i', async (closeCode, code, passing) => {
    const own = await server();
    const { end } = await reading(websocket, contextOf(own));
    await until('a client', () => own.clients.length === 1);
    own.clients[0]?.close(closeCode, 'because');
    expect(await end).toMatchObject({
      code,
      passing,
      facts: { closeCode },
      message: expect.stringContaining('because'),
    });
  });

  test('counts as lost when the server responds to no ping', async () => {
    const own = await server({ autoPong: false });
    expect(await (await reading(websocket, contextOf(own, { ping_interval_secs: 1 }))).end).toMatchObject({
      code: 'connection_lost',
      passing: true,
    });
  });

  test('ends at a message that is too large', async () => {
    const own = await server();
    const { end } = await reading(websocket, contextOf(own));
    own.send('x'.repeat(16 * 1024 * 1024 + 1));
    expect(await end).toMatchObject({ code: 'websocket_message_too_large' });
  });

  test.each([
    [401, 'http_unauthorized', false],
    [404, 'websocket_refused', false],
    [503, 'http_unavailable', true],
    [200, 'websocket_refused', false],
  ] as const)('is not opened by a server that responds with %i', async (status, code, passing) => {
    const http = createServer((_request, response) => response.writeHead(status).end());
    http.on('upgrade', (_request, socket) =>
      socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`),
    );
    await new Promise<void>((resolve) => void http.listen(0, '127.0.0.1', resolve));
    atEnd(() => new Promise<void>((resolve) => void http.close(() => resolve())));
    const endpoint = `ws://127.0.0.1:${(http.address() as AddressInfo).port}/`;
    const context = contextOf(await server(), { endpoint });
    expect(await failureOf(websocket.openSource?.(context) as Promise<unknown>)).toMatchObject({
      code,
      passing,
    });
  });
});

test('the test of a WebSocket waits for a message and compares it with the schema', async () => {
  const own = await server();
  const schema = { format: { type: 'json' as const }, fields: [{ name: 'a', type: 'int64' as const }] };
  const outline = async () => {
    const steps: CheckStep[] = [];
    const context = contextOf(own, { subscription_messages: ['hello'] }, { schema });
    await websocket.check?.({
      ...context,
      probe: 'publish',
      stepTimeoutMs: 30_000,
      report: (step) => void steps.push(step),
    });
    return steps.map(({ name, outcome }) => `${name} ${outcome}`);
  };
  const connected = ['resolve ok', 'tcp ok', 'websocket ok', 'first_message ok'];
  own.send('{"a":1}');
  expect(await outline()).toEqual([...connected, 'decode ok']);
  await until('the client to leave', () => own.clients.length === 0);
  own.send('{"a":"x"}');
  expect(await outline()).toEqual([...connected, 'decode failed']);
  await until('both subscriptions', () => own.said.length === 2);
  expect(own.said).toEqual(['hello', 'hello']);
});

test.each([
  [{ endpoint: 'https://a' }, '/endpoint'],
  [{ endpoint: 'ws://a', headers: 'x' }, '/headers'],
  [{ endpoint: 'ws://a', headers: 'Sec-WebSocket-Protocol: x' }, '/headers'],
])('%j is refused', (table, path) => {
  expect(websocket.validateTable?.(table, undefined).map((error) => error.path)).toEqual([path]);
});
