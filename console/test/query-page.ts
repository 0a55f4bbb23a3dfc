import type { Locator, Page } from 'playwright-core';
import { expect } from 'vitest';

/** Steps on the pages of a pipeline and its query. */

export const editor = (page: Page): Locator => page.getByRole('textbox', { name: 'Query' });
export const state = (page: Page, text: string): Promise<void> =>
  page.getByRole('status', { name: 'State of the job' }).getByText(text, { exact: true }).waitFor();
export const replaceQuery = async (page: Page, query: string): Promise<void> => {
  // It is locked while a change is being saved.
  await editor(page).and(page.locator(':not([aria-readonly])')).click();
  await page.keyboard.press('Control+a');
  // Chromium gives a style to text that replaces a selection, which the security policy refuses.
  await page.keyboard.press('Delete');
  await page.keyboard.insertText(query);
};

/** Types, chooses from the list, and waits for the text. A list that is just being renewed ignores a click, so it clicks again. */
export const complete = async (page: Page, typed: string, name: string, text: string): Promise<void> => {
  await page.keyboard.type(typed);
  const option = page.getByRole('option', { name: new RegExp(`^${name}`) });
  await option.waitFor();
  const chosen = async (): Promise<string | null> => {
    if ((await editor(page).textContent()) !== text) {
      if (!(await option.isVisible())) await page.keyboard.press('Control+Space');
      // The text tells whether it was chosen.
      await option.click({ timeout: 2_000 }).catch(() => {});
    }
    return editor(page).textContent();
  };
  await expect.poll(chosen, { timeout: 60_000 }).toBe(text);
};
