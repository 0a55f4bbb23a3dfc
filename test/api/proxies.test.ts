import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { whyMissing } from '../../scripts/servers.ts';
import { temporaryFolder } from '../support/at-end.ts';
import { proxies, startProxy } from '../support/proxies.ts';
import { created, profileBody } from '../support/resources.ts';
import { whereIs } from '../support/server-process.ts';
import { type Service, startService } from '../support/service.ts';
import { skipping } from '../support/skipping.ts';

/** The examples of proxies, which serve Penstock below a path and compress: what breaks ETags and addresses. */

let service: Service;
beforeAll(async () => {
  service = await startService();
});

describe.each(proxies)('$name', (kind) => {
  const { name } = kind;
  const missing = whyMissing(name);

  test.skipIf(missing !== undefined)(
    skipping('keeps ETags, conditional requests, addresses and event streams working', missing),
    async () => {
      const base = await startProxy(kind, service.address);
      const path = `${base}/api/v1/connection_profiles`;
      const send = (url: string, method = 'GET', headers: Record<string, string> = {}, body?: object) =>
        fetch(url, {
          method,
          headers: { 'accept-encoding': 'gzip', 'content-type': 'application/json', ...headers },
          ...(body && { body: JSON.stringify(body) }),
        });

      const config = { url: 'mqtt://127.0.0.1:1', username: 'x'.repeat(900) };
      const made = await send(path, 'POST', {}, profileBody('', { name, config }));
      const { id } = (await made.json()) as { id: string };
      const location = new URL(made.headers.get('location') ?? '', path).href;
      expect(location).toBe(`${path}/${id}`);

      const got = await send(location);
      const etag = got.headers.get('etag') ?? '';
      expect(etag).toContain(`${id}.1.`);
      expect(got.headers.get('content-encoding')).toBe('gzip');
      expect((await send(location, 'GET', { 'if-none-match': etag })).status).toBe(304);
      const labels = (site: string) => ({ labels: { site } });
      expect((await send(location, 'PATCH', { 'if-match': etag }, labels('a'))).status).toBe(200);
      const stale = await send(location, 'PATCH', { 'if-match': etag }, labels('b'));
      expect([stale.status, ((await stale.json()) as { code: string }).code]).toEqual([
        412,
        'precondition_failed',
      ]);
      expect((await send(location, 'GET', { 'if-none-match': etag })).status).toBe(200);

      // fetch follows the redirects.
      const page = await send(`${base}/`);
      expect([page.status, page.url]).toEqual([200, `${base}/api/v1/swagger-ui/`]);
      const [, script = ''] = /src="([^"]+bundle\.js)"/.exec(await page.text()) ?? [];
      expect((await send(new URL(script, page.url).href)).status).toBe(200);
      const document = `${base}/api/v1/api-docs/openapi.json`;
      const { servers } = (await (await send(document)).json()) as { servers: [{ url: string }] };
      expect(new URL(servers[0].url, document).href).toBe(`${base}/`);

      const tested = await send(`${path}/${id}/test`, 'POST', { accept: 'text/event-stream' }, {});
      expect(await tested.text()).toContain('"done":true');
      await send(location, 'DELETE');
    },
    60_000,
  );
});

const noCurl = whereIs('curl') ? undefined : 'curl is not installed';

test.skipIf(noCurl !== undefined)(
  skipping('curl keeps an ETag in a file, and downloads only what has changed', noCurl),
  async () => {
    const { id } = await created(
      service.request,
      '/connection_profiles',
      profileBody('mqtt://127.0.0.1:1', { name: 'curl' }),
    );
    const folder = temporaryFolder('curl');
    const url = `${service.address}/api/v1/connection_profiles/${id}`;
    const curl = async (...args: string[]) => {
      const all = ['-sS', '-o', 'body', '-w', '%{http_code}', ...args, url];
      return (await promisify(execFile)('curl', all, { cwd: folder })).stdout;
    };
    const poll = () => curl('--etag-save', 'tag', '--etag-compare', 'tag');
    expect(await poll()).toBe('200');
    expect(await poll()).toBe('304');
    const patch = [
      '-X',
      'PATCH',
      '-H',
      'content-type: application/json',
      '-d',
      '{"labels": {"site": "north"}}',
    ];
    const ifMatch = `if-match: ${readFileSync(join(folder, 'tag'), 'utf8').trim()}`;
    expect(await curl('-H', ifMatch, ...patch)).toBe('200');
    expect(await curl('-H', ifMatch, ...patch)).toBe('412');
    expect(await poll()).toBe('200');
    expect(readFileSync(join(folder, 'body'), 'utf8')).toContain('north');
    expect(await poll()).toBe('304');
  },
);
