import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { atEnd } from '../../test/support/at-end.ts';
import { FaultyLink } from '../../test/support/faulty-link.ts';
import { Penstock } from '../../test/support/penstock.ts';
import { created, createPipeline, createTables, jobOf } from '../../test/support/resources.ts';
import { useRig } from '../../test/support/rig.ts';
import { startService } from '../../test/support/service.ts';
import { until } from '../../test/support/until.ts';
import { expectAccessible, picture, useConsole } from './browser.ts';

const query = 'INSERT INTO alerts SELECT * FROM readings WHERE celsius > 90';
const adminKey = 'an-admin-key-of-this-test';
const browser = useConsole();
const rig = useRig({ service: { worker: true, console: true } });

/** Publishes readings until it is stopped; half of them pass the query. */
function publishing(): () => void {
  let seq = 0;
  const timer = setInterval(() => {
    for (let nth = 0; nth < 10; nth++)
      rig.client.publish(
        'plant/a/readings',
        JSON.stringify({ device: 'd', seq, celsius: 86 + (seq++ % 10) }),
      );
  }, 100);
  const stop = (): void => clearInterval(timer);
  atEnd(stop);
  return stop;
}

const figure = (page: Page, name: string) => page.getByRole('group', { name, exact: true });
/** Waits until a figure of the page shows messages; a rate that is not zero. */
const busy = (page: Page, name: string) =>
  figure(page, name)
    .getByText(/^[1-9][\d,.]* msg\/s$/)
    .waitFor();
const state = (page: Page, name: string) =>
  page
    .getByRole('status', { name: 'State', exact: true })
    .getByText(name, { exact: true })
    .waitFor({ timeout: 120_000 });
const stream = (page: Page, name: string) =>
  page.getByRole('status').getByText(name, { exact: true }).waitFor();

describe('watching pipelines', () => {
  test('leads a first user, and shows a viewer nothing to press', async () => {
    const { page } = await browser.open(rig.service.address);
    await page.getByText('The first pipeline in three steps').waitFor();
    await page.getByRole('main').getByRole('link', { name: 'New connection' }).waitFor();
    await createTables(rig.request, rig.broker.url);
    await page.getByText('There are tables.').waitFor();
    await createPipeline(rig.request, query, 'first');
    await page.getByRole('link', { name: 'first' }).waitFor();

    const locked = await startService({ console: true, adminKey });
    const body = { name: 'night', role: 'viewer' };
    const admin = ['authorization', `Bearer ${adminKey}`] as const;
    const { key } = (
      await locked.request
        .post('/api/v1/api_keys')
        .set(...admin)
        .send(body)
        .expect(200)
    ).body;
    const viewer = await browser.open(locked.address, { key });
    await viewer.page.getByText('There are no pipelines yet').waitFor();
    expect(await viewer.page.getByRole('link', { name: 'New pipeline' }).count()).toBe(0);
  });

  test('shows rates live, a broker that goes away with its cause, and the history', async () => {
    await createTables(rig.request, rig.broker.url);
    const id = await rig.run(query, 'overheating');
    const stop = publishing();
    const { page } = await browser.open(rig.service.address);
    const row = page.getByRole('row').filter({ hasText: 'overheating' });
    await row.getByText('Running').waitFor();
    await row
      .getByText(/^[1-9][\d,.]* msg\/s$/)
      .first()
      .waitFor();
    await row.getByRole('img', { name: /at most [1-9]/ }).waitFor();
    await row.getByRole('link', { name: 'overheating' }).click();
    await busy(page, 'Messages in');
    await busy(page, 'Messages out');
    for (const chart of ['Messages', 'Delay', 'Rows', 'Payload', 'In flight', 'Trouble'])
      await page.getByRole('region', { name: chart, exact: true }).locator('canvas').waitFor();
    await page.getByRole('table', { name: 'Tasks' }).getByText('running').waitFor();
    await rig.client.publishAsync('plant/a/readings', '<img src=x onerror=alert(1)>', { qos: 1 });
    const errors = page.getByRole('table', { name: 'Errors by code' });
    await errors.getByRole('button', { name: 'bad_data' }).click();
    await page.getByRole('dialog').getByText('A message could not be decoded').waitFor();
    await page.keyboard.press('Escape');
    await page.evaluate(() => scrollTo(0, 0));
    await picture(page, 'pipeline');
    await expectAccessible(page);

    stop();
    await rig.broker.kill();
    await state(page, 'Recovering');
    const changes = page.getByRole('table', { name: 'Latest changes of state' });
    await changes
      .getByRole('row')
      .filter({ hasText: 'Recovering' })
      .getByText(/connection/)
      .first()
      .waitFor();
    await page.getByRole('alert').getByText('The other system has to act').waitFor();
    await rig.broker.resume();
    await state(page, 'Running');
    await until('the alert is gone', async () => (await page.getByRole('alert').count()) === 0);
    await figure(page, 'Reconnects')
      .getByText(/^[1-9]/)
      .waitFor();

    await page.getByText('Per worker').click();
    await page.getByText('Tables', { exact: true }).last().click();
    const { worker } = (await rig.request.get(`/api/v1/pipelines/${id}/jobs`)).body.data[0];
    await page.getByRole('table').filter({ hasText: 'Messages, in' }).getByText(worker).waitFor();
    await page.getByRole('tab', { name: 'History' }).click();
    const history = page.getByRole('table', { name: 'History' });
    const recovered = history.getByRole('row').filter({ hasText: 'it was Recovering' });
    await recovered.first().getByRole('button').click();
    await history.getByText('"state": "Running"').waitFor();
    await page.getByText('Warnings and errors').click();
    await until('changes of state are gone', async () => (await history.getByText('info').count()) === 0);
    await history.getByText('bad_data').first().waitFor();
    await expectAccessible(page);

    const narrow = await browser.open(rig.service.address, { width: 390, colors: 'dark' });
    await narrow.page.getByRole('listitem').filter({ hasText: 'overheating' }).getByText('Running').waitFor();
    await expectAccessible(narrow.page);
    await narrow.page.getByRole('link', { name: 'overheating' }).click();
    await state(narrow.page, 'Running');
    await narrow.page.locator('canvas').first().waitFor();
    await expectAccessible(narrow.page);
    await narrow.page.getByRole('button', { name: 'Automate' }).click();
    await narrow.page.getByText(`/api/v1/pipelines/${id}/events`).first().waitFor();
  });

  test('resumes a lost stream, and then everything is right again', async () => {
    await createTables(rig.request, rig.broker.url);
    const id = await rig.run(query, 'kept');
    const { db } = rig.service;
    const times = { createdAt: 1n, updatedAt: 1n };
    const seeded = { query: 'q', parallelism: 1, checkpointIntervalMicros: 1n, tags: '{}', graph: '{}' };
    await db.pipeline.create({ data: { id: 'pl_gone', name: 'deleted meanwhile', ...seeded, ...times } });
    const job = { stateSince: 1n, state: 'Stopped', stop: 'graceful' };
    await db.job.create({ data: { id: 'job_gone', pipelineId: 'pl_gone', ...job, ...times } });

    const link = await FaultyLink.start(Number(new URL(rig.service.address).port), () => () => {});
    const address = link.url.replace('mqtt:', 'http:');
    const [list, one] = await Promise.all([
      browser.open(address),
      browser.open(address, { at: `/pipelines/${id}` }),
    ]);
    await list.page.getByText('deleted meanwhile').waitFor();
    await Promise.all([stream(list.page, 'Live'), stream(one.page, 'Live')]);
    link.cut();
    await Promise.all([stream(list.page, 'Reconnecting'), stream(one.page, 'Reconnecting')]);
    await list.page.getByText(/^as of /).waitFor();
    expect(await list.page.getByText('deleted meanwhile').count()).toBe(1);
    await db.pipeline.delete({ where: { id: 'pl_gone' } });
    await createPipeline(rig.request, query.replace('90', '80'), 'new meanwhile');
    const stop = publishing();
    await link.heal();
    await Promise.all([stream(list.page, 'Live'), stream(one.page, 'Live')]);
    await list.page.getByRole('link', { name: 'new meanwhile' }).waitFor();
    await until('it is gone', async () => (await list.page.getByText('deleted meanwhile').count()) === 0);
    await busy(one.page, 'Messages in');
    await rig.stop(id);
    await state(one.page, 'Stopped');
    await rig.request.delete(`/api/v1/pipelines/${id}`).expect(200);
    await one.page.getByText('This pipeline was deleted').waitFor();
    stop();
  });

  test('recovers by itself when Penstock restarts', async () => {
    const penstock = await Penstock.start();
    await createTables(penstock.request, rig.broker.url);
    const body = { name: 'steady', query, parallelism: 1 };
    const { id } = await created(penstock.request, '/pipelines', body);
    const runs = async () => (await jobOf(penstock.request, id)).state === 'Running';
    await until('it runs', runs, 60_000);
    const stop = publishing();
    const { page } = await browser.open(penstock.address, { at: `/pipelines/${id}` });
    await busy(page, 'Messages in');
    await page.evaluate(() => Object.assign(globalThis, { sameDocument: true }));
    await penstock.kill();
    await stream(page, 'Reconnecting');
    // Its script was not needed before.
    await page.getByRole('tab', { name: 'Query' }).click();
    await page.getByRole('link', { name: 'About' }).click();
    await penstock.resume();
    await page.getByRole('heading', { name: 'About' }).waitFor();
    await page.goBack();
    await page.locator('.react-flow__node').first().waitFor();
    await page.getByRole('tab', { name: 'Now' }).click();
    await stream(page, 'Live');
    await state(page, 'Running');
    await busy(page, 'Messages in');
    stop();
    expect(await page.evaluate(() => 'sameDocument' in globalThis)).toBe(true);
    await page.getByRole('banner').getByRole('link', { name: 'Penstock' }).click();
    await page.getByRole('row').filter({ hasText: 'steady' }).getByText('Running').waitFor();
  });
});
