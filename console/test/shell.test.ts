import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { startService } from '../../test/support/service.ts';
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

  test('says that a page does not exist', async () => {
    const { address } = await startService({ console: true });
    const { page } = await browser.open(address, { at: '/nowhere' });
    expect(await page.locator('h1').textContent()).toBe('There is no such page');
  });
});

describe('the files of the console', () => {
  test('have a strict policy, are cached for ever, and are small at first', async () => {
    const { request } = await startService({ console: true });
    const index = await request.get('/').expect(200).expect('cache-control', 'no-cache');
    const policy = index.headers['content-security-policy'] ?? '';
    expect(policy).toMatch(/default-src 'none'; script-src 'self'; style-src 'self' 'nonce-[\w+/=]{24}'/);
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    const again = await request.get('/').expect(200);
    expect(again.headers['content-security-policy']).not.toBe(policy);
    const first = [...index.text.matchAll(/(?:src|href)="\.(\/assets\/[^"]+)"/g)].map(
      ([, path]) => path as string,
    );
    expect(first.length).toBeGreaterThanOrEqual(3);
    let size = gzipSync(index.text).length;
    for (const path of first) {
      const file = await request.get(path).set('accept-encoding', 'gzip').buffer(true).expect(200);
      expect(file.headers['cache-control']).toBe('public, max-age=31536000, immutable');
      expect(file.headers['x-content-type-options']).toBe('nosniff');
      size += Number(file.headers['content-length']);
    }
    expect(size).toBeLessThan(250_000);
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
