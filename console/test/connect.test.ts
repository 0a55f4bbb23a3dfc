import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { freePort } from '../../test/support/mosquitto.ts';
import {
  created,
  createPipeline,
  createTables,
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

const field = (page: Page, name: string) => page.getByRole('textbox', { name, exact: true });
const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
const row = (page: Page, name: string) => page.getByRole('row', { name });

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
    await field(page, 'Password').fill(login.password);
    await button(page, 'Automate').click();
    const command = page.getByRole('region', { name: 'Create it with curl' });
    await command.getByText('<password>').waitFor();
    expect(await command.textContent()).not.toContain(login.password);
    await page.keyboard.press('Escape');
    await button(page, 'Test').click();
    await page.getByRole('status').getByText('Test passed').waitFor();

    await field(page, 'Name').fill('');
    await button(page, 'Save').click();
    await page.getByRole('alert').getByText('/name').waitFor();
    expect(await field(page, 'Name').getAttribute('aria-invalid')).toBe('true');
    await field(page, 'Name').fill('line 1');
    await button(page, 'Add a label').click();
    await field(page, 'Name 1').fill('site');
    await field(page, 'Value 1').fill('north');
    await button(page, 'Save').click();
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
    await picture(page, 'connection-narrow');
    await button(page, 'Save').click();
    await page.getByText('Saved', { exact: true }).waitFor();
    const path = `/api/v1/connection_profiles/${profile}`;
    const { body: saved } = await rig.request.get(path).expect(200);
    expect(saved.config).toEqual({ ...config, password: '********', keepAliveSecs: 45 });
    const { body: tested } = await rig.request.post(`${path}/test`).expect(200);
    expect(tested).toMatchObject({ outcome: 'ok' });

    // A new password replaces the mask as a whole, even if it is typed behind it.
    const password = page.getByLabel('Password', { exact: true });
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
    const hostile = '<img src=x onerror="alert(1)">\u202egnorw';
    const refusing = await ScriptedBroker.start({
      connack: { reasonCode: 0x87, properties: { reasonString: hostile } },
    });
    const silent = await ScriptedBroker.start({ on: ({ cmd }) => cmd === 'connect' });
    const { page } = await browser.open(rig.service.address, { at: '/connections/new?connector=mqtt' });
    await field(page, 'Url').fill(refusing.url);
    await button(page, 'Test').click();
    await page.getByRole('status').getByText('Test failed').waitFor();
    await page.getByRole('list', { name: 'Steps of the test' }).getByText('onerror').first().waitFor();
    expect(await page.getByText('\\u202egnorw').count()).toBeGreaterThan(0);
    expect(await page.locator('img[src="x"]').count()).toBe(0);

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
  test('are made, tested and edited, with the pipelines that adopt the change', async () => {
    const profile = await created(
      rig.request,
      '/connection_profiles',
      profileBody(rig.broker.url, { name: 'line 2', config: { url: rig.broker.url, ...login } }),
    );
    const { page } = await browser.open(rig.service.address, { at: '/tables/new' });
    await expectAccessible(page);
    await page.getByRole('button', { name: 'MQTT' }).click();
    await field(page, 'Name').fill('ovens');
    await page.getByRole('combobox', { name: 'Connection' }).click();
    await page.getByRole('option', { name: 'line 2' }).click();
    await field(page, 'Topic').fill('ovens/+/celsius');
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
    await field(page, 'Name of oven.column 1').fill('id');
    await button(page, 'Add a metadata column').click();
    await page.getByRole('menuitem', { name: /^topic/ }).click();
    await picture(page, 'table-new');
    await expectAccessible(page);
    await page.getByText('Edit as JSON').click();
    const json = page.getByRole('textbox', { name: 'Table as JSON' });
    await json.getByText('"ovens/+/celsius"').waitFor();
    await page.getByText('Form', { exact: true }).click();
    await button(page, 'Test').click();
    await page.getByText(/Test (passed|failed)/).waitFor();
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

    const sink = tableBody(
      'hot',
      profile.id,
      { topic: 'hot', type: { retain: false } },
      { format: { type: 'json' }, inferred: true },
    );
    await created(rig.request, '/connection_tables', sink);
    const pipeline = await createPipeline(
      rig.request,
      'INSERT INTO hot SELECT celsius FROM ovens',
      'watch <b>ovens</b>',
    );
    await rig.inState(pipeline, 'Running');
    await field(page, 'Topic').fill('plant/ovens/+/celsius');
    await button(page, 'Save').click();
    const dialog = page.getByRole('dialog', { name: 'Running pipelines adopt this change' });
    await dialog.getByRole('link', { name: 'watch <b>ovens</b>' }).waitFor();
    await dialog.getByText('Running', { exact: true }).waitFor();
    await picture(page, 'table-affects');
    await expectAccessible(page);
    const before = await rig.request.get(`/api/v1/connection_tables/${table.id}`);
    expect(before.body.config.topic).toBe('ovens/+/celsius');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved', { exact: true }).waitFor();
    const after = await rig.request.get(`/api/v1/connection_tables/${table.id}`);
    expect(after.body.config.topic).toBe('plant/ovens/+/celsius');

    // Somebody else changes it meanwhile.
    await rig.request
      .patch(`/api/v1/connection_tables/${table.id}`)
      .send({ labels: { owner: 'night shift' === '' ? '' : 'night' } })
      .expect(200);
    await field(page, 'Topic').fill('plant/ovens/1/celsius');
    await button(page, 'Save').click();
    const conflict = page.getByRole('dialog', { name: 'Somebody else has changed this' });
    await conflict.getByText('"night"').first().waitFor();
    await conflict.getByText('plant/ovens/1/celsius').first().waitFor();
    await picture(page, 'table-conflict');
    await expectAccessible(page);
    await conflict.getByRole('button', { name: 'Save mine over it' }).click();
    await dialog.getByRole('button', { name: 'Save' }).click();
    await until('the own version is stored', async () => {
      const { body } = await rig.request.get(`/api/v1/connection_tables/${table.id}`);
      return body.config.topic === 'plant/ovens/1/celsius' && Object.keys(body.labels).length === 0;
    });

    // Another change, which the user takes over.
    await page.getByText('Running', { exact: true }).first().waitFor();
    await rig.request
      .patch(`/api/v1/connection_tables/${table.id}`)
      .send({ labels: { shift: 'day' } })
      .expect(200);
    await field(page, 'Topic').fill('elsewhere');
    await button(page, 'Save').click();
    await conflict.getByRole('button', { name: 'Take theirs' }).click();
    await until(
      'the stored version is shown',
      async () => (await field(page, 'Topic').inputValue()) === 'plant/ovens/1/celsius',
    );
    expect(await field(page, 'Value 1').inputValue()).toBe('day');
  });
});
