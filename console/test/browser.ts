import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import axe from 'axe-core';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterEach, beforeAll, expect } from 'vitest';
import { chromium as pathOfChromium } from '../../scripts/servers.ts';
import { atEnd } from '../../test/support/at-end.ts';

/** A real browser for the tests of the console. It closes by itself: see `atEnd`. */

const flags = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-dev-shm-usage'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
  // Pages that live for seconds do not earn back what optimized code and threads of V8's own cost.
  '--js-flags=--no-opt --no-maglev --single-threaded',
];

export interface OpenOptions {
  /** Default 1280 × 800. */
  width?: number;
  height?: number;
  /** Shown at first: an address of the console, behind its `#`. Default `/`. */
  at?: string;
  /** An API key that the tab already has. */
  key?: string;
  colors?: 'light' | 'dark';
}

/** One page of the console in a browser context of its own. */
export interface Tab {
  page: Page;
  context: BrowserContext;
  /** Shows another page of the console, as by a change of the address. */
  go(at: string): Promise<void>;
}

class Console {
  #browser: Browser | undefined;
  /** Errors of scripts, and violations of the content security policy. */
  readonly errors: string[] = [];

  async start(): Promise<void> {
    if (!existsSync(new URL('../dist/index.html', import.meta.url)))
      throw new Error('The console is not built: run npm run build');
    const executablePath = pathOfChromium();
    if (executablePath === undefined) throw new Error('Chromium is missing: install the package chromium');
    this.#browser = await chromium.launch({ executablePath, args: flags, timeout: 120_000 });
    atEnd(() => this.#browser?.close());
  }

  /** Opens the console of the Penstock at `address` and waits until it shows a page. */
  async open(address: string, options: OpenOptions = {}): Promise<Tab> {
    const { width = 1280, height = 800, at = '/', key, colors = 'light' } = options;
    const context = await (this.#browser as Browser).newContext({
      viewport: { width, height },
      colorScheme: colors,
      reducedMotion: 'reduce',
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    atEnd(() => context.close());
    if (key !== undefined)
      await context.addInitScript((given) => sessionStorage.setItem('penstock.key', given), key);
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    page.on('pageerror', (error) => this.errors.push(`${error}`));
    page.on('console', (message) => {
      // The browser also reports each response that is an error, which tests cause on purpose.
      if (message.type() === 'error' && !/Failed to load resource|net::ERR/.test(message.text()))
        this.errors.push(message.text());
    });
    await page.goto(`${address}/#${at}`);
    await page.locator('main h1').first().waitFor();
    const go = async (to: string): Promise<void> => {
      await page.evaluate((hash) => {
        location.hash = hash;
      }, to);
    };
    return { page, context, go };
  }
}

/** A browser for all tests of a file. A test fails if a script of the console fails, or breaks the security policy. */
export function useConsole(): Console {
  const console = new Console();
  beforeAll(() => console.start());
  afterEach(() => expect(console.errors.splice(0)).toEqual([]));
  return console;
}

/** Expects that axe finds nothing serious on the page (WCAG 2.2 AA), and that it does not scroll sideways. */
export async function expectAccessible(page: Page): Promise<void> {
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(axe.source);
  const serious = await page.evaluate(async () => {
    const { axe: tool } = globalThis as unknown as { axe: typeof axe };
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
    const { violations } = await tool.run(document, { runOnly: tags, resultTypes: ['violations'] });
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(' | ')}`);
  });
  expect(serious).toEqual([]);
  const [wide, seen] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  expect(wide).toBeLessThanOrEqual(seen as number);
}

const images = process.env.PENSTOCK_TEST_IMAGES;

/** Saves a picture into the folder that PENSTOCK_TEST_IMAGES names, if it is set: `npm run images`. */
export async function picture(page: Page, name: string): Promise<void> {
  if (images === undefined) return;
  mkdirSync(images, { recursive: true });
  await page.screenshot({ path: join(images, `${name}.png`) });
}
