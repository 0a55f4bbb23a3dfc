import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { describedErrors, errorPage } from '../scripts/docs/error-page.ts';

test('docs/errors.md is up to date (npm run openapi writes it)', () => {
  expect(readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8')).toBe(errorPage());
});

test.each(describedErrors)('the help for $code has whole sentences', ({ title, means, todo }) => {
  expect(title).toMatch(/^[A-Z].*[^.]$/);
  for (const text of [means, todo]) expect(text).toMatch(/^[A-Z].{19,}\.$/);
});

test('error codes are unique', () => {
  const codes = describedErrors.map(({ code }) => code);
  expect(codes.filter((code, index) => codes.indexOf(code) !== index)).toEqual([]);
});
