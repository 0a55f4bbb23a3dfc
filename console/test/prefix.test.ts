import { expect, test } from 'vitest';
import { bundleOf } from '../../test/support/bundle.ts';
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

  // The overview is a stream: what others make appears.
  await go('/');
  await page.getByRole('status').getByText('Live').waitFor();
  const { bundle } = bundleOf();
  await request
    .post('/api/v1/apply')
    .set('authorization', `Bearer ${adminKey}`)
    .send({ ...bundle, pipelines: bundle.pipelines.map((one) => ({ ...one, name: 'seen_below' })) })
    .expect(200);
  await page.getByText('seen_below').first().waitFor();
  expect(outside).toEqual([]);
});
