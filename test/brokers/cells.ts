import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'brokers.md'), 'utf8');

/** The cells of a broker in the table of docs/brokers.md, by fact. */
export function cellsOf(name: string): Map<string, string> {
  const lines = page.split('\n').filter((line) => line.startsWith('|'));
  const split = (line: string) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
  const cells = new Map<string, string>();
  let column = -1;
  for (const line of lines) {
    const parts = split(line);
    if (parts[0] === 'fact') column = parts.indexOf(name);
    else if (column > 0) cells.set(parts[0] as string, parts[column] as string);
  }
  return cells;
}
