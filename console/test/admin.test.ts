import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { bundleOf } from '../../test/support/bundle.ts';
import { Mosquitto } from '../../test/support/mosquitto.ts';
import { plainClient } from '../../test/support/mqtt.ts';
import { type Service, startService } from '../../test/support/service.ts';
import { until } from '../../test/support/until.ts';
import { expectAccessible, picture, useConsole } from './browser.ts';

const adminKey = 'an-admin-key-of-this-test';
const browser = useConsole();

let service: Service;
let broker: Mosquitto;
beforeAll(async () => {
  broker = await Mosquitto.start();
  service = await startService({ console: true, worker: true, adminKey });
});

const get = async (path: string) => {
  const { body } = await service.request
    .get(`/api/v1${path}`)
    .set('authorization', `Bearer ${adminKey}`)
    .expect(200);
  return body;
};
const send = (method: 'post' | 'patch', path: string, body: object) =>
  service.request[method](`/api/v1${path}`).set('authorization', `Bearer ${adminKey}`).send(body).expect(200);

/** A bundle whose pipeline can run. */
function runnable(app: string) {
  const made = bundleOf();
  const bundle = JSON.parse(JSON.stringify(made.bundle).replaceAll(made.app, app)) as typeof made.bundle;
  Object.assign(bundle.connection_profiles[0] as object, { config: { url: broker.url } });
  return { app, bundle };
}

async function write(page: Page, text: string): Promise<void> {
  const editor = page.getByRole('textbox', { name: 'Bundle', exact: true });
  await editor.click();
  await page.keyboard.press('Control+A');
  // Chromium gives a style to text that replaces a selection, which the security policy refuses.
  await page.keyboard.press('Delete');
  await page.keyboard.insertText(text);
}

/** Looks at the page at both sizes. */
async function seeAt(at: string, heading: string, wait: (page: Page) => Promise<unknown>): Promise<void> {
  for (const [width, colors] of [
    [1280, 'light'],
    [390, 'dark'],
  ] as const) {
    const { page, context } = await browser.open(service.address, { at, key: adminKey, width, colors });
    expect(await page.locator('h1').textContent()).toBe(heading);
    await wait(page);
    await expectAccessible(page);
    await context.close();
  }
}

describe('API keys', () => {
  test('are made, shown once, used by a viewer who sees no more than it may, and revoked', async () => {
    const { page, go } = await browser.open(service.address, { at: '/keys', key: adminKey });
    await page.getByText('PENSTOCK_ADMIN_KEY is the only one').waitFor();
    await page.getByRole('button', { name: 'Create a key' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill('night <b>shift</b>');
    await dialog.getByRole('radio', { name: 'viewer' }).check();
    await expectAccessible(page);
    await dialog.getByRole('button', { name: 'Create the key' }).click();
    const key = await dialog.locator('pre').textContent();
    expect(key).toMatch(/^pk_[\w-]{43}$/);
    await dialog.getByRole('button', { name: 'Copy the key' }).click();
    await until('the key is copied', () =>
      page.evaluate((given) => navigator.clipboard.readText().then((text) => text === given), key),
    );
    await dialog.getByRole('button', { name: 'I have copied it' }).click();
    await dialog.waitFor({ state: 'detached' });
    await page.getByRole('cell', { name: 'night <b>shift</b>', exact: true }).waitFor();
    expect(await page.content()).not.toContain(key);
    expect(page.url()).not.toContain(key);

    const viewer = await browser.open(service.address, { at: '/workers', key: key ?? '' });
    await viewer.page.getByRole('table', { name: 'Workers' }).waitFor();
    expect(await viewer.page.getByRole('button', { name: 'Drain' }).count()).toBe(0);
    expect(await viewer.page.getByRole('link', { name: 'Audit log' }).count()).toBe(0);
    await viewer.go('/bundles');
    await viewer.page.getByRole('button', { name: 'Export', exact: true }).waitFor();
    expect(await viewer.page.getByRole('tab', { name: 'Apply' }).count()).toBe(0);
    for (const [at, heading] of [
      ['/keys', 'API keys'],
      ['/audit', 'Audit log'],
    ] as const) {
      await viewer.go(at);
      await viewer.page.getByRole('heading', { name: heading, level: 1 }).waitFor();
      await viewer.page.getByRole('alert').getByText('forbidden').waitFor();
      expect(await viewer.page.getByRole('button', { name: 'Create a key' }).count()).toBe(0);
    }

    await go('/keys');
    await page.getByRole('button', { name: 'Revoke night' }).click();
    await dialog.getByText('cannot be undone').waitFor();
    await dialog.getByRole('button', { name: 'Revoke' }).click();
    await page.getByText('PENSTOCK_ADMIN_KEY is the only one').waitFor();
    await viewer.go('/workers');
    await viewer.page.getByLabel('API key').waitFor();
  });

  test('log this tab in when the first of them is made, and tell which of them must stay', async () => {
    const own = await startService({ console: true });
    const { page } = await browser.open(own.address, { at: '/keys' });
    await page.clock.install();
    await page.reload();
    await page.getByText('every call needs one').waitFor();
    // Requests that the page sends before the response arrives have no key yet, and are refused.
    await page.route('**/api/v1/api_keys', async (route) => {
      if (route.request().method() !== 'POST') return route.continue();
      const response = await route.fetch();
      const refused = page.waitForResponse((other) => other.status() === 401);
      await page.clock.fastForward(30_000);
      await refused;
      return route.fulfill({ response });
    });
    await page.getByRole('button', { name: 'Create a key' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill('me');
    await dialog.getByRole('button', { name: 'Create the key' }).click();
    await page.getByRole('button', { name: 'Log out', includeHidden: true }).waitFor({ state: 'attached' });
    const key = await dialog.locator('pre').textContent();
    await dialog.getByRole('button', { name: 'I have copied it' }).click();
    await own.request.get('/api/v1/workers').expect(401);
    await own.request.get('/api/v1/workers').set('authorization', `Bearer ${key}`).expect(200);
    await page.getByRole('button', { name: 'Revoke me' }).click();
    await dialog.getByText('the key of this tab').waitFor();
    await dialog.getByText('the last admin key').waitFor();
  });
});

describe('bundles', () => {
  test('are planned, applied exactly as planned, refused when stale, and pruned', async () => {
    const { app, bundle } = runnable('overheating');
    const { page } = await browser.open(service.address, { at: '/bundles', key: adminKey });
    const made = {
      name: `${app}.yaml`,
      mimeType: 'application/yaml',
      buffer: Buffer.from(stringify(bundle)),
    };
    await page.locator('input[type=file]').setInputFiles(made);
    await page.getByRole('button', { name: 'Make the plan' }).click();
    const plan = page.getByRole('region', { name: 'Plan' });
    await plan.getByText('4 to create').waitFor();
    expect((await get(`/pipelines?search=${app}`)).data).toEqual([]);
    await plan.getByRole('button', { name: 'Apply this plan' }).click();
    const result = page.getByRole('region', { name: 'Result' });
    await result.getByText('4 created').waitFor();
    const [pipeline] = (await get(`/pipelines?search=${app}`)).data;
    await result.getByRole('link', { name: app, exact: true }).last().waitFor();
    expect(await result.locator(`a[href$="#/pipelines/${pipeline.id}"]`).count()).toBe(1);

    // A change of two objects, one of them with a long text.
    const text = stringify(bundle).replace('plant/+/readings', 'plant/+/celsius').replace('> 90', '> 95');
    await write(page, text);
    await page.getByRole('button', { name: 'Make the plan' }).click();
    await plan.getByText('2 to change').waitFor();
    await plan.getByText('plant/+/celsius').waitFor();
    await plan.getByText('A topic changes.').waitFor();
    await plan.getByRole('link', { name: app, exact: true }).first().waitFor();
    const query = plan.getByRole('region', { name: `change pipeline ${app}` });
    await query.getByRole('button', { name: 'Show the difference' }).click();
    await query.locator('.cm-mergeView').waitFor();
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Make the plan' }).evaluate((button) => button.scrollIntoView());
    await picture(page, 'bundle-plan');

    // Somebody else is faster.
    await send('patch', `/pipelines/${pipeline.id}`, { labels: { app, by: 'another' } });
    await plan.getByRole('button', { name: 'Apply this plan' }).click();
    await plan.getByText('The plan is out of date').first().waitFor();
    await plan.getByText('nothing was applied').waitFor();
    await plan.getByRole('button', { name: 'Make the plan again' }).click();
    await plan.getByText('/labels/by').waitFor();
    await plan.getByRole('button', { name: 'Apply this plan' }).click();
    await result.getByText('2 changed').waitFor();
    const [after] = (await get(`/pipelines?search=${app}`)).data;
    expect([after.query, after.labels]).toEqual([expect.stringContaining('> 95'), { app }]);
  });

  test('show errors at their place, and what they would delete', async () => {
    const { app, bundle, selector } = bundleOf();
    await send('post', '/apply', { ...bundle, pipelines: [] });
    const { page } = await browser.open(service.address, {
      at: '/bundles',
      key: adminKey,
      width: 390,
      colors: 'dark',
    });
    const text = `# readings of the ovens\n${stringify({ ...bundle, pipelines: bundle.pipelines.map((one) => ({ ...one, query: 'SELEC 1' })) })}`;
    await write(page, text);
    await page.getByRole('button', { name: 'Make the plan' }).click();
    const line = text.split('\n').findIndex((each) => each.includes('SELEC')) + 1;
    await page.getByText(`Line ${line}:`).waitFor();
    await page.getByRole('alert').getByText('/pipelines/0/query').first().waitFor();
    await write(page, 'pipelines: [');
    await page.getByRole('button', { name: 'Make the plan' }).click();
    await page.getByRole('alert').getByText('at line 1').waitFor();
    await page.locator('input[type=file]').setInputFiles({
      name: 'large.yaml',
      mimeType: 'application/yaml',
      buffer: Buffer.alloc(300 * 1024, '# '),
    });
    await page.getByText('at most 256 KiB; this one has 300 KiB').waitFor();

    await write(page, `# kept\nconnection_profiles: ${JSON.stringify(bundle.connection_profiles)}\n`);
    await page.getByLabel('Delete what the bundle no longer names').fill(selector);
    await page.getByRole('button', { name: 'Write it into the bundle' }).click();
    await page.getByRole('textbox', { name: 'Bundle', exact: true }).getByText('label_selector').waitFor();
    await page.getByRole('textbox', { name: 'Bundle', exact: true }).getByText('# kept').waitFor();
    await page.getByRole('button', { name: 'Make the plan' }).click();
    const plan = page.getByRole('region', { name: 'Plan' });
    await plan.getByRole('region', { name: `delete table ${app}_in` }).waitFor();
    await plan.getByText('This cannot be undone').waitFor();
    await expectAccessible(page);
    await plan.getByRole('button', { name: 'Apply this plan and delete 2' }).click();
    await page.getByRole('region', { name: 'Result' }).getByText('2 deleted').waitFor();
    expect((await get(`/connection_tables?search=${app}`)).data).toEqual([]);
  });

  test('discard the rows of open windows only if they are told to', async () => {
    const { app, bundle } = runnable('sessions');
    const client = await plainClient(broker.url);
    const [pipeline] = bundle.pipelines;
    const ofDays = (days: number) => ({
      ...bundle,
      pipelines: [
        {
          ...pipeline,
          query: `INSERT INTO ${app}_out SELECT device, avg(celsius) AS celsius FROM ${app}_in
            GROUP BY session(interval '${days} days'), device`,
        },
      ],
    });
    await send('post', '/apply', ofDays(100));
    const states = () => service.db.taskState.findMany({ where: { discardFor: null } });
    await until('a row is committed', async () => {
      await client.publishAsync('plant/a/readings', '{"device": "a", "celsius": 20}', { qos: 1 });
      return (await states()).some(({ bytes }) => bytes > 0n);
    });
    await client.endAsync();
    const { page } = await browser.open(service.address, { at: '/bundles', key: adminKey });
    await write(page, JSON.stringify(ofDays(200)));
    await page.getByRole('button', { name: 'Make the plan' }).click();
    await page.getByText('Open windows or aggregates would be lost').waitFor();
    expect(await page.getByRole('region', { name: 'Plan' }).count()).toBe(0);
    await page.getByRole('button', { name: 'Plan it and discard the state' }).click();
    await page.getByText('The state of changed queries is discarded').waitFor();
    await page.getByRole('button', { name: 'Apply this plan' }).click();
    await page.getByRole('region', { name: 'Result' }).getByText('1 changed').waitFor();
    await until('the state is deleted', async () => (await states()).every(({ bytes }) => bytes === 0n));
  });

  test('are exported to a file that can be applied again', async () => {
    const { app, bundle, selector } = bundleOf('a-secret-of-the-plant');
    await send('post', '/apply', { ...bundle, pipelines: [] });
    const { page } = await browser.open(service.address, { at: '/bundles?tab=export', key: adminKey });
    await page.getByLabel('Label selector').fill(selector);
    await page.getByRole('button', { name: 'Export', exact: true }).click();
    const exported = page.getByRole('region', { name: 'Exported bundle' });
    await exported.getByText(`name: ${app}_in`).waitFor();
    await expectAccessible(page);
    const downloading = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download penstock.yaml' }).click();
    const text = readFileSync(await (await downloading).path(), 'utf8');
    expect(text).not.toContain('a-secret-of-the-plant');
    await page.getByRole('tab', { name: 'Apply' }).click();
    await write(page, text);
    await page.getByRole('button', { name: 'Make the plan' }).click();
    await page.getByText('Nothing changes.').waitFor();
    await page.getByText('3 unchanged').waitFor();
    expect(await page.getByRole('button', { name: 'Apply this plan' }).isDisabled()).toBe(true);
  });
});

test('every object is shown as a command, as a bundle and as SQL', async () => {
  const { app, bundle } = bundleOf();
  await send('post', '/apply', bundle);
  const [pipeline] = (await get(`/pipelines?search=${app}`)).data;
  const { page, go } = await browser.open(service.address, {
    at: `/pipelines/${pipeline.id}`,
    key: adminKey,
  });
  await page.getByRole('button', { name: 'Automate' }).first().click();
  const drawer = page.getByRole('dialog', { name: 'The same from a script' });
  const curl = drawer.getByRole('region', { name: /with curl$/ }).first();
  await curl.getByText('authorization: Bearer $PENSTOCK_KEY').waitFor();
  await curl.getByText(`${service.address}/api/v1/`).waitFor();
  await drawer.getByRole('tab', { name: 'Bundle' }).click();
  const shown = drawer.getByRole('region', { name: 'Bundle' });
  for (const name of [`name: ${app}_in`, `name: ${app}_out`, 'password: "********"'])
    await shown.getByText(name).waitFor();
  await expectAccessible(page);
  const downloading = page.waitForEvent('download');
  await drawer.getByRole('button', { name: 'Download penstock.yaml' }).click();
  expect(readFileSync(await (await downloading).path(), 'utf8')).toBe(
    await shown.locator('pre').textContent(),
  );
  await drawer.getByRole('tab', { name: 'SQL' }).click();
  await drawer.getByRole('region', { name: 'SQL' }).getByText(`INSERT INTO ${app}_out`).waitFor();
  await page.keyboard.press('Escape');
  await drawer.waitFor({ state: 'detached' });
  const [table] = (await get(`/connection_tables?search=${app}_in`)).data;
  await go(`/tables/${table.id}`);
  await page.getByRole('heading', { name: `${app}_in`, level: 1 }).waitFor();
  await page.getByRole('button', { name: 'Automate' }).first().click();
  await drawer.getByRole('tab', { name: 'SQL' }).click();
  await drawer.getByRole('region', { name: 'SQL' }).getByText(`CREATE TABLE "${app}_in"`).waitFor();
});

test('the audit log shows who changed what, before and after', async () => {
  const { body } = await send('post', '/connection_profiles', {
    ...{ name: 'audited', connector: 'mqtt', config: { url: 'mqtt://127.0.0.1:1' } },
  });
  await send('patch', `/connection_profiles/${body.id}`, { config: { url: 'mqtt://127.0.0.1:2' } });
  await service.request
    .delete('/api/v1/pipelines/pl_missing')
    .set('authorization', `Bearer ${adminKey}`)
    .expect(404);
  await seeAt('/audit', 'Audit log', async (page) => {
    await page.getByRole('cell', { name: '404 not_found' }).waitFor();
    await page.getByLabel('Object').fill(body.id);
    await page.getByRole('cell', { name: '404 not_found' }).waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Details of patchConnectionProfile' }).click();
    await page.locator('.cm-mergeView').waitFor();
    await page.locator('.cm-content').getByText('"url": "mqtt://127.0.0.1:1"').waitFor();
    await page.locator('.cm-content').getByText('"url": "mqtt://127.0.0.1:2"').waitFor();
    expect(await page.locator(`a[href$="#/connections/${body.id}"]`).count()).toBeGreaterThan(0);
  });
  const { page } = await browser.open(service.address, { at: `/audit?search=${body.id}`, key: adminKey });
  await page.getByRole('combobox', { name: 'Action' }).click();
  await page.getByRole('option', { name: 'createConnectionProfile', exact: true }).click();
  await page
    .getByRole('button', { name: 'Details of patchConnectionProfile' })
    .waitFor({ state: 'detached' });
  await page.getByLabel('Actor').fill('nobody');
  await page.getByText('No change is recorded').waitFor();
});

test('about shows the version, whether Penstock is ready, and its metrics', async () => {
  await seeAt('/about', 'About', async (page) => {
    await page.getByText('ready', { exact: true }).waitFor();
    await page.getByText('1 worker alive').waitFor();
    await page.getByRole('button', { name: 'Show the metrics' }).click();
    await page.getByRole('region', { name: 'Metrics' }).last().getByText('# HELP').first().waitFor();
  });
  const { page } = await browser.open(service.address, { at: '/about', key: adminKey });
  await page.getByRole('link', { name: 'Swagger UI' }).click();
  await page.waitForURL(`${service.address}/api/v1/swagger-ui/`);
});

test('workers show their tasks, and give them to others', async () => {
  const { app, bundle } = runnable('ovens');
  await send('post', '/apply', bundle);
  await until('the pipeline runs', async () => {
    const { data } = await get('/jobs');
    const [pipeline] = (await get(`/pipelines?search=${app}`)).data;
    return data.some(
      (job: { pipeline_id: string; state: string }) =>
        job.pipeline_id === pipeline.id && job.state === 'Running',
    );
  });
  await seeAt('/workers', 'Workers', async (page) => {
    await page.getByRole('button', { name: /^Tasks of / }).click();
    await page.getByRole('table', { name: 'Tasks' }).getByRole('link', { name: app }).waitFor();
  });
  const { page } = await browser.open(service.address, { at: '/workers', key: adminKey });
  await page.getByRole('button', { name: 'Drain' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('No other worker can take the tasks').waitFor();
  await expectAccessible(page);
  await dialog.getByRole('button', { name: 'Drain' }).click();
  await page.getByText('draining', { exact: true }).waitFor();
  expect((await get('/workers')).data[0].draining).toBe(true);
  await page.getByRole('button', { name: 'Take tasks again' }).click();
  await dialog.getByRole('button', { name: 'Take tasks again' }).click();
  await page.getByText('draining', { exact: true }).waitFor({ state: 'detached' });
});
