import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { allDeadLetters } from '../../test/support/dead-letters.ts';
import { created, createPipeline, jobOf, profileBody, tableBody } from '../../test/support/resources.ts';
import { useRig } from '../../test/support/rig.ts';
import { until } from '../../test/support/until.ts';
import { expectAccessible, picture, useConsole } from './browser.ts';

const rig = useRig({
  broker: { config: ['max_queued_messages 100000'] },
  service: { console: true, worker: true },
});
const browser = useConsole();

const fields = [
  { name: 'device', type: 'string', required: true },
  { name: 'seq', type: 'int64', required: true },
  { name: 'level', type: 'int32' },
  { name: 'text', type: 'string' },
];
const sinkFields = [
  { name: 'device', type: 'string' },
  { name: 'seq', type: 'int64' },
  { name: 'number', type: 'int64' },
];
const query = 'INSERT INTO alerts SELECT device, seq, CAST(text AS BIGINT) AS number FROM readings';
const schema = (more: object[] = fields) => ({
  format: { type: 'json' },
  bad_data: { behavior: 'dead_letter' },
  fields: more,
});

/** Markup that would show itself if it ran or were parsed, and characters that hide or turn text. */
const markup = '<img src=x onerror="window.ran=true"><script>window.ran=true;alert(1)</script>';
const turned = '\u202egnitset\u202c\u0007\u200b';

describe('dead letters in the console', () => {
  let pipeline: string;
  let readings: string;

  async function start(): Promise<void> {
    const profile = await created(rig.request, '/connection_profiles', profileBody(rig.broker.url));
    const source = tableBody('readings', profile.id, { topic: 'plant/#', type: {} }, schema());
    readings = (await created(rig.request, '/connection_tables', source)).id;
    const json = { format: { type: 'json' }, fields: sinkFields };
    const sink = { topic: 'out', type: { retain: false } };
    await created(rig.request, '/connection_tables', tableBody('alerts', profile.id, sink, json));
    pipeline = await createPipeline(rig.request, query, 'oven-alerts');
    await rig.inState(pipeline, 'Running');
  }
  const send = (topic: string, payload: string | Buffer) =>
    rig.client.publishAsync(`plant/${topic}`, payload, { qos: 1 });
  const letters = () => allDeadLetters(rig.request, pipeline);
  const stored = (count: number) =>
    until(`${count} dead letters`, async () => {
      const found = await letters();
      return found.length === count && found;
    });
  const tab = () => `/pipelines/${pipeline}?tab=dead-letters`;
  const table = (page: Page) => page.getByRole('table', { name: 'Dead letters' });
  const rows = (page: Page) => table(page).locator('tbody tr');
  /** Opens the dead letter whose error has this text, and returns its drawer. */
  const openLetter = async (page: Page, error: string | RegExp) => {
    await rows(page).getByRole('button', { name: error }).first().click();
    const drawer = page.getByRole('dialog', { name: 'Dead letter' });
    await drawer.getByRole('heading', { name: 'Payload' }).waitFor();
    return drawer;
  };

  test('are found by code and stage, read with the place of the error, repaired, replayed and discarded', async () => {
    await start();
    await send('oven-1/readings', '{"device":"oven-1","seq":9007199254740993,"text":"many"}');
    await send('oven-2/readings', '{"device":"oven-2","seq":"twelve","text":"1"}');
    await send('oven-3/readings', '{"device":"oven-3","seq":3,}');
    await send('oven-4/readings', Buffer.from([0x7b, 0xff, 0xfe, 0x00]));
    for (let seq = 0; seq < 3; seq++) await send('oven-5/readings', `{"seq":${seq},"text":"7"}`);
    await stored(7);
    const received = await rig.collect('out');

    const { page } = await browser.open(rig.service.address, { at: tab() });
    await until('seven rows', async () => (await rows(page).count()) === 7);
    await page.getByRole('button', { name: 'Replay all 7' }).waitFor();

    // Codes and stages are offered with their counts.
    const code = page.getByLabel('Code');
    expect(await code.locator('option').allTextContents()).toEqual(
      expect.arrayContaining(['All codes (7)', 'bad_data (6)', 'bad_row (1)']),
    );
    await code.selectOption('bad_row');
    await until('one row', async () => (await rows(page).count()) === 1);
    await page.getByLabel('Stage').selectOption('decode');
    await page.getByText('No dead letter matches').waitFor();
    await page.getByLabel('Stage').selectOption('');
    await page.getByLabel('Stored').selectOption('60');
    await until('one row', async () => (await rows(page).count()) === 1);
    await page.getByLabel('Stored').selectOption('between');
    await page.getByLabel('Until').fill('2020-01-01T00:00:00');
    await page.getByText('No dead letter matches').waitFor();
    await page.getByLabel('Stored').selectOption('any');

    // Exact numbers, and what the table makes of it now.
    const wrongCast = await openLetter(page, /many|CAST|Conversion|text/i);
    await wrongCast.getByText('The table reads it').waitFor();
    expect(await wrongCast.getByRole('region', { name: 'Row 0' }).textContent()).toContain(
      '9007199254740993',
    );
    await page.keyboard.press('Escape');
    await code.selectOption('');

    // The place of an error: a field, a character, a byte.
    const wrongType = await openLetter(page, /field \/seq is not|field \/seq/);
    expect(
      await wrongType.getByRole('region', { name: 'Payload as text' }).locator('mark').textContent(),
    ).toBe('"twelve"');
    await picture(page, 'dead-letters');
    await wrongType.getByRole('tab', { name: 'Hex' }).click();
    expect(await wrongType.locator('mark').allTextContents()).toEqual(['22', '"']);
    await expectAccessible(page);
    await page.keyboard.press('Escape');
    const notJson = await openLetter(page, /byte 27 is/);
    expect(await notJson.getByRole('region', { name: 'Payload as text' }).locator('mark').textContent()).toBe(
      '}',
    );
    await page.keyboard.press('Escape');
    const bytes = await openLetter(page, /not UTF-8/);
    expect(await bytes.getByRole('tab', { name: 'Text' }).count()).toBe(0);
    expect(await bytes.getByRole('region', { name: 'Payload in hexadecimal' }).textContent()).toContain(
      '00000000  7b ff fe 00',
    );
    expect(await bytes.locator('mark').first().textContent()).toBe('ff');
    await bytes.getByRole('button', { name: 'Discard this…' }).click();
    const ask = page.getByRole('dialog', { name: /Discard 1 dead letter/ });
    await ask.getByText('deleted for good').waitFor();
    await ask.getByRole('button', { name: 'Cancel' }).click();
    await bytes.getByRole('button', { name: 'Discard this…' }).click();
    await ask.getByRole('button', { name: 'Discard 1 dead letter' }).click();
    await page.getByText('1 discarded.').waitFor();
    await until('six rows', async () => (await rows(page).count()) === 6);

    // A replay without a repair fails again, and says so.
    const missing = rows(page).filter({ hasText: '/device' });
    expect(await missing.count()).toBe(3);
    await missing.first().getByRole('checkbox').check();
    await page.getByRole('button', { name: 'Replay 1 selected' }).click();
    await page.getByText('0 succeeded and are gone · 1 failed again · 0 still to come').waitFor();
    await until('a failed replay', async () => (await missing.getByText('1 failed replay').count()) === 1);

    // With a repair the same messages go through.
    const patch = schema(fields.map((field) => ({ ...field, required: field.name === 'seq' })));
    await rig.request.patch(`/api/v1/connection_tables/${readings}`).send({ schema: patch }).expect(200);
    const { id } = await jobOf(rig.request, pipeline);
    await until('the edit runs', async () => {
      const job = await rig.service.db.job.findUniqueOrThrow({ where: { id } });
      return job.state === 'Running' && job.editsDone === job.editRequests;
    });
    const repaired = await openLetter(page, /field \/device/);
    await repaired.getByText('The table reads it').waitFor();
    await repaired.getByRole('button', { name: 'Replay this' }).click();
    await repaired.getByText('The replay succeeded. The dead letter is gone.').waitFor();
    await page.keyboard.press('Escape');
    await code.selectOption('bad_data');
    await page.getByRole('button', { name: 'Replay matching 4' }).click();
    await page.getByText('2 succeeded and are gone · 2 failed again · 0 still to come').waitFor();
    await until('three messages', () => received.length === 3);
    await code.selectOption('');
    await until('three rows', async () => (await rows(page).count()) === 3);
    await page.getByRole('button', { name: 'Discard all 3…' }).click();
    await page
      .getByRole('dialog', { name: /Discard 3/ })
      .getByRole('button', { name: 'Discard 3 dead letters' })
      .click();
    await page.getByText('No dead letters.').waitFor();
    expect(await letters()).toEqual([]);
  });

  test('that are hostile are shown as text, and never freeze the page', async () => {
    await start();
    const deep = `{"device":"deep","seq":1,"text":${'['.repeat(10_000)}${']'.repeat(10_000)}}`;
    const big = `{"device":"big","seq":1,"text":"7","pad":"${'x'.repeat(1_000_000)}",}`;
    await send(`${markup.replaceAll(/[#+/]/g, '')}`, JSON.stringify({ seq: markup, device: turned }));
    await send('deep', deep);
    await send('big', big);
    await stored(3);
    // Names of fields reach the texts of errors.
    const named = { name: markup.slice(0, 40), type: 'string', required: true };
    await rig.request
      .patch(`/api/v1/connection_tables/${readings}`)
      .send({ schema: schema([...fields, named]) })
      .expect(200);
    const { page } = await browser.open(rig.service.address, { at: tab(), width: 390, colors: 'dark' });
    page.on('dialog', () => expect.fail('a dialog opened'));
    await until('three rows', async () => (await rows(page).count()) === 3);

    const script = await openLetter(page, /field \/seq/);
    const text = script.getByRole('region', { name: 'Payload as text' });
    expect(await text.textContent()).toContain('<img src=x onerror=');
    expect(await text.textContent()).toContain('\\u202egnitset\\u202c');
    expect(await script.getByRole('table', { name: 'Metadata' }).textContent()).toContain('plant/<img src=x');
    expect(await page.locator('[onerror], [src=x], #root script').count()).toBe(0);
    for (const hidden of turned.match(/[^a-z]/g) ?? [])
      expect(await text.textContent()).not.toContain(hidden);
    await script.getByText('<img src=x').first().waitFor();
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Close' }).first().click();

    const nested = await openLetter(page, /field \/text/);
    expect(
      await nested.getByRole('region', { name: 'Payload as text' }).locator('mark').textContent(),
    ).toMatch(/^\[+$/);
    await nested
      .getByRole('button', { name: /Show more/ })
      .first()
      .click();
    await page.getByRole('button', { name: 'Close' }).first().click();

    const large = await openLetter(page, /byte 10000\d\d is/);
    const shown = large.getByRole('region', { name: 'Payload as text' });
    expect(await shown.locator('mark').textContent()).toBe('}');
    expect((await shown.textContent())?.length).toBeLessThan(10_000);
    await large.getByRole('button', { name: /Show from the beginning/ }).click();
    expect(await shown.textContent()).toContain('{"device":"big"');
    await large.getByRole('tab', { name: 'Hex' }).click();
    const dump = large.getByRole('region', { name: 'Payload in hexadecimal' });
    expect(await dump.locator('mark').allTextContents()).toEqual(['7d', '}']);
    expect((await dump.textContent())?.length).toBeLessThan(10_000);
    expect(await page.locator('*').count()).toBeLessThan(3_000);
    expect(await page.evaluate(() => 'ran' in globalThis)).toBe(false);
  });

  test('are a list without content or buttons for a viewer, page by page', async () => {
    await start();
    for (let seq = 0; seq < 60; seq++) await send('oven-5/readings', `{"seq":${seq}}`);
    await stored(60);
    const { page } = await browser.open(rig.service.address, { at: tab() });
    await until('a page', async () => (await rows(page).count()) === 50);
    await page.getByRole('button', { name: 'Older' }).click();
    await until('the second page', async () => (await rows(page).count()) === 10);
    await page.getByRole('button', { name: 'Newer' }).click();
    await until('the first page', async () => (await rows(page).count()) === 50);
    await page.getByLabel('Select all on this page').check();
    await page.getByRole('button', { name: 'Discard 50 selected…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Discard 50 dead letters' }).click();
    await page.getByText('50 discarded.').waitFor();
    await until('the rest', async () => (await rows(page).count()) === 10);

    const keys = '/api/v1/api_keys';
    const admin = await rig.request.post(keys).send({ name: 'a', role: 'admin' }).expect(200);
    const bearer = `Bearer ${admin.body.key}`;
    const body = { name: 'night', role: 'viewer' };
    const made = await rig.request.post(keys).set('authorization', bearer).send(body).expect(200);
    const viewer = await browser.open(rig.service.address, { at: tab(), key: made.body.key });
    await until('the list', async () => (await rows(viewer.page).count()) === 10);
    expect(await viewer.page.getByRole('button', { name: /Replay|Discard/ }).count()).toBe(0);
    expect(await viewer.page.getByRole('checkbox').count()).toBe(0);
    await rows(viewer.page).getByRole('button').first().click();
    const drawer = viewer.page.getByRole('dialog', { name: 'Dead letter' });
    await drawer.getByText('need a key with the role operator').waitFor();
    expect(await drawer.getByRole('heading', { name: 'Payload' }).count()).toBe(0);
    await expectAccessible(viewer.page);
  });
});
