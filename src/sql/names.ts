import type { FieldError } from '../errors.ts';
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
  const [problem] = unnameable(table.schema.fields ?? []);
  if (problem) findings.stop(`${table.name} has ${problem.message}`, range);
}

/** Fields that no query could name, with JSON pointers below `path`: `the fields id and Id, which are …`. */
export function unnameable(fields: readonly Field[], path = '/fields'): FieldError[] {
  const found: FieldError[] = [];
  const seen = new Map<string, string>();
  for (const [index, field] of fields.entries()) {
    const at = `${path}/${index}`;
    const other = seen.get(field.name.toLowerCase());
    if (other !== undefined)
      found.push({
        path: `${at}/name`,
        message: `the fields ${other} and ${field.name}, which are the same name in SQL`,
      });
    seen.set(field.name.toLowerCase(), field.name);
    // The client library of DuckDB loses the value of such a member.
    if (field.name === '__proto__' && path !== '/fields')
      found.push({ path: `${at}/name`, message: 'a struct with a member __proto__, which is not supported' });
    found.push(...unnameableInside(field, at));
  }
  return found;
}

function unnameableInside({ fields, items }: ListItem, path: string): FieldError[] {
  return [
    ...(fields ? unnameable(fields, `${path}/fields`) : []),
    ...(items ? unnameableInside(items, `${path}/items`) : []),
  ];
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
