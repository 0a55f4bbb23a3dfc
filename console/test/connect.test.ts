import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { freePort } from '../../test/support/free-port.ts';
import {
  created,
  createPipeline,
  createTables,
  jobOf,
  profileBody,
  tableBody,
} from '../../test/support/resources.ts';
import { useRig } from '../../test/support/rig.ts';
import { ScriptedBroker } from '../../test/support/scripted-broker.ts';
import { startService } from '../../test/support/service.ts';
import { until } from '../../test/support/until.ts';
import { expectAccessible, picture, useConsole } from './browser.ts';

const browser = useConsole();
const login = { username: 'penstock', password: 'S3cret-of-the-plant' };
const rig = useRig({
  broker: { users: { [login.username]: login.password } },
  client: login,
  service: { console: true, worker: true },
  shared: true,
});

/** It offers topics that were seen, to those who may test. */
const topic = (page: Page) =>
  page.getByRole('combobox', { name: 'Topic', exact: true }).or(field(page, 'Topic'));
const field = (page: Page, name: string) => page.getByRole('textbox', { name, exact: true });
const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });

describe('connections', () => {
  test('are made by a form, tested, mended and saved', async () => {
    const { page } = await browser.open(rig.service.address, { at: '/connections' });
    await page.getByText('No connections yet').waitFor();
    await page.getByRole('link', { name: 'New connection' }).click();
    await expectAccessible(page);
    await page.getByRole('button', { name: 'MQTT' }).click();
    await field(page, 'Name').fill('line 1');
    await field(page, 'Url').fill(`mqtt://127.0.0.1:${await freePort()}`);
    await button(page, 'Test').click();
    await page.getByRole('status').getByText('Test failed').waitFor();
    const steps = page.getByRole('list', { name: 'Steps of the test' });
    expect(await steps.getByRole('img', { name: 'failed' }).count()).toBe(1);
    await steps.getByText('connection_refused').waitFor();
    await button(page, 'Details of resolve').click();
    await page.getByRole('region', { name: 'Details of resolve' }).getByText('127.0.0.1').first().waitFor();
    expect(await field(page, 'Url').getAttribute('aria-invalid')).toBe('true');
    await expectAccessible(page);
    await picture(page, 'connection-test');

    await field(page, 'Url').fill(rig.broker.url);
    expect(await field(page, 'Url').getAttribute('aria-invalid')).not.toBe('true');
    await button(page, 'Test').click();
    await steps.getByText('mqtt_not_authorized').waitFor();
    expect(await field(page, 'Username').getAttribute('aria-invalid')).toBe('true');
    await field(page, 'Username').fill(login.username);
    await page.getByLabel('Password', { exact: true }).fill(login.password);
    await page.getByRole('button', { name: 'TLS' }).click();
    const pem = {
      name: 'ca.pem',
      mimeType: 'text/plain',
      buffer: Buffer.from('-----BEGIN CERTIFICATE-----'),
    };
    await page.locator('input[type=file]').first().setInputFiles(pem);
    await until('the file', async () => (await field(page, 'CA').inputValue()).startsWith('-----BEGIN'));
    await button(page, 'Test').click();
    await page.getByText('The test was not run').waitFor();
    expect(await field(page, 'CA').getAttribute('aria-invalid')).toBe('true');
    await field(page, 'CA').fill('');
    await button(page, 'Automate').click();
    const command = page.getByRole('region', { name: 'Create it with curl' });
    await command.getByText('<password>').waitFor();
    expect(await command.textContent()).not.toContain(login.password);
    await page.keyboard.press('Escape');
    await button(page, 'Test').click();
    await page.getByRole('status').getByText('Test passed').waitFor();

    await field(page, 'Name').fill('');
    await button(page, 'Save').click();
    await page.getByRole('alert').getByText('/name', { exact: true }).waitFor();
    expect(await field(page, 'Name').getAttribute('aria-invalid')).toBe('true');
    await field(page, 'Name').fill('line 1');
    await button(page, 'Add a label').click();
    await field(page, 'Name 1').fill('site');
    await field(page, 'Value 1').fill('north');
    const stored = Promise.withResolvers<void>();
    await page.route('**/api/v1/connection_profiles', async (route) => {
      await stored.promise;
      await route.continue();
    });
    await button(page, 'Save').click();
    // Anything typed now would be lost.
    await until('the form is locked', () => field(page, 'Name').isDisabled());
    stored.resolve();
    await page.getByRole('heading', { name: 'line 1' }).waitFor();
    await page.getByText('Nothing uses it yet').waitFor();
    const { body } = await rig.request.get('/api/v1/connection_profiles/by-name/line%201').expect(200);
    expect(body).toMatchObject({
      labels: { site: 'north' },
      config: { url: rig.broker.url, username: login.username, password: '********' },
    });
    expect(Object.keys(body.config).sort()).toEqual(['password', 'url', 'username']);
  });

  test('keep their secrets when they are edited, and are deleted only when nothing uses them', async () => {
    const config = { url: rig.broker.url, ...login };
    const { profile } = await createTables(rig.request, rig.broker.url, { config });
    const { page } = await browser.open(rig.service.address, {
      at: `/connections/${profile}`,
      width: 390,
      colors: 'dark',
    });
    await page.getByRole('button', { name: /More options/ }).click();
    await field(page, 'Keep Alive').fill('45');
    expect(await page.getByLabel('Password', { exact: true }).inputValue()).toBe('********');
    await page.getByRole('list', { name: 'Tables that use it' }).getByText('readings').waitFor();
    await expectAccessible(page);
    await button(page, 'Save').click();
    await page.getByText('Saved', { exact: true }).waitFor();
    const path = `/api/v1/connection_profiles/${profile}`;
    const { body: saved } = await rig.request.get(path).expect(200);
    expect(saved.config).toEqual({ ...config, password: '********', keepAliveSecs: 45 });
    const { body: tested } = await rig.request.post(`${path}/test`).expect(200);
    expect(tested).toMatchObject({ outcome: 'ok' });

    // A new password replaces the mask as a whole, even if it is typed behind it.
    const password = page.getByLabel('Password', { exact: true });
    await until('the form is open again', () => password.isEnabled());
    await password.press('End');
    await password.pressSequentially('wrong');
    expect(await password.inputValue()).toBe('wrong');
    await button(page, 'Test').click();
    await page.getByText('mqtt_not_authorized').waitFor();
    await button(page, 'Undo changes').click();
    expect(await password.inputValue()).toBe('********');

    await button(page, 'Delete').click();
    const dialog = page.getByRole('dialog', { name: 'Delete the connection profile?' });
    await dialog.getByText('alerts').waitFor();
    expect(await dialog.getByRole('button', { name: 'Delete' }).isDisabled()).toBe(true);
    await expectAccessible(page);
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    const unused = await created(
      rig.request,
      '/connection_profiles',
      profileBody(rig.broker.url, { name: 'unused' }),
    );
    await page.goto(`${rig.service.address}/#/connections/${unused.id}`);
    await page.getByRole('heading', { name: 'unused' }).waitFor();
    await button(page, 'Delete').click();
    await page.getByRole('dialog').getByText('Nothing uses it').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('heading', { name: 'Connections' }).waitFor();
    await rig.request.get(`/api/v1/connection_profiles/${unused.id}`).expect(404);
  });

  test('to a broker that misbehaves are tested and stopped', async () => {
    const hostile = '<img src=x onerror="alert(1)">';
    const refusing = await ScriptedBroker.start({
      connack: { reasonCode: 0x87, properties: { reasonString: hostile } },
    });
    const silent = await ScriptedBroker.start({ on: ({ cmd }) => cmd === 'connect' });
    const { page } = await browser.open(rig.service.address, { at: '/connections/new?connector=mqtt' });
    await field(page, 'Url').fill(refusing.url);
    await button(page, 'Test').click();
    await page.getByRole('status').getByText('Test failed').waitFor();
    await page.getByRole('list', { name: 'Steps of the test' }).getByText('onerror').first().waitFor();
    expect(await page.locator('img[src="x"]').count()).toBe(0);

    // A step must not end by itself while the test looks at it.
    await page.route('**/connection_profiles/test', (route) => {
      const body = { ...route.request().postDataJSON(), step_timeout_ms: 60_000, timeout_ms: 60_000 };
      return route.continue({ postData: JSON.stringify(body) });
    });
    await field(page, 'Url').fill(silent.url);
    await button(page, 'Test').click();
    await page.getByText('The next step is running').waitFor();
    await page
      .getByRole('list', { name: 'Steps of the test' })
      .getByText('resolve', { exact: true })
      .waitFor();
    await until('the broker is asked', () => silent.connections.length > 0);
    await button(page, 'Stop the test').click();
    await page.getByText('Test was stopped').waitFor();
    await until('the connection is closed', () => silent.connections.every(({ socket }) => socket.destroyed));
  });
});

describe('tables', () => {
  const schema = { format: { type: 'json' }, fields: [{ name: 'celsius', type: 'float64' }] };
  const whole = { format: { type: 'json' }, inferred: true };

  /** A profile, a source table and a pipeline that reads it, with names of its own. */
  async function running(name: string) {
    const config = { url: rig.broker.url, ...login };
    const profile = await created(
      rig.request,
      '/connection_profiles',
      profileBody(rig.broker.url, { name, config }),
    );
    const source = tableBody(`${name}_in`, profile.id, { topic: `${name}/in`, type: {} }, schema);
    const { id } = await created(rig.request, '/connection_tables', source);
    const sink = tableBody(
      `${name}_out`,
      profile.id,
      { topic: `${name}/out`, type: { retain: false } },
      whole,
    );
    await created(rig.request, '/connection_tables', sink);
    const query = `INSERT INTO ${name}_out SELECT celsius FROM ${name}_in`;
    const pipeline = await createPipeline(rig.request, query, `watch <b>${name}</b>`);
    await rig.inState(pipeline, 'Running');
    return { id, pipeline, path: `/api/v1/connection_tables/${id}` };
  }

  test('are made by a form, or by JSON, and tested with a message', async () => {
    const profile = await created(
      rig.request,
      '/connection_profiles',
      profileBody(rig.broker.url, { name: 'line 2', config: { url: rig.broker.url, ...login } }),
    );
    const message = JSON.stringify({ celsius: 218.5, oven: { id: 'a' } });
    await rig.client.publishAsync('ovens/a/celsius', message, { qos: 1, retain: true });
    const { page } = await browser.open(rig.service.address, { at: '/tables/new' });
    await expectAccessible(page);
    await page.getByRole('button', { name: 'MQTT' }).click();
    await field(page, 'Name').fill('ovens');
    await page.getByRole('combobox', { name: 'Connection' }).click();
    await page.getByRole('option', { name: 'line 2' }).click();
    await topic(page).fill('ovens/+/celsius');
    await page.getByRole('combobox', { name: 'Quality of Service' }).click();
    await page.getByRole('option', { name: 'AtLeastOnce' }).click();
    await button(page, 'Save').click();
    await page.getByRole('alert').getByText('It was not stored').waitFor();
    await button(page, 'Add a column').click();
    await field(page, 'Name of column 1').fill('celsius');
    await page.getByRole('combobox', { name: 'Type of celsius' }).selectOption('float64');
    await button(page, 'Add a column').click();
    await field(page, 'Name of column 2').fill('oven');
    await page.getByRole('combobox', { name: 'Type of oven' }).selectOption('struct');
    await field(page, 'Name of oven.column 1').fill('celsius °');
    await button(page, 'Add a metadata column').click();
    await page.getByRole('menuitem', { name: /^topic Topic/ }).click();
    await field(page, 'Name of oven.celsius °').fill('id');
    await expectAccessible(page);

    await page.getByText('Edit as JSON').click();
    const json = page.getByRole('textbox', { name: 'Table as JSON' });
    await json.getByText('"ovens/+/celsius"').waitFor();
    await json.press('ControlOrMeta+End');
    await json.pressSequentially(' }');
    await page.getByText('This JSON cannot be used').waitFor();
    expect(await button(page, 'Save').isDisabled()).toBe(true);
    await json.press('Backspace');
    await page.getByText('Form', { exact: true }).click();
    await button(page, 'Test').click();
    await page.getByText('Test passed').waitFor();
    await button(page, 'Save').click();
    await page.getByRole('heading', { name: /ovens/ }).waitFor();
    const { body: table } = await rig.request.get('/api/v1/connection_tables/by-name/ovens').expect(200);
    expect(table).toMatchObject({
      table_type: 'source',
      connection_profile_id: profile.id,
      config: { topic: 'ovens/+/celsius', qos: 'AtLeastOnce', type: {} },
      schema: {
        format: { type: 'json' },
        fields: [
          { name: 'celsius', type: 'float64' },
          { name: 'oven', type: 'struct', fields: [{ name: 'id', type: 'string' }] },
          { name: 'topic', type: 'string', metadata_key: 'topic' },
        ],
      },
    });

    await page.goto(`${rig.service.address}/#/tables/new?connector=mqtt`);
    await field(page, 'Name').fill('oven_alerts');
    await page.getByText('Sink: write').click();
    await page.getByRole('combobox', { name: 'Connection' }).click();
    await page.getByRole('option', { name: 'line 2' }).click();
    await topic(page).fill('alerts');
    await page.getByRole('button', { name: /More options/ }).click();
    await field(page, 'Message Expiry').fill('60');
    await button(page, 'Add a name').click();
    await field(page, 'Name 1').fill('plant');
    await field(page, 'Value 1').fill('north');
    await page.getByRole('switch', { name: 'Take the columns of the query' }).click();
    await button(page, 'Test').click();
    await page.getByText('Test passed').waitFor();
    await button(page, 'Save').click();
    await page.getByRole('heading', { name: /oven_alerts/ }).waitFor();
    const { body: sink } = await rig.request.get('/api/v1/connection_tables/by-name/oven_alerts').expect(200);
    const type = { retain: false, expirySecs: 60, userProperties: { plant: 'north' } };
    expect(sink).toMatchObject({ table_type: 'sink', config: { topic: 'alerts', type } });
  });

  test('are saved after the pipelines that adopt the change are shown, also when their state is lost', async () => {
    const { id, pipeline, path } = await running('kilns');
    const { page } = await browser.open(rig.service.address, { at: `/tables/${id}` });
    await page.getByRole('list', { name: 'Pipelines that use it' }).getByText('watch <b>kilns</b>').waitFor();
    await topic(page).fill('plant/kilns');
    await button(page, 'Save').click();
    const dialog = page.getByRole('dialog', { name: 'Running pipelines adopt this change' });
    await dialog.getByRole('link', { name: 'watch <b>kilns</b>' }).waitFor();
    await dialog.getByText('Running', { exact: true }).waitFor();
    await expectAccessible(page);
    expect((await rig.request.get(path)).body.config.topic).toBe('kilns/in');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved', { exact: true }).waitFor();
    expect((await rig.request.get(path)).body.config.topic).toBe('plant/kilns');

    const { id: jobId } = await jobOf(rig.request, pipeline);
    const place = { jobId, operatorId: 'transform_minutes_5b1e0c' };
    const columns = { control: Buffer.from('{}'), lastSegment: 0, commits: 1n, bytes: 4096n, updatedAt: 1n };
    await rig.service.db.taskState.create({
      data: { ...place, ...columns, shape: 'before', checkpoints: '[]' },
    });
    await topic(page).fill('plant/kilns/1');
    await button(page, 'Save').click();
    const loses = page.getByRole('dialog', { name: 'This change would lose state' });
    await loses
      .getByText(/transform_minutes_5b1e0c/)
      .first()
      .waitFor();
    await expectAccessible(page);
    await loses.getByRole('button', { name: 'Discard the state and save' }).click();
    await dialog.getByText('Open windows are lost').waitFor();
    expect((await rig.request.get(path)).body.config.topic).toBe('plant/kilns');
    await dialog.getByRole('button', { name: 'Save and discard state' }).click();
    await until(
      'it is saved',
      async () => (await rig.request.get(path)).body.config.topic === 'plant/kilns/1',
    );
  });

  test('that somebody else has changed meanwhile are compared', async () => {
    const { id, path } = await running('dryers');
    const { page } = await browser.open(rig.service.address, { at: `/tables/${id}` });
    await topic(page).waitFor();
    await rig.request
      .patch(path)
      .send({ labels: { shift: 'night' } })
      .expect(200);
    await topic(page).fill('dryers/1');
    await button(page, 'Save').click();
    const conflict = page.getByRole('dialog', { name: 'Somebody else has changed this' });
    await conflict.getByText('"night"').first().waitFor();
    await conflict.getByText('"dryers/1"').first().waitFor();
    await expectAccessible(page);
    await conflict.getByRole('button', { name: 'Save mine over it' }).click();
    const shown = Promise.withResolvers<void>();
    await page.route(`**${path}`, async (route) => {
      await shown.promise;
      await route.continue();
    });
    await page
      .getByRole('dialog', { name: 'Running pipelines' })
      .getByRole('button', { name: 'Save' })
      .click();
    await until('the own version is stored', async () => {
      const { body } = await rig.request.get(path);
      return body.config.topic === 'dryers/1' && Object.keys(body.labels).length === 0;
    });

    // Anything typed before the page shows what is stored now would be lost.
    await page.getByText('Saved', { exact: true }).waitFor();
    expect(await topic(page).isDisabled()).toBe(true);
    shown.resolve();
    await until('the page shows it', async () => topic(page).isEnabled());
    const save = page.getByRole('tabpanel').getByRole('button', { name: 'Save', exact: true });
    expect(await save.isDisabled()).toBe(true);
    await rig.request
      .patch(path)
      .send({ labels: { shift: 'day' } })
      .expect(200);
    await topic(page).fill('elsewhere');
    await button(page, 'Save').click();
    await conflict.getByRole('button', { name: 'Take theirs' }).click();
    await until('theirs is shown', async () => (await topic(page).inputValue()) === 'dryers/1');
    expect(await field(page, 'Value 1').inputValue()).toBe('day');
  });
});

describe('all objects', () => {
  test('are found by a search, page by page, and every connector has its form', async () => {
    const { address, request } = await startService({ console: true });
    for (let number = 0; number < 55; number++)
      await created(request, '/connection_tables', {
        name: `sink_${number}`,
        connector: number === 7 ? 'stdout' : 'blackhole',
        config: {},
        schema: { format: { type: 'json' }, inferred: true },
        labels: { line: `${number % 5}` },
      });
    const { page, go } = await browser.open(address, { at: '/tables', width: 390, colors: 'dark' });
    const rows = page.getByRole('table', { name: 'Tables' }).getByRole('row');
    await until('a page', async () => (await rows.count()) === 51);
    await expectAccessible(page);
    await button(page, 'Show more').click();
    await until('all', async () => (await rows.count()) === 56);
    await page.getByRole('textbox', { name: 'Search tables' }).fill('sink_7');
    await until('the found one', async () => (await rows.count()) === 2);
    expect(new URL(page.url()).hash).toContain('search=sink_7');
    await page.getByRole('link', { name: 'sink_7' }).click();
    await page.getByRole('heading', { name: /sink_7/ }).waitFor();

    const { body } = await request.get('/api/v1/connectors').expect(200);
    for (const { id, name, hidden, connection_config: profile } of body.data) {
      if (hidden) continue;
      await go(`/tables/new?connector=${id}`);
      await page.getByRole('heading', { name: `New ${name} table` }).waitFor();
      await page
        .locator('#config, #config_topic, [id^=config_]')
        .first()
        .or(page.getByText('Schema', { exact: true }))
        .first()
        .waitFor();
      if (id === 'filesystem') await expectAccessible(page);
      if (profile === null) continue;
      await go(`/connections/new?connector=${id}`);
      await page.getByRole('heading', { name: `New ${name} connection` }).waitFor();
      await page.locator('[id^=config_]').first().waitFor();
      if (id === 'postgres') await expectAccessible(page);
    }
  });

  test('are only looked at by a viewer', async () => {
    const adminKey = 'an-admin-key-of-this-test';
    const { address, request } = await startService({ console: true, adminKey });
    const asAdmin = (path: string, sent: object) =>
      request.post(`/api/v1${path}`).set('authorization', `Bearer ${adminKey}`).send(sent).expect(200);
    const { body: made } = await asAdmin('/api_keys', { name: 'night', role: 'viewer' });
    const config = { url: 'mqtt://127.0.0.1', ...login };
    const { body: profile } = await asAdmin('/connection_profiles', {
      name: 'plant',
      connector: 'mqtt',
      config,
    });
    const source = tableBody('readings', profile.id, { topic: 'a', type: {} });
    const { body: table } = await asAdmin('/connection_tables', source);
    const { page, go } = await browser.open(address, { at: '/connections', key: made.key });
    await page.getByRole('link', { name: 'plant' }).click();
    await field(page, 'Url').waitFor();
    expect(await field(page, 'Url').isDisabled()).toBe(true);
    const writes = page.getByRole('button', { name: /^(Save|Test|Delete|Undo|Add|Choose a file|Propose)/ });
    expect(await writes.count()).toBe(0);
    await expectAccessible(page);
    await go(`/tables/${table.id}`);
    await topic(page).waitFor();
    expect(await topic(page).isDisabled()).toBe(true);
    expect(await writes.count()).toBe(0);
    for (const list of ['/tables', '/connections']) {
      await go(list);
      await page
        .getByRole('link', { name: /^(plant|readings)$/ })
        .first()
        .waitFor();
      expect(await page.getByRole('link', { name: /^New/ }).count()).toBe(0);
      await go(`${list}/new`);
      await page.getByText(/log in with the key of an operator/).waitFor();
    }
  });
});
