import { describe, expect, test } from 'vitest';
import { codecFor } from '../codec.ts';

/** The edges of RFC 8259, by its sections: what is a JSON document and what is not. */

const value = codecFor({
  format: { type: 'json', unstructured: true },
  fields: [{ name: 'value', type: 'json' }],
});
/** Exact numbers are read by another parser, in two ways, so each case is tried with all of them. */
const members = (type: 'json' | 'bool') =>
  codecFor({ format: { type: 'json' }, fields: [{ name: 'other', type }] });
const readers = [
  (text: string) => value.decode(Buffer.from(text)),
  (text: string) => members('json').decode(Buffer.from(`{"a":12345678901234567890,"b":${text}}`)),
  (text: string) => members('json').decode(Buffer.from(`{"\u0080":12345678901234567890,"b":${text}}`)),
  (text: string) => members('bool').decode(Buffer.from(`{"b":${text}}`)),
];

const documents: Record<string, string[]> = {
  '2: white space': [' 1', '1 ', '\t1', '\n1', '\r1', '[ 1 , 2 ]', '{ "a" : 1 , "b" : 2 }'],
  '3: values': ['true', 'false', 'null', '""', '0', '[]', '{}'],
  '4: objects': ['{"a":1}', '{"":1}', '{"a":{"a":{}}}', '{"a":1,"a":2}', '{"\\u0000":1}'],
  '5: arrays': ['[1,"a",null,true,[],{}]', '[[[[]]]]'],
  '6: numbers': [
    ['0', '-0', '1', '-1', '10', '1234567890', '123456789012345678901234567890'],
    ['0.0', '0.1', '1.50', '-0.001', '1e5', '1E5', '1e+5', '1e-5', '0e0', '1.5e300', '1e-400', '1e400'],
  ].flat(),
  '7: strings': [
    [
      '"a"',
      '"\\""',
      '"\\\\"',
      '"\\/"',
      '"/"',
      '"\\b\\f\\n\\r\\t"',
      '"\\u00e9"',
      '"\\u00E9"',
      '"\\ud834\\udd1e"',
    ],
    ['"\\ud800"', '"\\udc00\\ud800"', '"é"', '"𝄞"', '"\u2028\u2029"', '"\u007f"', '"\ufeff"', '"\uffff"'],
  ].flat(),
};

const others: Record<string, string[]> = {
  '2: other white space': ['\f1', '\v1', '\u00a01', '\u20281', '1\u0000', '\ufeff1', '/**/1', '1//'],
  '2: nothing, or more than one value': ['', ' ', '1 2', '{}{}', '[],', '1,'],
  '3: other literals': [
    'True',
    'TRUE',
    'tru',
    'truee',
    'Null',
    'nil',
    'undefined',
    'NaN',
    'Infinity',
    '-Infinity',
  ],
  '4: no objects': [
    [
      '{',
      '}',
      '{"a"}',
      '{"a":}',
      '{"a" 1}',
      '{"a":1,}',
      '{,"a":1}',
      '{a:1}',
      "{'a':1}",
      '{1:1}',
      '{"a":1 "b":2}',
    ],
    ['{"a"::1}', '{"a":1;"b":2}', '{null:1}', '{"a":1', '{["a"]:1}'],
  ].flat(),
  '5: no arrays': [
    '[',
    ']',
    '[1',
    '[1,',
    '[1,]',
    '[,1]',
    '[,]',
    '[1,,2]',
    '[1 2]',
    '[1;2]',
    '(1)',
    '[1}',
    '{1]',
  ],
  '6: no numbers': [
    [
      '00',
      '01',
      '-01',
      '+1',
      '-',
      '--1',
      '- 1',
      '.1',
      '1.',
      '-.1',
      '1.e5',
      '1e',
      '1e+',
      '1e1.5',
      '1ee5',
      '1_000',
    ],
    ['0x10', '0b1', '0o7', '1n', '1,5', '１', '½'],
  ].flat(),
  '7: no strings': [
    [
      '"',
      '"a',
      'a"',
      "'a'",
      '`a`',
      '"\\"',
      '"\\x41"',
      '"\\a"',
      '"\\0"',
      '"\\u"',
      '"\\u12"',
      '"\\u12g4"',
      '"\\U0041"',
    ],
    ['"\n"', '"\r"', '"\t"', '"\u0000"', '"\u001f"', '"a"b"', '"\\\n"'],
  ].flat(),
};

const cases = (sections: Record<string, string[]>): [section: string, text: string][] =>
  Object.entries(sections).flatMap(([section, texts]) =>
    texts.map((text): [string, string] => [section, text]),
  );

describe('RFC 8259', () => {
  test.each(cases(documents))('section %s: %j is read', (_section, text) => {
    for (const read of readers) expect(() => read(text)).not.toThrow();
  });

  test.each(cases(others))('section %s: %j is refused', (_section, text) => {
    for (const read of readers)
      expect(() => read(text)).toThrow(expect.objectContaining({ code: 'bad_data' }));
  });

  const invalidUtf8: [name: string, bytes: number[]][] = [
    ['a continuation byte alone', [0x80]],
    ['half a character', [0xc3]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['beyond U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
    ['Latin 1', [0xe9, 0x20]],
  ];
  test.each(invalidUtf8)('section 8: a string with %s is refused', (_name, bytes) => {
    const payload = Buffer.from([0x22, ...bytes, 0x22]);
    expect(() => value.decode(payload)).toThrow(
      expect.objectContaining({
        errors: [{ path: '', message: expect.stringContaining('is not UTF-8 text') }],
      }),
    );
  });

  test('section 8: UTF-16 and UTF-32 are refused', () => {
    for (const payload of [Buffer.from('{}', 'utf16le'), Buffer.from([0, 0, 0, 0x7b, 0, 0, 0, 0x7d])])
      expect(() => value.decode(payload)).toThrow(expect.objectContaining({ code: 'bad_data' }));
  });
});

describe('what RFC 8259 leaves open', () => {
  const read = (type: 'int64' | 'json', text: string) =>
    codecFor({ format: { type: 'json' }, fields: [{ name: 'a', type }] }).decode(Buffer.from(text)).a;

  test('of two members with one name the last counts', () => {
    expect(read('int64', '{"a":1,"a":2}')).toBe(2n);
    expect(read('json', '{"a":{"b":1,"b":12345678901234567890}}')).toBe('{"b":12345678901234567890}');
  });

  test.each([
    ['{"a":1,"a":2}', '{"a":2}'],
    ['{"a": {"b":1, "b":12345678901234567.89}}', '{"a":{"b":12345678901234567.89}}'],
    ['[{"a":":","a":"x:y"}]', '[{"a":"x:y"}]'],
    ['{"a":1,"\\u0061":2}', '{"a":2}'],
    ['{"__proto__":1,"__proto__":2}', '{"__proto__":2}'],
    // Without repetition the text stays as it is.
    ['{ "a" : 1.50 , "b:" : ":" }', '{ "a" : 1.50 , "b:" : ":" }'],
    ['{"a":{"a":1},"b":[{"a":1},{"a":2}]}', '{"a":{"a":1},"b":[{"a":1},{"a":2}]}'],
    ['"a:b"', '"a:b"'],
  ])('an unstructured document has the last of two members, too: %s', (text, kept) => {
    expect(value.decode(Buffer.from(text)).value).toBe(kept);
  });

  test.each([1_000, 100_000])(
    '%i levels are read where no column looks, or refused, and harm nothing',
    (levels) => {
      const deep = `${'['.repeat(levels)}${']'.repeat(levels)}`;
      expect(read('int64', `{"a":1,"b":${deep}}`)).toBe(1n);
      expect(() => read('json', `{"a":${deep}}`)).toThrow(expect.objectContaining({ code: 'bad_data' }));
      const exact = `{"a":12345678901234567890,"b":${deep}}`;
      try {
        read('json', exact);
      } catch (error) {
        expect(error).toMatchObject({ code: 'bad_data', errors: [{ message: 'is nested too deep' }] });
      }
    },
  );

  test('a number of a million digits is refused or kept, in little time', () => {
    const digits = '9'.repeat(1_000_000);
    expect(() => read('int64', `{"a":${digits}}`)).toThrow(expect.objectContaining({ code: 'bad_data' }));
    expect(read('json', `{"a":${digits}}`)).toBe(digits);
  });
});
