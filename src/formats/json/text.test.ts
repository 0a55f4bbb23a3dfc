import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseAsWritten, parseExactly } from './text.ts';

/** Normalises the numbers of a text, such as 20 and 2.0e1. */
const comparable = (text: string) =>
  text.replaceAll(
    /("(?:[^"\\]|\\.)*")|(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?/g,
    (_found, string?: string, sign = '', whole = '', fraction = '', exponent = '0') => {
      if (string !== undefined) return string;
      const digits = `${whole}${fraction}`.replace(/0+$/, '');
      const zeros = whole.length + fraction.length - digits.length;
      const value = digits.replace(/^0+/, '');
      return value === '' ? '0' : `${sign}${value}e${Number(exponent) - fraction.length + zeros}`;
    },
  );

function outcome(parse: (text: string) => unknown, text: string): string {
  try {
    return comparable(JSON.stringify(parse(text)));
  } catch (error) {
    return (error as Error).name;
  }
}

const digits = (max: number) => fc.stringMatching(new RegExp(`^\\d{1,${max}}$`));
const numbers = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.oneof(fc.constant('0'), digits(25)),
    fc.option(digits(25), { nil: undefined }),
    fc.option(fc.constantFrom('e5', 'E+300', 'e-400', 'e999'), { nil: undefined }),
  )
  .map(([sign, whole, fraction, exponent]) =>
    [sign, whole, fraction === undefined ? '' : `.${fraction}`, exponent ?? ''].join(''),
  );
const strings = fc.oneof(
  fc.string({ unit: fc.constantFrom('"', '\\', '1234567890123456789', ':', 'ü', '𝄞', '{', ',', '\n') }),
  fc.constantFrom('__proto__', 'toString', '\u0080', '\u008012345678901234567890', ''),
);
const { text: documents } = fc.letrec<{ text: string }>((tie) => ({
  text: fc.oneof(
    { maxDepth: 4 },
    numbers,
    strings.map((value) => JSON.stringify(value)),
    fc.constantFrom('true', 'null'),
    fc.array(tie('text'), { maxLength: 4 }).map((items) => `[${items.join(' , ')}]`),
    fc
      .array(fc.tuple(strings, tie('text')), { maxLength: 4 })
      .map((members) => `{${members.map(([key, text]) => `${JSON.stringify(key)} :${text}`).join(',')}}`),
  ),
}));

test('a text is read as by JSON.parse, except numbers that a double would change', () => {
  fc.assert(
    fc.property(documents, (text) => {
      expect(outcome(parseExactly, text)).toBe(outcome(parseAsWritten, text));
    }),
    { numRuns: 2_000 },
  );
});

test('invalid JSON is refused', () => {
  const damage = fc.tuple(
    fc.nat(),
    fc.nat({ max: 2 }),
    fc.constantFrom('', '"', ':', '0', '\\', ',', 'e', '-'),
  );
  fc.assert(
    fc.property(documents, damage, (whole, [place, removed, added]) => {
      const at = place % (whole.length + 1);
      const text = whole.slice(0, at) + added + whole.slice(at + removed);
      expect(outcome(parseExactly, text)).toBe(outcome(parseAsWritten, text));
    }),
    { numRuns: 3_000 },
  );
});

test.each(['1.7e+012', '5e00000001', '1E-100', '1.5', '-0', '123456789012345', '1e22'])(
  '%s is a number beside one that is kept as written',
  (text) => {
    expect(parseExactly(`[12345678901234567890,${text}]`)).toEqual([expect.any(Object), Number(text)]);
  },
);

test.each([
  ['a name that is a number', '{12345678901234567890:1}', 'SyntaxError'],
  ['a name that is a number, apart from its colon', '{12345678901234567890 \n:1}', 'SyntaxError'],
  [
    'a string like a marked number',
    '["\u00801.5",12345678901234567890]',
    '["\u00801.5",12345678901234567890]',
  ],
  ['an escaped one', '["\\u00801.5",12345678901234567890]', '["\u00801.5",12345678901234567890]'],
  ['a name of every object', '{"__proto__":12345678901234567890}', '{"__proto__":12345678901234567890}'],
])('%s is no way around it', (_what, text, expected) => {
  expect(outcome(parseExactly, text)).toBe(comparable(expected));
});
