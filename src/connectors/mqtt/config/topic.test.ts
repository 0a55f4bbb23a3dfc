import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkTopicFilter, checkTopicName, isShared, splitShared } from './topic.ts';

const level = fc.string({ maxLength: 6, unit: 'grapheme' }).filter((text) => !/[+#/\0]/.test(text));
const levels = fc.array(level, { minLength: 1, maxLength: 5 });
/** Any topic name except the empty one. */
const topic = levels.map((all) => all.join('/')).filter((text) => text !== '' && !text.startsWith('$share'));
/** A topic with some levels made wildcards, as the specification allows. */
const filter = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 5 }), fc.boolean())
  .map(([all, rest]) => [...all, ...(rest ? ['#'] : [])].join('/'))
  .filter((text) => text !== '' && !text.startsWith('$share'));

describe('topic rules', () => {
  test('accept every name, also as a filter', () => {
    fc.assert(
      fc.property(topic, (name) => {
        expect(checkTopicName(name)).toBeNull();
        expect(checkTopicFilter(name)).toBeNull();
      }),
    );
  });

  test('accept every filter, also shared, but not as a name', () => {
    fc.assert(
      fc.property(filter, fc.stringMatching(/^[a-z]{1,5}$/), (text, group) => {
        expect(checkTopicFilter(text)).toBeNull();
        const shared = `$share/${group}/${text}`;
        expect(checkTopicFilter(shared)).toBeNull();
        expect(isShared(shared)).toBe(true);
        expect(splitShared(shared)).toEqual({ group, filter: text });
        if (/[+#]/.test(text)) expect(checkTopicName(text)).not.toBeNull();
      }),
    );
  });

  test('refuse a wildcard within a level, and # before the last level', () => {
    const filled = fc.stringMatching(/^[a-z]{1,3}$/);
    fc.assert(
      fc.property(filter, filled, fc.constantFrom('+', '#'), (before, letters, wildcard) => {
        const start = before.endsWith('#') ? 'a' : before;
        for (const wrong of [`${letters}${wildcard}`, `${wildcard}${letters}`]) {
          expect(checkTopicFilter(`${start}/${wrong}`)).not.toBeNull();
        }
        expect(checkTopicFilter(`${start}/#/${letters}`)).not.toBeNull();
      }),
    );
  });
});
