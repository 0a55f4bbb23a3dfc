import type { Locator } from 'playwright-core';
import { beforeEach, describe, expect, test } from 'vitest';
import { created, createTables, profileBody, tableBody } from '../../test/support/resources.ts';
import { useRig } from '../../test/support/rig.ts';
import { ScriptedBroker } from '../../test/support/scripted-broker.ts';
import { until } from '../../test/support/until.ts';
import { expectAccessible, picture, useConsole } from './browser.ts';
import { complete, editor, replaceQuery, state } from './query-page.ts';

/** Writing, trying, running and changing a pipeline, as a user does it. */

const browser = useConsole();
const adminKey = 'an-admin-key-of-this-test';

/** Larger than what a JavaScript number holds. */
const big = '9007199254740993';

const countSchema = {
  format: { type: 'json' },
  fields: [
    { name: 'device', type: 'string' },
    { name: 'n', type: 'int64' },
  ],
};

/** An edit restarts tasks, which takes as long as their connections do. */
const runs = (progress: Locator): Promise<void> =>
  progress.getByText('The new version runs.').waitFor({ timeout: 120_000 });

describe('a pipeline in the console', () => {
  const rig = useRig({
    broker: { users: { first: 'one', tester: 'right' } },
    client: { username: 'tester', password: 'right' },
    service: { console: true, worker: true },
  });
  let profile: string;

  beforeEach(async () => {
    const config = { username: 'first', password: 'one' };
    ({ profile } = await createTables(rig.request, rig.broker.url, { config }));
  });

  const createCounts = async (): Promise<void> => {
    const config = { topic: 'plant/counts', type: { retain: false } };
    await created(rig.request, '/connection_tables', tableBody('counts', profile, config, countSchema));
  };
  const publish = (celsius: number, seq = big) =>
    rig.client.publishAsync(
      'plant/oven/readings',
      `{"device":"<b>oven</b>","seq":${seq},"celsius":${celsius}}`,
    );
  /** Publishes again and again, as a device does, until it is shown. */
  const publishUntil = (celsius: number, shown: Locator): Promise<true> =>
    until('the row is shown', async () => {
      await publish(celsius);
      return (await shown.count()) > 0 && true;
    });

  test('is written with completion, mended where a diagnostic says so, tried, and created', async () => {
    const written = await rig.collect('plant/alerts');
    const { page } = await browser.open(rig.service.address, { at: '/pipelines/new', height: 1000 });
    await page.getByLabel('Name').fill('hot');
    await editor(page).click();
    await complete(page, 'INSERT INTO a', 'alerts', 'INSERT INTO alerts');
    await complete(page, ' SELECT * FROM ', 'readings', 'INSERT INTO alerts SELECT * FROM readings');
    await complete(page, ' WHERE cels', 'celsius', 'INSERT INTO alerts SELECT * FROM readings WHERE celsius');
    await page.keyboard.insertText(' > abss(90)');

    const findings = page.getByRole('list', { name: 'Findings in the query' });
    await findings.getByText(/abss/).waitFor();
    const place = findings.getByRole('button', { name: /^Line 1, column \d+$/ });
    await page.locator('.cm-lintRange-error').filter({ hasText: 'abss' }).first().waitFor();
    expect(await page.getByRole('button', { name: 'Create and start' }).isDisabled()).toBe(true);
    await expectAccessible(page);
    await place.click();
    expect(await editor(page).evaluate((node) => node.contains(document.activeElement))).toBe(true);
    await page.keyboard.press('Delete');
    await page.keyboard.press('Delete');
    await page.keyboard.press('Delete');
    await page.keyboard.press('Delete');
    await page.keyboard.type('ab');
    await page.getByRole('option', { name: /^abs/ }).first().waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.type('s');
    await page.getByText('The query is valid').waitFor();
    await page.locator('.react-flow__node').getByText('readings (source)').waitFor();
    await page.getByText('Graph as text').click();
    await page.getByText(/computes rows with compiled functions, 1 task/).waitFor();
    await page.getByText('device TEXT, seq BIGINT, celsius DOUBLE').first().waitFor();
    // A vertical line has no width for a real click of the driver.
    await page.locator('.react-flow__edge').first().dispatchEvent('click');
    await page.getByRole('status').getByText('device TEXT, seq BIGINT, celsius DOUBLE').waitFor();

    await page.getByRole('button', { name: 'Preview rows' }).click();
    const rows = page.getByRole('table', { name: 'Rows of the preview' });
    await publishUntil(218.5, rows.getByText(big, { exact: true }));
    await rows.getByText('<b>oven</b>').first().waitFor();
    await rows.getByText('218.5').first().waitFor();
    await rig.client.publishAsync('plant/oven/readings', '{"device": 1}');
    await page
      .getByText(/bad_data: /)
      .first()
      .waitFor();
    expect(written).toEqual([]);
    await expectAccessible(page);
    await page.getByText('Graph as text').click();
    await editor(page).evaluate((node) => node.scrollIntoView());
    await page.evaluate(() => scrollBy(0, -80));
    await picture(page, 'query');
    await page.getByRole('button', { name: 'Stop preview' }).click();
    await page.getByRole('button', { name: 'Preview rows' }).waitFor();

    const stored = Promise.withResolvers<void>();
    await page.route('**/api/v1/pipelines', async (route) => {
      await stored.promise;
      await route.continue();
    });
    await page.getByRole('button', { name: 'Create and start' }).click();
    // Anything typed now would be lost.
    await editor(page).and(page.locator('[aria-readonly=true]')).waitFor();
    expect(await page.getByLabel('Name').isEditable()).toBe(false);
    stored.resolve();
    await page.getByRole('heading', { level: 1, name: 'hot' }).waitFor();
    await state(page, 'Running');
    await publish(300);
    await until('the row is written', () => written.length > 0);
    expect(written[0]).toContain(big);
  });

  test('with windows shows what is in them when they are closed early, and can write what it shows', async () => {
    const written = await rig.collect('plant/counts');
    await createCounts();
    const { page } = await browser.open(rig.service.address, {
      at: '/pipelines/new',
      width: 390,
      colors: 'dark',
    });
    await replaceQuery(
      page,
      "INSERT INTO counts SELECT device, count(*) AS n FROM readings GROUP BY tumble(INTERVAL '1 hour'), device",
    );
    await page.getByText('The query is valid').waitFor();
    await page.getByLabel('Also write the rows to the sinks').check();
    await page.getByRole('button', { name: 'Preview rows' }).click();
    await publishUntil(1, page.getByText(/1 open window,/));
    await page.getByRole('button', { name: 'Close windows now' }).click();
    await page.getByText('partial', { exact: true }).first().waitFor();
    await until('the result is written', () => written.length > 0);
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Stop preview' }).click();
    await page.getByRole('button', { name: 'Preview rows' }).waitFor();
  });

  test('says at its place why it cannot be created', async () => {
    await rig.run('INSERT INTO alerts SELECT * FROM readings', 'taken');
    const { page } = await browser.open(rig.service.address, { at: '/pipelines/new' });
    await page.getByLabel('Name').fill('taken');
    const labels = page.getByRole('group', { name: 'Labels' });
    await labels.getByRole('button', { name: 'Add' }).click();
    await labels.getByLabel('Name 1').fill('a b');
    await replaceQuery(page, 'INSERT INTO alerts SELECT * FROM readings');
    await page.getByRole('button', { name: 'Create and start' }).click();
    await labels.getByRole('alert').waitFor();
    await labels.getByRole('button', { name: 'Remove a b' }).click();
    await page.getByRole('button', { name: 'Create and start' }).click();
    await page
      .getByText(/already|another pipeline/i)
      .first()
      .waitFor();
    expect(await page.getByLabel('Name').getAttribute('aria-invalid')).toBe('true');
  });

  test('stops, starts, is rescaled and deleted, and its commands can be copied', async () => {
    const id = await rig.run('INSERT INTO alerts SELECT * FROM readings', 'steps');
    const { page } = await browser.open(rig.service.address, { at: `/pipelines/${id}` });
    await state(page, 'Running');
    await page.getByRole('button', { name: 'More actions' }).click();
    expect(await page.getByRole('menuitem', { name: 'Delete (stop it first)' }).isDisabled()).toBe(true);
    await page.keyboard.press('Escape');

    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    for (const mode of ['checkpoint', 'graceful', 'immediate', 'force'])
      await page.getByRole('radio', { name: mode }).waitFor();
    await page.getByRole('radio', { name: 'graceful' }).check();
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Stop: graceful' }).click();
    await state(page, 'Stopped');
    await page.getByRole('button', { name: 'Start', exact: true }).click();
    await state(page, 'Running');

    await page.getByRole('button', { name: 'More actions' }).click();
    await page.getByRole('menuitem', { name: 'Rescale' }).click();
    await page.getByLabel('Parallelism').fill('2');
    await page.getByRole('button', { name: 'Rescale' }).click();
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    await until('there are two tasks', async () => (await rig.inState(id, 'Running')).tasks === 2);

    await page.getByRole('button', { name: 'More actions' }).click();
    await page.getByRole('menuitem', { name: 'Restart' }).click();
    await page.getByRole('radio', { name: 'force' }).check();
    const { run_id } = await rig.inState(id, 'Running');
    await page.getByRole('button', { name: 'Restart' }).click();
    await until('it runs again', async () => (await rig.inState(id, 'Running')).run_id > run_id);
    await state(page, 'Running');

    await page.getByRole('button', { name: 'Automate' }).first().click();
    await page
      .getByText(/-X PATCH .*\n.*"stop": "graceful"/s)
      .first()
      .waitFor();
    await page.getByRole('tab', { name: 'SQL' }).click();
    await page.getByRole('region', { name: 'SQL' }).getByText('SELECT * FROM readings').waitFor();
    await page.keyboard.press('Escape');

    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await page.getByRole('button', { name: 'Stop: checkpoint' }).click();
    await state(page, 'Stopped');
    await page.getByRole('button', { name: 'More actions' }).click();
    await page.getByRole('menuitem', { name: 'Delete', exact: true }).click();
    await page.getByText('its dead letters').waitFor();
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('heading', { level: 1, name: 'Pipelines' }).waitFor();
    await rig.request.get(`/api/v1/pipelines/${id}`).expect(404);
  });

  test('adopts an edit, and shows why another one is rolled back', async () => {
    const bad = profileBody(rig.broker.url, {
      name: 'locked',
      config: { url: rig.broker.url, username: 'first', password: 'wrong' },
    });
    const locked = await created(rig.request, '/connection_profiles', bad);
    const sink = tableBody('locked', locked.id, { topic: 'plant/locked', type: { retain: false } });
    await created(rig.request, '/connection_tables', sink);
    const id = await rig.run('INSERT INTO alerts SELECT * FROM readings', 'edited');
    const { page } = await browser.open(rig.service.address, { at: `/pipelines/${id}?tab=query` });

    await page.getByText('The query is valid').waitFor();
    await replaceQuery(page, 'INSERT INTO alerts SELECT * FROM readings WHERE celsius > 90');
    await page.getByRole('button', { name: 'Show what changes' }).click();
    await page.getByText('Yours').first().waitFor();
    await page.getByRole('button', { name: 'Save changes' }).click();
    await page.getByRole('list', { name: 'Affected pipelines' }).getByText('edited').waitFor();
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    const progress = page.getByRole('region', { name: 'Progress of the edit' });
    await runs(progress);
    await expectAccessible(page);

    await replaceQuery(page, 'INSERT INTO locked SELECT * FROM readings');
    await page.getByRole('button', { name: 'Save changes' }).click();
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await progress.getByText('The version before the edit runs').waitFor({ timeout: 120_000 });
    await progress.getByText(/rolled back: /).waitFor();
    await state(page, 'Running');
    await expectAccessible(page);

    // The job is still restarting for the edit of somebody else when this one is saved.
    const silent = await ScriptedBroker.start({ on: ({ cmd }) => cmd === 'connect' });
    const other = await created(
      rig.request,
      '/connection_profiles',
      // The job stays in this state until the page shows it.
      profileBody(silent.url, { name: 'silent', config: { url: silent.url, connectTimeoutMs: 60_000 } }),
    );
    const slow = tableBody('silent', other.id, { topic: 'plant/silent', type: { retain: false } });
    await created(rig.request, '/connection_tables', slow);
    const patch = { query: 'INSERT INTO silent SELECT * FROM readings' };
    await replaceQuery(page, 'INSERT INTO alerts SELECT * FROM readings WHERE celsius > 20');
    await rig.request.patch(`/api/v1/pipelines/${id}`).send(patch).expect(200);
    await state(page, 'Restarting');
    await page.getByRole('button', { name: 'Save changes' }).click();
    await page.getByText('Somebody else has changed this').waitFor();
    await page.getByRole('button', { name: 'Save mine over it' }).click();
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await runs(progress);
    const { body } = await rig.request.get(`/api/v1/pipelines/${id}`).expect(200);
    expect(body.query).toContain('> 20');
  });

  test('asks before an edit discards the rows of open windows', async () => {
    await createCounts();
    // Windows that do not end while the test runs.
    const query = (days: number): string =>
      `INSERT INTO counts SELECT device, count(*) AS n FROM readings GROUP BY tumble(INTERVAL '${days} day'), device`;
    const id = await rig.run(query(100), 'windows');
    await until('the state holds rows', async () => {
      await publish(1);
      const tried = rig.request.patch(`/api/v1/pipelines/${id}?dry_run=true`).send({ query: query(200) });
      return (await tried).status === 409;
    });
    const { page } = await browser.open(rig.service.address, { at: `/pipelines/${id}?tab=query` });
    await page.getByText('The query is valid').waitFor();
    await replaceQuery(page, query(200));
    await page.getByRole('button', { name: 'Save changes' }).click();
    await page.getByText('This change would lose state').waitFor();
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Discard the state and save' }).click();
    await page.getByRole('button', { name: 'Save and discard state' }).click();
    const progress = page.getByRole('region', { name: 'Progress of the edit' });
    await runs(progress);
    const { body } = await rig.request.get(`/api/v1/pipelines/${id}`).expect(200);
    expect(body.query).toBe(query(200));
  });
});

describe('a pipeline for a viewer', () => {
  const rig = useRig({ service: { console: true, worker: true, adminKey } });

  test('is shown with its query and its graph, and without buttons', async () => {
    const admin = { authorization: `Bearer ${adminKey}` };
    const post = async (path: string, body: object): Promise<{ id: string; key: string }> =>
      (await rig.request.post(`/api/v1${path}`).set(admin).send(body).expect(200)).body;
    const plant = await post('/connection_profiles', profileBody(rig.broker.url));
    await post('/connection_tables', tableBody('readings', plant.id, { topic: 'in', type: {} }));
    await post(
      '/connection_tables',
      tableBody('alerts', plant.id, { topic: 'out', type: { retain: false } }),
    );
    const query = 'INSERT INTO alerts SELECT * FROM readings';
    const { id } = await post('/pipelines', { name: 'seen', query, parallelism: 1 });
    const { key } = await post('/api_keys', { name: 'night', role: 'viewer' });
    const { page, go } = await browser.open(rig.service.address, {
      ...{ at: `/pipelines/${id}?tab=query`, key, width: 390, colors: 'dark' as const },
    });
    await page.locator('.react-flow__node').getByText('readings (source)').waitFor();
    await state(page, 'Running');
    for (const name of ['Stop', 'More actions', 'Save changes', 'Preview rows'])
      expect(await page.getByRole('button', { name }).count()).toBe(0);
    expect(await page.getByRole('textbox', { name: 'Query' }).getAttribute('aria-readonly')).toBe('true');
    await expectAccessible(page);
    await go('/pipelines/new');
    await page.getByText('Your role may not create pipelines').waitFor();
  });
});
