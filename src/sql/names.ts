import type { Field, ListItem } from '../formats/schema/schema.ts';
import type { Findings, Range } from './diagnostic.ts';
import type { TableDefinition } from './plan.ts';

/** A name in double quotes, safe in any statement. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Whether SQL takes two names for the same one, unless they are quoted. */
export function isSameName(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

/** The value of this name; for an unquoted name also one that differs in case, if none matches exactly. */
export function findNamed<T>(
  named: ReadonlyMap<string, T>,
  { text, exact }: { text: string; exact: boolean },
): T | undefined {
  const same = named.get(text);
  if (same || exact) return same;
  for (const [name, value] of named) if (isSameName(name, text)) return value;
  return undefined;
}

export function findDuplicate(named: readonly { name: string }[]): [string, string] | undefined {
  const seen = new Map<string, string>();
  for (const { name } of named) {
    const earlier = seen.get(name.toLowerCase());
    if (earlier !== undefined) return [earlier, name];
    seen.set(name.toLowerCase(), name);
  }
  return undefined;
}

/** Refuses names that a JSON object can have and SQL cannot. */
export function checkFieldNames(table: TableDefinition, range: Range, findings: Findings): void {
  const levels = [...levelsOf(table.schema.fields ?? [])];
  // The client library of DuckDB loses the value of such a member.
  if (levels.slice(1).some((level) => level.some(({ name }) => name === '__proto__')))
    findings.stop(`${table.name} has a struct with a member __proto__, which is not supported`, range);
  for (const level of levels) {
    const duplicate = findDuplicate(level);
    if (!duplicate) continue;
    const message = `${table.name} has the fields ${duplicate.join(' and ')}, which are the same name in SQL`;
    findings.stop(message, range);
  }
}

/** The fields of a table, then the members of every struct inside them. */
function* levelsOf(fields: readonly Field[]): Generator<readonly Field[]> {
  yield fields;
  for (const field of fields) yield* levelsInside(field);
}

function* levelsInside({ fields, items }: ListItem): Generator<readonly Field[]> {
  if (fields) yield* levelsOf(fields);
  if (items) yield* levelsInside(items);
}

/** `; did you mean a or b?` with up to three candidates that resemble a mistyped name, best first; or nothing. */
export function suggestion(name: string, candidates: Iterable<string>): string {
  const wanted = name.toLowerCase();
  const limit = wanted.length < 3 ? 0 : Math.floor(wanted.length / 3);
  const names = [...new Set(candidates)]
    .map((candidate) => ({ candidate, distance: distance(wanted, candidate.toLowerCase()) }))
    .filter((found) => found.distance <= limit)
    .sort((one, other) => one.distance - other.distance)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
  return names.length === 0 ? '' : `; did you mean ${names.join(' or ')}?`;
}

/** The Levenshtein distance; 1 if the candidate contains the wanted name. */
function distance(wanted: string, candidate: string): number {
  if (wanted.length >= 3 && candidate.includes(wanted)) return 1;
  let previous = Array.from({ length: candidate.length + 1 }, (_, index) => index);
  for (let row = 1; row <= wanted.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= candidate.length; column += 1) {
      const replaced = (previous[column - 1] ?? 0) + (wanted[row - 1] === candidate[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[candidate.length] ?? 0;
}

/** Words that name a table in quotes only: `duckdb_keywords()`, the reserved ones and those of types and functions. */
export const reserved: ReadonlySet<string> = new Set(
  `all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast check
  collate collation column columns concurrently constraint create cross default deferrable desc describe distinct do
  else end except false fetch for foreign freeze from full generated glob group having ilike in initially inner
  intersect into is isnull join lambda lateral leading left like limit map natural not notnull null offset on only or
  order outer overlaps pivot pivot_longer pivot_wider placing positional primary qualify references returning right
  select semi show similar some struct summarize symmetric table tablesample then to trailing true try_cast union
  unique unpack unpivot using variadic verbose when where window with`.split(/\s+/),
);
