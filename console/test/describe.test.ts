import type { Page } from 'playwright-core';
import { beforeEach, describe, expect, test } from 'vitest';
import { unique } from '../../test/support/mqtt.ts';
import { created, profileBody, tableBody } from '../../test/support/resources.ts';
import { useRig } from '../../test/support/rig.ts';
import { until } from '../../test/support/until.ts';
import { expectAccessible, picture, useConsole } from './browser.ts';

const rig = useRig({ broker: { config: ['max_queued_messages 0'] }, service: { console: true } });
const browser = useConsole();

/** Markup that would show itself if it ran or were parsed, and characters that hide or turn text. */
const markup = '<img src=x onerror="window.ran=true"><script>window.ran=true;alert(1)<\\/script>';
const turned = '\u202egnitset\u202c\u0007\u200b';

let profile: string;
let base: string;
beforeEach(async () => {
  profile = (await created(rig.request, '/connection_profiles', profileBody(rig.broker.url))).id;
  base = unique();
});

const table = async (topic: string, schema: object, name = 'readings') => {
  const body = tableBody(name, profile, { topic, type: {} }, schema);
  return (await created(rig.request, '/connection_tables', body)).id;
};
const send = (to: string, payload: string | Buffer, retain = false) =>
  rig.client.publishAsync(`${base}/${to}`, payload, { qos: 1, retain });

/** Nothing of a payload ran or became an element. */
async function expectOnlyText(page: Page): Promise<void> {
  expect(await page.locator('[onerror], [src=x], #root script').count()).toBe(0);
  expect(await page.evaluate(() => 'ran' in globalThis)).toBe(false);
  expect(await page.locator('#root').textContent()).not.toMatch(/[\u202e\u200b]/);
}

async function open(id: string, tab: string, options: { width?: number; colors?: 'light' | 'dark' } = {}) {
  const { page } = await browser.open(rig.service.address, { at: `/tables/${id}?tab=${tab}`, ...options });
  page.on('dialog', () => expect.fail('a dialog opened'));
  return page;
}

/** Opens the form of a table, and in it the dialog that proposes a schema. */
async function openProposal(id: string, options: { width?: number; colors?: 'light' | 'dark' } = {}) {
  const page = await open(id, 'definition', options);
  await propose(page);
  return page;
}

async function propose(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Propose from live messages' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Sample messages' }).waitFor();
}

describe('a schema from live messages', () => {
  const fields = (page: Page) => page.getByRole('table', { name: 'Fields' });
  const sampled = (page: Page) => page.getByRole('list', { name: 'Sampled messages' }).getByRole('listitem');

  test('is proposed beside the messages, changed and taken over', async () => {
    base = 'plant';
    for (let seq = 0; seq < 12; seq++)
      await send(
        `oven-${seq}/temperature`,
        `{"device":"oven-${seq}","seq":900719925474099${seq % 10},"celsius":${seq}.5,"place":{"hall":"A","row":${seq}}${seq < 3 ? ',"note":"warm"' : ''}}`,
        true,
      );
    const id = await table(`${base}/+/temperature`, {
      format: { type: 'json' },
      bad_data: { behavior: 'dead_letter' },
      fields: [{ name: 'serial', type: 'string' }],
    });
    const page = await openProposal(id);

    // Topics are suggested, with filters that match several.
    const topic = page.getByRole('combobox', { name: 'Sample the topic' });
    const several = page.getByRole('option', { name: `${base}/+/temperature 12 topics` });
    await until('all topics are suggested', async () => {
      await until(
        'the topic of the table',
        async () => (await topic.inputValue()) === `${base}/+/temperature`,
      );
      await topic.fill(base);
      await page.getByText(/\d suggestions?$|^No suggestions|^No message was seen/).waitFor();
      if (await several.isVisible()) return true;
      // A busy machine does not get all of them within the two seconds.
      await page.reload();
      await propose(page);
      return false;
    });
    await several.click();
    expect(await topic.inputValue()).toBe(`${base}/+/temperature`);
    await page.getByLabel('Messages', { exact: true }).fill('12');
    await page.getByLabel('Seconds').fill('60');
    await page.getByRole('button', { name: 'Sample messages' }).click();
    await page.getByText(/^12 messages, /).waitFor();
    expect(await sampled(page).count()).toBe(10);
    await sampled(page).first().getByRole('button', { expanded: false }).click();
    await page
      .getByRole('region', { name: 'Row' })
      .getByText(/90071992547409\d\d/)
      .waitFor();
    await page
      .getByRole('table', { name: 'Metadata' })
      .getByText(/oven-\d+\/temperature/)
      .waitFor();

    // Every field with its support; those of the table that no message has stay.
    const row = (name: string) => fields(page).getByRole('row').filter({ hasText: name });
    await row('celsius').getByText('100 %').waitFor();
    await row('note').getByText('25 %').waitFor();
    await row('note').getByText('3 of 12').waitFor();
    await row('serial').getByText('no message of this sample').waitFor();
    await row('hall').getByText('12 of 12').waitFor();
    await expectAccessible(page);
    await picture(page, 'describe');

    await page.getByLabel('Use note').uncheck();
    await page.getByLabel('Use place/hall').uncheck();
    await page.getByLabel('Type of celsius').selectOption('json');
    await page.getByLabel('Require device').uncheck();
    await page.getByRole('combobox', { name: 'Columns from the metadata' }).click();
    await page.getByRole('option', { name: 'topic', exact: true }).click();
    await page.getByLabel('Name of the column with topic').fill('celsius');
    await page.getByRole('button', { name: 'Use this schema' }).click();
    await page.getByRole('alert').getByText('This schema cannot be used').waitFor();
    await page.getByLabel('Name of the column with topic').fill('where_from');
    await page.getByRole('button', { name: 'Use this schema' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    const saved = await until('the schema is saved', async () => {
      const { body } = await rig.request.get(`/api/v1/connection_tables/${id}`).expect(200);
      return body.schema.fields.length > 1 && body.schema;
    });
    expect(saved.bad_data).toEqual({ behavior: 'dead_letter' });
    const named = Object.fromEntries(saved.fields.map((field: { name: string }) => [field.name, field]));
    expect(Object.keys(named)).toEqual(['device', 'seq', 'celsius', 'place', 'serial', 'where_from']);
    expect(named.device.required ?? false).toBe(false);
    expect(named).toMatchObject({
      seq: { type: 'int64', required: true },
      celsius: { type: 'json', required: true },
      place: { fields: [{ name: 'row', type: 'int64' }] },
      where_from: { metadata_key: 'topic' },
    });
  });

  test('says what happens while it samples, and when nothing comes', async () => {
    const id = await table(`${base}/silent`, {
      format: { type: 'json' },
      fields: [{ name: 'a', type: 'json' }],
    });
    const page = await openProposal(id, { width: 390, colors: 'dark' });
    expect(await page.getByLabel('Seconds').inputValue()).toBe('10');
    await page.getByLabel('Seconds').fill('60');
    await page.getByRole('button', { name: 'Sample messages' }).click();
    await page.getByText('Listening for messages, 60 s at most…').waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('progressbar').waitFor({ state: 'detached' });
    expect(await page.getByRole('alert').count()).toBe(0);
    await page.getByLabel('Seconds').fill('1');
    const nothing = page.getByText('No message came');
    await until('a sample without messages', async () => {
      await page.getByRole('button', { name: 'Sample messages' }).click();
      // On a busy machine a second can pass before the subscription is active.
      await nothing.or(page.getByRole('alert').getByText('accepted no subscription')).waitFor();
      return nothing.isVisible();
    });
    await page.getByText('set a longer timeout').waitFor();
    await expectAccessible(page);

    // Names and values from outside are text, and bytes are no schema of columns.
    await send('silent', JSON.stringify({ [markup]: turned, [turned]: markup }), true);
    await page.getByLabel('Messages', { exact: true }).fill('1');
    await page.getByLabel('Seconds').fill('60');
    await page.getByRole('button', { name: 'Sample messages' }).click();
    await fields(page).getByText('<img src=x').first().waitFor();
    await fields(page).getByText('\\u202egnitset\\u202c').first().waitFor();
    await sampled(page).first().getByRole('button', { expanded: false }).click();
    await expectOnlyText(page);
    await expectAccessible(page);

    // A viewer sees neither messages nor a button to take some.
    const keys = '/api/v1/api_keys';
    const admin = await rig.request.post(keys).send({ name: 'a', role: 'admin' }).expect(200);
    const bearer = `Bearer ${admin.body.key}`;
    const body = { name: 'night', role: 'viewer' };
    const { key } = (await rig.request.post(keys).set('authorization', bearer).send(body).expect(200)).body;
    const viewer = await browser.open(rig.service.address, { at: `/tables/${id}?tab=live`, key });
    await viewer.page.getByText('To look at messages you need a key').waitFor();
    expect(await viewer.page.getByRole('button', { name: /Pause|Go on/ }).count()).toBe(0);
  });
});

describe('messages as they arrive', () => {
  const list = (page: Page) => page.getByRole('list', { name: 'Messages' }).locator('> li');
  const live = (page: Page) => page.getByRole('status').getByText('Live', { exact: true }).waitFor();
  const lines = (from: number, rows: number) =>
    Array.from({ length: rows }, (_, row) => `{"device":"d${from + row}","seq":${from + row}}`).join('\n');
  const schema = {
    format: { type: 'json' },
    framing: { method: 'newline' },
    fields: [
      { name: 'device', type: 'string', required: true },
      { name: 'seq', type: 'int64' },
    ],
  };

  test('are shown exact, with metadata and errors; they wait while paused, and end', async () => {
    const id = await table(`${base}/#`, schema);
    const page = await open(id, 'live');
    await live(page);
    await page.getByText('Listening. Messages appear here').waitFor();
    await send('oven-1/temperature', '{"device":"oven-1","seq":9007199254740993}');
    await send('oven-2/temperature', '{"device":"oven-2",}');
    await send('oven-3/temperature', Buffer.from([0xff, 0x00, 0x41]));
    await until('three messages', async () => (await list(page).count()) === 3);
    const [bytes, bad, good] = [0, 1, 2].map((index) => list(page).nth(index)) as [
      ReturnType<typeof list>,
      ReturnType<typeof list>,
      ReturnType<typeof list>,
    ];
    await good.getByText('9007199254740993').waitFor();
    await good.getByText('QoS 0').waitFor();
    await good.getByRole('button', { name: 'Copy message' }).click();
    const copied = () => page.evaluate(() => navigator.clipboard.readText());
    await until('it is copied', async () => (await copied()).includes('"seq":9007199254740993'));
    await bad.getByText('bad_data').waitFor();
    await bad.getByRole('button', { expanded: false }).click();
    await bad.getByRole('region', { name: 'Payload' }).getByText('{"device":"oven-2",}').waitFor();
    expect(await bad.locator('mark').textContent()).toBe('}');
    await bytes.getByRole('button', { expanded: false }).click();
    await bytes.getByText('00000000  ff 00 41').waitFor();
    await expectAccessible(page);

    await page.getByLabel('Filter messages').fill('OVEN-1');
    await until('the filter', async () => (await list(page).count()) === 1);
    await page.getByText('1 of 3 messages').waitFor();
    await page.getByLabel('Filter messages').fill('');

    await page.getByRole('button', { name: 'Pause' }).click();
    for (let seq = 0; seq < 4; seq++) await send('oven-4/temperature', lines(seq, 1));
    await page.getByText('4 waiting').waitFor();
    expect(await list(page).count()).toBe(3);
    await send('oven-4/temperature', lines(100, 100));
    await page.getByText('104 waiting').waitFor();
    await page.getByRole('button', { name: 'Resume' }).click();
    await page.getByText('107 messages').waitFor();
    await page.getByRole('button', { name: 'Clear' }).click();
    await page.getByText('0 messages').waitFor();

    // A fast stream: only the last are kept, and fewer are elements. It ends at its number of rows.
    let sent = 0;
    await until('the end', async () => {
      for (let message = 0; message < 20; message++, sent += 100) await send('fast', lines(sent, 100));
      return (await page.getByRole('button', { name: 'Go on' }).count()) === 1;
    });
    await page.getByText('500 messages, only the last 500 are kept').waitFor();
    expect(await list(page).count()).toBe(100);
    await page.getByText('Press Go on to listen again').waitFor();
    await page.getByRole('status').getByText('Ended').waitFor();
    await page.getByRole('button', { name: 'Go on' }).click();
    await live(page);
    await send('again', lines(0, 1));
    await list(page).first().getByText('/again').waitFor();
    // A lost stream opens again by itself. It stays lost until that is seen.
    await page.getByRole('button', { name: 'Clear' }).click();
    const tail = /\/tail\?/;
    await page.route(tail, (route) => route.abort());
    rig.service.app.server.closeAllConnections();
    await page.getByRole('status').getByText('Reconnecting').waitFor();
    await page.unroute(tail);
    await live(page);
    await send('later', lines(0, 1));
    await list(page).first().getByText('/later').waitFor();
    await page.getByRole('button', { name: 'Pause' }).click();
    await send('later', lines(1, 1));
    await page.getByText('1 waiting').waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('2 messages').waitFor();
    await page.getByRole('status').getByText('Ended').waitFor();
  });

  test('that are hostile are text, and never freeze the page', async () => {
    const name = markup.slice(0, 60);
    const id = await table(`${base}/#`, {
      format: { type: 'json' },
      fields: [
        { name, type: 'json' },
        { name: 'pad', type: 'string' },
      ],
    });
    const page = await open(id, 'live', { width: 390, colors: 'dark' });
    await live(page);
    await send(markup, JSON.stringify({ [name]: { [markup]: turned } }));
    await send('deep', `{${JSON.stringify(name)}:${'['.repeat(10_000)}${']'.repeat(10_000)}}`);
    await send('big', JSON.stringify({ pad: 'x'.repeat(1_000_000) }));
    await send('broken', `${markup}${turned}${'<b>'.repeat(300_000)}`);
    await until('four messages', async () => (await list(page).count()) === 4);
    for (let index = 0; index < 4; index++)
      await list(page).nth(index).getByRole('button', { expanded: false }).first().click();
    await list(page)
      .filter({ hasText: '/deep' })
      .getByRole('button', { name: /Show more/ })
      .click();
    await list(page).filter({ hasText: '/big' }).getByText('too large to show').first().waitFor();
    await list(page).filter({ hasText: '/broken' }).getByText('Only the first part').waitFor();
    await list(page).getByText('\\u202egnitset\\u202c').first().waitFor();
    await expectOnlyText(page);
    expect(await page.locator('*').count()).toBeLessThan(3_000);
    await page.getByLabel('Filter messages').fill('onerror');
    await page.getByText(/of 4 messages/).waitFor();
    await expectAccessible(page);
  });
});
