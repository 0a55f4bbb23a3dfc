import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

test('every claim of docs/security.md names existing tests', () => {
  const text = readFileSync('docs/security.md', 'utf8');
  const [, table = ''] = /\| shown by \|\n\| --- \| --- \|\n((?:\|.*\n)+)/.exec(text) ?? [];
  const claims = table.trim().split('\n');
  expect(claims.length).toBeGreaterThan(20);
  for (const claim of claims) {
    const shownBy = claim.split(' | ').at(-1) ?? '';
    const tests = [...shownBy.matchAll(/`([^`]+\.test\.ts)`/g)].map(([, path = '']) => path);
    expect(tests, claim).not.toEqual([]);
    for (const path of tests) expect(existsSync(path), `${path} of ${claim}`).toBe(true);
  }
});
