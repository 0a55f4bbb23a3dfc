import { gzipSync } from 'node:zlib';
import type { Request } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { createPipeline, createTables } from '../../test/support/resources.ts';
import { startService } from '../../test/support/service.ts';
import { until } from '../../test/support/until.ts';
import { expectAccessible, useConsole } from './browser.ts';

const adminKey = 'an-admin-key-of-this-test';
const browser = useConsole();

describe('the frame of the console', () => {
  test('opens without a key on the loopback interface, light and dark, wide and narrow', async () => {
    const { address } = await startService({ console: true });
    for (const [width, colors] of [
      [1280, 'light'],
      [390, 'dark'],
    ] as const) {
      const { page } = await browser.open(address, { width, colors });
      expect(await page.locator('h1').textContent()).toBe('Pipelines');
      expect(await page.getByRole('button', { name: 'Log out' }).count()).toBe(0);
      await expectAccessible(page);
    }
  });

  test('asks for a key, keeps it in the tab only, and shows what its role may see', async () => {
    const { address, request } = await startService({ console: true, adminKey });
    const made = await request
      .post('/api/v1/api_keys')
      .set('authorization', `Bearer ${adminKey}`)
      .send({ name: 'night', role: 'viewer' })
      .expect(200);
    const { page, context } = await browser.open(address);
    await expectAccessible(page);
    await page.getByLabel('API key').fill('a-key-that-is-wrong');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('valid API key').waitFor();
    await page.getByLabel('API key').fill(made.body.key);
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: 'Workers' }).waitFor();
    await page.waitForFunction(() => document.title === 'Pipelines · Penstock');
    expect(await page.getByRole('link', { name: 'API keys' }).count()).toBe(0);
    expect(page.url()).not.toContain(made.body.key);
    const stored = await page.evaluate(() => [localStorage.length, document.cookie]);
    expect(stored[1]).toBe('');
    expect(JSON.stringify(await context.storageState())).not.toContain(made.body.key);
    await page.reload();
    await page.getByRole('link', { name: 'Workers' }).waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByLabel('API key').waitFor();
  });

  test('has titles, the clock of Penstock, and no stream while it is hidden for long', async () => {
    const { address } = await startService({ console: true, worker: true });
    const { page, go } = await browser.open(address);
    await page.goto('about:blank');
    const open = new Set<Request>();
    let begun = 0;
    page.on('request', (sent) => {
      if (!sent.url().endsWith('/overview')) return;
      open.add(sent);
      begun++;
    });
    const closed = (sent: Request) => void open.delete(sent);
    page.on('requestfailed', closed).on('requestfinished', closed);
    await page.clock.install({ time: Date.now() - 3 * 3_600_000 });
    await page.goto(`${address}/#/`);
    await page.getByText('Live', { exact: true }).waitFor();
    expect(open.size).toBe(1);
    const hide = (hidden: boolean) =>
      page.evaluate((given) => {
        Object.defineProperty(document, 'hidden', { value: given, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      }, hidden);
    await hide(true);
    await page.clock.fastForward(61_000);
    await until('the stream to be closed', () => open.size === 0);
    const before = begun;
    await page.clock.fastForward(60_000);
    expect(begun).toBe(before);
    await hide(false);
    await until('the stream to be open again', () => open.size === 1);
    await page.getByText('Live', { exact: true }).waitFor();

    await go('/workers');
    // The clock of the browser is hours behind.
    await until('the time since the start of the worker', async () =>
      /up for [1-9][\d.]* (s|min)/.test((await page.getByRole('main').textContent()) ?? ''),
    );
    await page.waitForFunction(() => document.title === 'Workers · Penstock');
  });

  test('shows long and hostile names within a narrow page', async () => {
    const identity = { name: 'w'.repeat(64) };
    const { address, request } = await startService({ console: true, worker: true, identity });
    const name = `<b>\u202e${'W'.repeat(90)}`;
    const tables = await createTables(request, 'mqtt://127.0.0.1:1');
    await request.patch(`/api/v1/connection_profiles/${tables.profile}`).send({ name }).expect(200);
    const pipeline = await createPipeline(request, 'INSERT INTO alerts SELECT * FROM readings', name);
    const { page, go } = await browser.open(address, { width: 390, at: `/connections/${tables.profile}` });
    const title = `<b>\\u202e${'W'.repeat(90)} · Penstock`;
    await page.waitForFunction((given) => document.title === given, title);
    await expectAccessible(page);
    await go(`/pipelines/${pipeline}`);
    await page.getByText('controlled by').waitFor();
    await expectAccessible(page);
  });

  test('says that a proxy responds in place of Penstock, and goes on after it', async () => {
    const { address } = await startService({ console: true });
    const { page, go } = await browser.open(address);
    const asked = '**/api/v1/workers';
    await page.route(asked, (route) =>
      route.fulfill({ status: 403, contentType: 'application/json', body: '{"message":"Forbidden"}' }),
    );
    await go('/workers');
    await page.getByRole('alert').getByText('responded with status 403, but not as Penstock does').waitFor();
    // It replaces the first one at once, so that no request gets through in between.
    await page.route(asked, (route) =>
      route.fulfill({ status: 200, contentType: 'text/html', body: '<form>Log in</form>' }),
    );
    await page.getByRole('alert').getByText('responded with status 200').waitFor();
    await page.unroute(asked);
    await page.getByRole('alert').waitFor({ state: 'detached' });
  });

  test('says why a stream is refused, and opens it later', async () => {
    const { address } = await startService({ console: true });
    const { page } = await browser.open(address);
    await page.getByText('Live', { exact: true }).waitFor();
    const busy = new AbortController();
    const headers = { accept: 'text/event-stream' };
    const others = Array.from({ length: 31 }, () =>
      fetch(`${address}/api/v1/overview`, { headers, signal: busy.signal }),
    );
    await Promise.all(others);
    const second = await page.context().newPage();
    await second.goto(`${address}/#/`);
    await second.getByRole('alert').getByText('32 of your streams are open').waitFor();
    busy.abort();
    await second.getByText('Live', { exact: true }).waitFor();
    expect(await second.getByRole('alert').count()).toBe(0);
  });

  test('waits for a part while Penstock is away, and otherwise says that it could not be loaded', async () => {
    const { address } = await startService({ console: true });
    const { page, go } = await browser.open(address);
    await page.clock.install();
    let tries = 0;
    await page.route('**/*', (route) => {
      if (/\/assets\/workers-[^.]+\.js$/.test(route.request().url())) tries++;
      return route.abort();
    });
    await go('/workers');
    await until('many tries', async () => {
      await page.clock.fastForward(8_000);
      return tries > 8;
    });
    await page.unroute('**/*');
    await until('the page', async () => {
      await page.clock.fastForward(8_000);
      return page.getByRole('heading', { name: 'Workers' }).isVisible();
    });

    const part = /\/assets\/editor-/;
    await page.route(part, (route) => route.abort());
    await go('/bundles');
    const lost = page.getByRole('alert').getByText('A part of the console could not be loaded');
    await until('it says so', async () => {
      await page.clock.fastForward(8_000);
      return lost.isVisible();
    });
    browser.errors.splice(0);
    await page.unroute(part);
    await page.getByRole('button', { name: 'Load the console again' }).click();
    await page.getByRole('textbox', { name: 'Bundle', exact: true }).waitFor();
  });

  test('is used with the keyboard alone', async () => {
    const { address } = await startService({ console: true });
    const { page } = await browser.open(address);
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Skip to the page');
    await page.keyboard.press('Enter');
    expect(await page.evaluate(() => document.activeElement?.tagName)).toBe('MAIN');
    await page.getByRole('link', { name: 'Workers' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Workers' }).waitFor();
    await page.waitForFunction(() => document.activeElement?.tagName === 'MAIN');
  });

  test('says that a page does not exist', async () => {
    const { address } = await startService({ console: true });
    const { page } = await browser.open(address, { at: '/nowhere' });
    expect(await page.locator('h1').textContent()).toBe('There is no such page');
  });
});

describe('the files of the console', () => {
  test('have a strict policy, are cached for ever, and are small at first', async () => {
    const { address, request } = await startService({ console: true });
    const index = await request.get('/').expect(200).expect('cache-control', 'no-cache');
    const policy = index.headers['content-security-policy'] ?? '';
    expect(policy).toMatch(/default-src 'none'; script-src 'self'; style-src 'self' 'nonce-[\w+/=]{24}'/);
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    const again = await request.get('/').expect(200);
    expect(again.headers['content-security-policy']).not.toBe(policy);
    const { page } = await browser.open(address);
    await page.getByRole('heading', { name: 'Pipelines' }).waitFor();
    const loaded = await page.evaluate(() =>
      performance.getEntriesByType('resource').map(({ name }) => name),
    );
    const first = loaded.filter((url) => url.includes('/assets/')).map((url) => new URL(url).pathname);
    expect(first.some((path) => path.includes('/overview-'))).toBe(true);
    let size = gzipSync(index.text).length;
    for (const path of new Set(first)) {
      const file = await request.get(path).set('accept-encoding', 'gzip').buffer(true).expect(200);
      expect(file.headers['cache-control']).toBe('public, max-age=31536000, immutable');
      expect(file.headers['x-content-type-options']).toBe('nosniff');
      size += Number(file.headers['content-length']);
    }
    expect(size, `${size} bytes`).toBeLessThan(250_000);
    const licenses = await request.get('/assets/licenses.md').expect(200).expect('cache-control', 'no-cache');
    expect(licenses.text).toContain('## react ');
    await request
      .get('/assets/missing.js')
      .expect(404)
      .expect('content-type', /problem/);
    await request.get('/assets/..%2f..%2fpackage.json').expect(404);
  });

  test('are not served when the console is off', async () => {
    const { request } = await startService({ console: false });
    await request.get('/').expect(302).expect('location', './api/v1/swagger-ui/');
    await request.get('/assets/index.js').expect(404);
  });
});
