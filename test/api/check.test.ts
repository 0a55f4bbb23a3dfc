import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { profileBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

/** A server that accepts and never responds, which no real broker does on demand. */
describe('a connection test', () => {
  let service: Service;
  let server: Server;
  const sockets = new Set<Socket>();
  let url: string;

  beforeEach(async () => {
    service = await startService();
    server = createServer((socket) => {
      sockets.add(socket);
      socket
        .on('close', () => sockets.delete(socket))
        .on('error', () => {})
        .resume();
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const address = server.address();
    url = typeof address === 'object' && address ? `mqtt://127.0.0.1:${address.port}` : '';
  });
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  const start = (signal: AbortSignal, accept: string) =>
    fetch(`${service.address}/api/v1/connection_profiles/test`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept },
      // No step ends while the tests wait for eight of them.
      body: JSON.stringify({ ...profileBody(url), step_timeout_ms: 60_000, timeout_ms: 60_000 }),
      signal,
    });

  test.each(['application/json', 'text/event-stream'])(
    'ends when its caller goes away (%s)',
    async (accept) => {
      const caller = new AbortController();
      const answer = start(caller.signal, accept).then((response) => response.text());
      await until('the test connects', async () => sockets.size > 0);
      caller.abort();
      await expect(answer).rejects.toThrow();
      await until('the connection is closed', async () => sockets.size === 0);
    },
  );

  test('is refused with a retry time when too many run, and accepted again when they have ended', async () => {
    const callers = Array.from({ length: 8 }, () => new AbortController());
    const answers = callers.map(({ signal }) =>
      start(signal, 'text/event-stream')
        .then((response) => response.text())
        .catch(() => 'gone'),
    );
    await until('eight tests connect', async () => sockets.size === 8);
    const refused = await start(new AbortController().signal, 'application/json');
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('5');
    expect(await refused.json()).toMatchObject({ code: 'too_many_requests' });
    for (const caller of callers) caller.abort();
    expect(await Promise.all(answers)).toEqual(Array(8).fill('gone'));
    await until('they are over', async () => sockets.size === 0);
    const last = new AbortController();
    const again = start(last.signal, 'text/event-stream').catch(() => undefined);
    await until('another one connects', async () => sockets.size === 1);
    last.abort();
    await again;
  });

  test('streams each step as soon as it ends', async () => {
    const caller = new AbortController();
    const response = await start(caller.signal, 'text/event-stream');
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let text = '';
    while (!text.includes('"tcp"')) text += new TextDecoder().decode((await reader.read()).value);
    // The response head arrives at once, whenever the events come.
    expect(text.startsWith(': connected\n\n')).toBe(true);
    const steps = text
      .split('\n\n')
      .filter((frame) => frame.startsWith('data: '))
      .map((frame) => JSON.parse(frame.replace('data: ', '')));
    expect(steps[0]).toMatchObject({
      error: false,
      done: false,
      name: 'resolve',
      outcome: 'ok',
      code: null,
      hint: null,
    });
    caller.abort();
  });
});
