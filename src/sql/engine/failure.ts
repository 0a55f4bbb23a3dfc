import type { EngineError } from './connection.ts';

/** The kinds of DuckDB's errors that the data can cause. */
const reasons: Readonly<Record<string, string>> = {
  Conversion: 'a value cannot be converted',
  'Out of Range': 'a value is out of range',
  'Invalid Input': 'a function rejects its input',
  'Mismatch Type': 'a value has the wrong type',
  'Invalid type': 'a value has the wrong type',
  'Divide by Zero': 'division by zero',
  Constraint: 'a value violates a constraint',
  'Out of Memory': 'it needs more memory than a query may use',
  'Object Size': 'a value is too large',
  INTERRUPT: 'it takes too long',
};

/** Whether the data may have caused an error, and not Penstock or the machine. */
export const isOfData = ({ kind }: EngineError): boolean => Object.hasOwn(reasons, kind);

/** Says why a statement failed and in which part, but not on which value. */
export function reasonOf({ kind, position }: EngineError, sql: string): string {
  return `${reasons[kind]}${position === undefined ? '' : ` in ${excerpt(sql, position)}`}`;
}

function excerpt(sql: string, position: number): string {
  const text = Buffer.from(sql)
    .subarray(position, position + 200)
    .toString();
  let depth = 0;
  for (const [index, character] of [...text].entries()) {
    if (character === '(') depth += 1;
    if (character === ')') depth -= 1;
    const over = depth < 0 || (depth === 0 && (character === ',' || character === ')'));
    if (over) return [...text].slice(0, depth === 0 && character === ')' ? index + 1 : index).join('');
  }
  return text;
}
