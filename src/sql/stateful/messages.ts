import type { Range } from '../diagnostic.ts';
import { suggestion } from '../names.ts';
import { isPresent, type Places, type TreeNode } from '../parse-tree.ts';
import { firstSentence } from '../type-check.ts';
import { walk } from './tree.ts';

/** DuckDB's messages about SELECTs over many rows, in the words of other messages. */
const patterns: readonly [RegExp, (name: string, columns: readonly string[]) => string][] = [
  [
    /^Referenced column "(.+?)" (?:not found|was not found)/,
    (name, columns) => `There is no column ${name}${suggestion(name, columns)}`,
  ],
  [
    /^Table ".+?" does not have a column named "(.+?)"/,
    (name, columns) => `There is no column ${name}${suggestion(name, columns)}`,
  ],
  [
    /^column "?(.+?)"? must appear in the GROUP BY clause/,
    (name) => `${name} must be in GROUP BY or in an aggregate, such as max(${name})`,
  ],
  [
    /^Ambiguous reference to column name "(.+?)"/,
    (name) => `Several tables have a column ${name}; write the table before it, as in t.${name}`,
  ],
];

/** Returns the message, and its place if the error has none or a vague one: that of the first column of this name. */
export function explained(
  message: string,
  { root, places, columns }: { root: TreeNode; places: Places; columns: readonly string[] },
): { message: string; range: Range | undefined } {
  for (const [pattern, write] of patterns) {
    const name = pattern.exec(message)?.[1];
    if (name !== undefined) return { message: write(name, columns), range: placeOf(root, name, places) };
  }
  return { message: firstSentence(message), range: undefined };
}

function placeOf(root: TreeNode, name: string, places: Places): Range | undefined {
  let found: TreeNode | undefined;
  walk(root, (node) => {
    const names = node.class === 'COLUMN_REF' ? (node.column_names as string[]) : [];
    if (!found && isPresent(names) && names.at(-1)?.toLowerCase() === name.toLowerCase()) found = node;
    return undefined;
  });
  return found && places.of(found);
}
