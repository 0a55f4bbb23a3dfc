import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { atEnd, temporaryFolder } from '../support/at-end.ts';
import { freePort } from '../support/free-port.ts';
import { program } from '../support/penstock.ts';
import { until } from '../support/until.ts';

let settings: Record<string, string>;
beforeEach(async () => {
  const folder = temporaryFolder('health');
  settings = {
    PENSTOCK_DATA_DIR: folder,
    PENSTOCK_DATABASE_URL: `file:${join(folder, 'penstock.db')}`,
    PENSTOCK_ADMIN_KEY: 'the-key-of-an-admin\n',
    PENSTOCK_PORT: String(await freePort()),
    PENSTOCK_WORKER_HTTP: String(await freePort()),
  };
});

function start(args: string[], more: Record<string, string> = {}) {
  const child = spawn(process.execPath, [program, ...args], {
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
      ...settings,
      ...more,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
  let over = false;
  const ended = new Promise<{ code: number | null; said: string }>((resolve) =>
    child.once('close', (code) => {
      over = true;
      resolve({ code, said });
    }),
  );
  const listens = () =>
    until(
      'it listens',
      () => {
        if (over) throw new Error(said);
        return said.includes('Server listening');
      },
      120_000,
    );
  const stop = async () => {
    child.kill('SIGTERM');
    return ended;
  };
  atEnd(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { ended, listens, stop };
}

const health = (...args: string[]) => start(['health', ...args]).ended;
/** A busy process may respond too late for the first time. */
const becomesReady = (...args: string[]) =>
  until(
    'it is ready',
    async () => {
      const result = await health(...args);
      return result.code === 0 && result;
    },
    60_000,
  );

/** Requests that Node's HTTP server or parser refuses, with the status of the problem. */
const oddRequests = [
  ['GARBAGE', 400],
  ['GET /readyz HTTP/2.0\r\nHost: localhost', 400],
  ['GET /readyz HTTP/1.1\r\nHost: localhost\r\nExpect: 200-maybe', 417],
  ['BREW /readyz HTTP/1.1\r\nHost: localhost', 405],
  ['DELETE /healthz HTTP/1.1\r\nHost: localhost', 405],
  ['CONNECT a:1 HTTP/1.1\r\nHost: a:1', 405],
  [`GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: localhost`, 431],
  ['POST /readyz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip', 400],
] as const;

async function rawAnswer(port: number, request: string): Promise<string> {
  const socket = connect(port, '::1');
  let answer = '';
  // The server may close it before it has read everything.
  socket.on('error', () => {});
  socket.setEncoding('utf8').on('data', (chunk) => (answer += chunk));
  socket.write(request);
  await until('it is answered', () => answer.endsWith('}'));
  socket.destroy();
  return answer;
}

test('asks the API and a worker where the settings say, and says why when they are not ready', async () => {
  expect(await health()).toMatchObject({ code: 1, said: expect.stringContaining('ECONNREFUSED') });
  settings.PENSTOCK_HOST = '[::1]';
  const api = start(['api']);
  await api.listens();
  await becomesReady('api');
  expect(await becomesReady()).toMatchObject({ said: 'ready\n' });
  expect((await health('worker')).code).toBe(1);

  const worker = start(['worker']);
  await worker.listens();
  await becomesReady('worker');
  const at = (path: string, key?: string) =>
    fetch(`http://[::1]:${settings.PENSTOCK_WORKER_HTTP}${path}`, {
      headers: key ? { authorization: `Bearer ${key}` } : {},
    });
  expect((await at('/healthz')).status).toBe(200);
  expect((await at('/metrics')).status).toBe(401);
  const metrics = await at('/metrics', 'the-key-of-an-admin');
  expect(await metrics.text()).toContain('# TYPE penstock_jobs gauge');
  const other = await at('/api/v1/pipelines', 'the-key-of-an-admin');
  expect(other.status).toBe(404);
  expect(other.headers.get('content-type')).toContain('application/problem+json');
  expect((await at('/healthz')).headers.get('x-content-type-options')).toBe('nosniff');
  const port = Number(settings.PENSTOCK_WORKER_HTTP);
  for (const [head, status] of oddRequests) {
    const answer = await rawAnswer(port, `${head}\r\n\r\n`);
    expect(answer, head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer, head).toContain('application/problem+json');
    expect(answer, head).toContain('frame-ancestors');
  }

  await api.stop();
  await becomesReady();
  expect((await worker.stop()).code).toBe(0);
  expect((await health()).code).toBe(1);
});

test('refuses another role, and settings that are wrong', async () => {
  expect(await health('demo')).toMatchObject({ code: 2, said: expect.stringContaining('api or worker') });
  settings.PENSTOCK_PORT = 'http';
  expect(await health()).toMatchObject({ code: 2, said: expect.stringContaining('PENSTOCK_PORT') });
});
