import { describe, expect, test } from 'vitest';
import { bytes, duration, perSecond } from '../src/parts/format.ts';
import { children, members, placeOf } from '../src/parts/json-text.ts';
import { placeOfError } from '../src/parts/place.ts';

const marked = (error: Parameters<typeof placeOfError>[0], text: string, first = error.message) => {
  const place = placeOfError(error, first, text);
  return place?.text && text.slice(place.text.start, place.text.end);
};

describe('the place of an error in a payload', () => {
  test.each<[name: string, path: string, text: string, value: string]>([
    ['a member', '/b', '{"a":1, "b" : {"c":2} }', '{"c":2}'],
    ['a member of a member', '/b/c', '{"a":1,"b":{"c":"x,}"}}', '"x,}"'],
    ['an item', '/1/a', '[{"a":1},{"a":2}]', '2'],
    ['a name with escapes', '/a~1b~0c', String.raw`{"a\"":1,"a/b~c":"\\"}`, String.raw`"\\"`],
    ['the last of equal names', '/a', '{"a":1,"a":22}', '22'],
    ['a missing member: where its object begins', '/b/c', '{"b":{"d":1}}', '{'],
    ['one of many items: where their list begins', '/b/*/c', '{"b":[{"c":1}]}', '['],
  ])('is that of its pointer: %s', (_name, path, text, value) => {
    expect(marked({ path, message: 'is not a number' }, text)).toBe(value);
  });

  test('is that of its byte, which is no character in text beyond ASCII', () => {
    const message = 'is not a JSON document: byte 13 is a letter';
    expect(placeOfError({ path: '', message }, message, '{"ä€𝄞":x}')).toEqual({
      text: { start: 8, end: 9 },
      byte: 13,
    });
    const bytes = 'is not UTF-8 text: byte 3 fits no character';
    expect(placeOfError({ path: '', message: bytes }, bytes, null)).toEqual({ text: undefined, byte: 3 });
  });

  test('is in the line that the message or the row names', () => {
    const text = '{"a":1}\n\n{"a":"x"}\r\n{"a":"y"}';
    const first = 'Line 3: The field /a is not a number';
    expect(placeOfError({ path: '/a', message: first }, first, text)?.text?.start).toBe(14);
    expect(marked({ path: '/a', message: 'is not a number', row: 1 }, text, first)).toBe('"x"');
    expect(marked({ path: '/a', message: 'is not a number', row: 2 }, text, first)).toBe('"y"');
    expect(marked({ path: '/a', message: 'is not a number', row: 9 }, text, first)).toBeUndefined();
  });

  test('is unknown if the error does not say it, or says what cannot be', () => {
    expect(marked({ path: '', message: 'holds no row' }, '{"a":1}')).toBeUndefined();
    expect(marked({ path: '/a', message: 'is missing' }, 'no JSON')).toBeUndefined();
    expect(marked({ path: '', message: 'byte 99999999999 is a letter' }, '{"a":1}')).toBeUndefined();
  });
});

describe('JSON as text', () => {
  test('keeps digits, and takes any depth and any damage', () => {
    expect(members('{"seq": 9007199254740993 ,"text":"a,\\"b}"}')).toEqual([
      ['seq', '9007199254740993'],
      ['text', '"a,\\"b}"'],
    ]);
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    expect(members(`{"a":${deep},"b":1}`).map(([name]) => name)).toEqual(['a', 'b']);
    const whole = '{"a":[1,{"b":"c\\"d"}],"e":null}';
    for (let end = 0; end <= whole.length; end++) {
      const cut = whole.slice(0, end);
      expect([...children(cut)].length).toBeLessThanOrEqual(2);
      const { start, end: last } = placeOf(cut, '/a/1/b');
      expect(start).toBeLessThanOrEqual(last);
    }
    expect([...children('[,,]')].length).toBeLessThanOrEqual(3);
    expect([...children('7')]).toEqual([]);
  });
});

test('numbers have their unit, also where they round up to the next one', () => {
  expect([0, 999.4, 999.6, 1_500, 59_400, 59_700, 3_599_000, 90_000_000].map(duration)).toEqual([
    ...['0 ms', '999 ms', '1 s', '1.5 s', '59 s', '1 min', '1 h', '1 d'],
  ]);
  expect([0, 999, 1_234, 999_900, 12_345_678].map(bytes)).toEqual([
    '0 B',
    '999 B',
    '1.2 kB',
    '1 MB',
    '12.3 MB',
  ]);
  expect([0.25, 9.96, 1234.5].map((rate) => perSecond(rate))).toEqual([
    '0.3 msg/s',
    '10 msg/s',
    '1,235 msg/s',
  ]);
});
