import { expect, test } from 'vitest';
import { loggedTarget, pathOf } from './http.ts';

test.each([
  ['/a?b=c', '/a?b=…'],
  ['/a?b', '/a?…'],
  ['/a?', '/a?…'],
  ['/a?b=c?d=e&f=', '/a?b=…&f=…'],
  ['/a?s3cret=1&=x', '/a?…&…'],
  ['/a', '/a'],
])('%s is logged as %s', (url, logged) => {
  expect(loggedTarget(url)).toBe(logged);
});

test.each([
  ['/a?b', '/a?b'],
  ['*', '*'],
  ['http://host/a/../b?c', '/a/../b?c'],
  ['HTTPS://host:1', '/'],
  ['http://host?a=/b', '/?a=/b'],
])('the target %s is the path %s', (url, path) => {
  expect(pathOf({ url })).toBe(path);
});
