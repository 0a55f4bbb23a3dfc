import type { CDPSession, Page } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Service, startService } from '../../test/support/service.ts';
import { until } from '../../test/support/until.ts';
import { expectAccessible, picture, useConsole } from './browser.ts';
import { nameOf, seedFleet, statesOf } from './fleet.ts';

/**
 * The overview with 1,000 pipelines. PENSTOCK_SOAK=1 follows them for PENSTOCK_SOAK_MINUTES (10 by default), and prints the
 * time until the page can be used, the frames of scrolling, and the memory.
 */

const soak = process.env.PENSTOCK_SOAK === '1';
const soakMs = soak ? Number(process.env.PENSTOCK_SOAK_MINUTES ?? 10) * 60_000 : 0;
const beats = 3;
const many = Number(process.env.PENSTOCK_SOAK_PIPELINES ?? 1000);
/** More than the rows in sight and those kept ready beside them. */
const maxRows = 40;

const print = (text: string): void => void (soak && process.stdout.write(`${text}\n`));
const shown = (count: number): string => count.toLocaleString('en');
const rowsOf = (page: Page) => page.getByRole('table', { name: 'Pipelines' }).getByRole('row');
const browser = useConsole();

interface Memory {
  heap: number;
  /** Elements and texts, whether in the document or not. */
  nodes: number;
  listeners: number;
}

/** Memory of the page after its garbage is collected. */
async function memoryOf(session: CDPSession): Promise<Memory> {
  for (let nth = 0; nth < 3; nth++) await session.send('HeapProfiler.collectGarbage');
  const { nodes, jsEventListeners: listeners } = await session.send('Memory.getDOMCounters');
  const { usedSize: heap } = await session.send('Runtime.getHeapUsage');
  return { heap, nodes, listeners };
}

describe(`the overview of ${shown(many)} pipelines`, { timeout: 300_000 + 2 * soakMs }, () => {
  let service: Service;
  let beat: (nth: number, groups?: readonly number[]) => Promise<void>;
  let page: Page;
  let nth = 0;

  beforeAll(async () => {
    service = await startService({ console: true });
    beat = await seedFleet(service.db, many);
    await beat(nth);
    ({ page } = await browser.open(service.address));
  });

  /** Lets all pipelines count on, and waits until the page shows it. */
  const next = async () => {
    await beat(++nth);
    await page
      .getByText(`${shown(nth)} bad`, { exact: true })
      .first()
      .waitFor();
  };

  test('counts all, shows those in sight, and finds, filters and sorts', async () => {
    await page.getByText(`${shown(many)} of ${shown(many)} pipelines shown`).waitFor();
    const filter = page.getByRole('group', { name: 'Filter by state' });
    for (const [state, count] of statesOf(many))
      await filter.getByText(`${state} ${shown(count)}`, { exact: true }).waitFor();
    expect(await rowsOf(page).count()).toBeLessThan(maxRows);
    expect(await rowsOf(page).nth(1).textContent()).toContain('Failed');
    await picture(page, 'overview');
    await expectAccessible(page);

    await page.getByRole('region', { name: 'Pipelines' }).press('End');
    await page
      .getByRole('table', { name: 'Pipelines' })
      .locator(`[aria-rowindex="${many + 1}"]`)
      .waitFor();
    expect(await rowsOf(page).count()).toBeLessThan(maxRows);

    await page.getByRole('columnheader', { name: 'Dead' }).getByRole('button').click();
    await page
      .getByRole('columnheader', { name: 'Dead' })
      .and(page.locator('[aria-sort=descending]'))
      .waitFor();
    await page.getByRole('columnheader', { name: 'State' }).getByRole('button').click();
    await page.getByLabel('Search pipelines').fill(nameOf(many - 223).toUpperCase());
    await page.getByText('1 of 1 pipelines shown').waitFor();
    await page.getByRole('link', { name: nameOf(many - 223) }).waitFor();
    await page.getByLabel('Search pipelines').fill('mqtt_bad');
    await page.getByRole('link', { name: nameOf(3) }).waitFor();
    await page.getByLabel('Search pipelines').fill('');
    await filter.getByText(/^Stopped/).click();
    await page
      .getByText(`${shown(statesOf(many).get('Stopped') ?? 0)} of ${shown(many)} pipelines shown`)
      .waitFor();
    await filter.getByText(/^All/).click();
    await page.getByText(`${shown(many)} of ${shown(many)} pipelines shown`).waitFor();
  });

  test('touches only rows that have changed', async () => {
    await page.getByRole('columnheader', { name: 'Name' }).getByRole('button').click();
    await page.getByRole('link', { name: nameOf(5) }).waitFor();
    await next();
    await page.evaluate(() => {
      const changed = new Set<string>();
      const observer = new MutationObserver((records) => {
        for (const { target } of records) {
          const element = target instanceof Element ? target : target.parentElement;
          const row = element?.closest('[role=row]');
          // Times go on by themselves.
          if (row && !element?.closest('time')) changed.add(row.querySelector('a')?.textContent ?? '');
        }
      });
      const all = { subtree: true, childList: true, characterData: true, attributes: true };
      observer.observe(document.querySelector('[role=table]') as Element, all);
      Object.assign(globalThis, { changed });
    });
    await beat(++nth, [5]);
    const changed = () =>
      page.evaluate(() => [...(globalThis as unknown as { changed: Set<string> }).changed]);
    await until('it has changed', async () => (await changed()).includes(nameOf(5)));
    // It has failed, or is stopped.
    const resting = [3, 7, 15].map(nameOf);
    for (const name of resting) await page.getByRole('link', { name }).waitFor();
    expect((await changed()).filter((name) => resting.includes(name))).toEqual([]);
    await page.getByRole('columnheader', { name: 'State' }).getByRole('button').click();
  });

  test('holds no more memory after many updates', async () => {
    const session = await page.context().newCDPSession(page);
    await session.send('HeapProfiler.enable');
    await next();
    const before = await memoryOf(session);
    const end = Date.now() + soakMs;
    const heaps: number[] = [];
    for (let done = 0; done < beats || Date.now() < end; done++) {
      await next();
      if (!soak || done % 15 > 0) continue;
      const { heap, nodes, listeners } = await memoryOf(session);
      heaps.push(heap);
      print(
        `${new Date().toISOString()} heap ${(heap / 1e6).toFixed(2)} MB, ${nodes} nodes, ${listeners} listeners`,
      );
    }
    const after = await memoryOf(session);
    print(`heap before ${(before.heap / 1e6).toFixed(2)} MB, after ${(after.heap / 1e6).toFixed(2)} MB`);
    // Each update changes hundreds of pipelines; detached nodes count too.
    expect(after.nodes).toBeLessThan(before.nodes + 200);
    expect(after.listeners).toBeLessThan(before.listeners + 50);
    expect(after.heap).toBeLessThan(before.heap * 1.1 + 2_000_000);
    await session.detach();
  });

  test('shows a list of the same on a small screen', async () => {
    const { page: narrow } = await browser.open(service.address, { width: 390, colors: 'dark' });
    await narrow.getByText(`${shown(many)} of ${shown(many)} pipelines shown`).waitFor();
    expect(await narrow.getByRole('listitem').count()).toBeLessThan(maxRows);
    await expectAccessible(narrow);
  });

  test.runIf(soak)('can be used soon, and scrolls smoothly', async () => {
    for (let round = 0; round < 3; round++) {
      const { page: fresh } = await browser.open(service.address, { at: '/about' });
      await fresh.goto(`${service.address}/?${round}#/`, { waitUntil: 'commit' });
      const rows = fresh.getByRole('table', { name: 'Pipelines' }).getByRole('row');
      await rows.nth(5).waitFor();
      const first = await fresh.evaluate(() => performance.now());
      await fresh.getByLabel('Search pipelines').fill(nameOf(many - 223));
      await fresh.getByText('1 of 1 pipelines shown').waitFor();
      const used = await fresh.evaluate(() => performance.now());
      print(`rows after ${first.toFixed(0)} ms, a search is done after ${used.toFixed(0)} ms`);
      await fresh.context().close();
    }
    const frames = await page.evaluate(async () => {
      const list = document.querySelector('section[aria-label=Pipelines]') as Element;
      const times: number[] = [];
      let last = await new Promise<number>(requestAnimationFrame);
      for (const end = last + 5000; last < end; ) {
        list.scrollTop += 120;
        const now = await new Promise<number>(requestAnimationFrame);
        times.push(now - last);
        last = now;
      }
      return times.sort((a, b) => a - b);
    });
    const at = (share: number): string => (frames[Math.floor(frames.length * share)] ?? 0).toFixed(1);
    print(`${frames.length} frames in 5 s: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms`);
    expect(frames.length).toBeGreaterThan(50);
  });
});
