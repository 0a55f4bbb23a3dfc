import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { errorHelp } from '../scripts/docs/error-help.ts';
import { errorPage } from '../scripts/docs/error-page.ts';

test('docs/errors.md has a section for every code as the code has it (npm run openapi writes it)', () => {
  expect(readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8')).toBe(errorPage());
});

test.each(Object.entries(errorHelp))('the help for %s is in whole sentences', (_code, { means, todo }) => {
  for (const text of [means, todo]) expect(text).toMatch(/^[A-Z].{19,}\.$/);
});
