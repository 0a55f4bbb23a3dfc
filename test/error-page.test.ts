import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { describedErrors, errorPage } from '../scripts/docs/error-page.ts';

test('docs/errors.md has a section for every code as the code has it (npm run openapi writes it)', () => {
  expect(readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8')).toBe(errorPage());
});

test.each(describedErrors)('the help for $code is in whole sentences', ({ title, means, todo }) => {
  expect(title).toMatch(/^[A-Z].*[^.]$/);
  for (const text of [means, todo]) expect(text).toMatch(/^[A-Z].{19,}\.$/);
});

test('no two parts of the house have the same code', () => {
  const codes = describedErrors.map(({ code }) => code);
  expect(codes.filter((code, index) => codes.indexOf(code) !== index)).toEqual([]);
});
