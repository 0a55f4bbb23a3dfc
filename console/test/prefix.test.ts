import { expect, test } from 'vitest';
import { belowPath } from '../../test/support/proxies.ts';
import { startService } from '../../test/support/service.ts';
import { useConsole } from './browser.ts';

const adminKey = 'an-admin-key-of-this-test';
const browser = useConsole();

test('the console works below a path of a proxy: it loads, navigates, streams and reloads', async () => {
  const { address, request } = await startService({ console: true, worker: true, adminKey });
  const base = await belowPath(address);
  const { page, go } = await browser.open(base, { key: adminKey });
  const outside: string[] = [];
  page.on('request', (sent) => {
    if (!sent.url().startsWith(`${base}/`)) outside.push(sent.url());
  });

  await page.getByRole('link', { name: 'Workers' }).click();
  await page.getByRole('table', { name: 'Workers' }).waitFor();
  expect(page.url()).toBe(`${base}/#/workers`);
  await go('/keys');
  await page.getByRole('button', { name: 'Create a key' }).waitFor();
  await page.reload();
  await page.getByRole('button', { name: 'Create a key' }).waitFor();
  await page.getByRole('button', { name: 'Automate' }).click();
  await page
    .getByRole('region', { name: 'List the keys with curl' })
    .getByText(`'${base}/api/v1/api_keys'`)
    .waitFor();
  await page.keyboard.press('Escape');

  await go('/about');
  await page.getByText('1 worker alive').waitFor();
  await page.getByRole('link', { name: 'Swagger UI' }).click();
  await page.waitForURL(`${base}/api/v1/swagger-ui/`);
  await page.goBack();
  await page.getByRole('heading', { name: 'About' }).waitFor();

  const authorization = `Bearer ${adminKey}`;
  await request.get('/api/v1/pipelines').expect(401);
  const first = await page.evaluate(async (key) => {
    const response = await fetch('api/v1/pipelines/events', { headers: { authorization: key } });
    const reader = response.body?.getReader();
    const { value } = (await reader?.read()) ?? {};
    await reader?.cancel();
    return `${response.headers.get('content-type')} ${new TextDecoder().decode(value)}`;
  }, authorization);
  expect(first).toMatch(/^text\/event-stream/);
  expect(outside).toEqual([]);
});
