import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Row } from '../../formats/format.ts';
import { checkTemplate, columnsIn, Template } from './template.ts';

const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,8}$/);
const constant = fc.string({ maxLength: 8 }).filter((text) => !/[{}]/.test(text));
const value = fc.oneof(fc.string(), fc.integer(), fc.bigInt(), fc.boolean());

describe('a template', () => {
  test('is its constant parts with the columns in between', () => {
    const pieces = fc.array(fc.tuple(constant, name, value), { maxLength: 5 });
    fc.assert(
      fc.property(pieces, constant, (columns, end) => {
        const named = columns.map(([before, column, given], index) => ({
          before,
          column: `${column}${index}`,
          given,
        }));
        const text = named.map(({ before, column }) => `${before}{{ ${column} }}`).join('') + end;
        const row = Object.fromEntries(named.map(({ column, given }) => [column, given]));
        expect(checkTemplate(text)).toBeNull();
        expect(columnsIn(text)).toEqual(named.map(({ column }) => column));
        const whole = named.map(({ before, given }) => `${before}${given}`).join('') + end;
        expect(new Template(text, '').text(row)).toBe(whole);
      }),
    );
  });

  test('has no text if a column is null, missing or has no plain text', () => {
    const template = new Template('a{{ b }}', '');
    for (const row of [{ b: null }, { c: 1 }, { b: Buffer.from('x') }, { b: [] }, { b: {} }] as Row[]) {
      expect(template.text(row)).toBeUndefined();
    }
  });

  test('reads own columns only', () => {
    expect(new Template('{{ constructor }}', '').text({})).toBeUndefined();
  });
});
