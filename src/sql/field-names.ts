import type { Field, ListItem } from '../formats/schema/schema.ts';
import type { Findings, Range } from './diagnostic.ts';
import type { TableDefinition } from './plan.ts';

/** Refuses names that a JSON object can have and SQL cannot. */
export function refuseNames(table: TableDefinition, range: Range, findings: Findings): void {
  const fields = table.schema.fields ?? [];
  if (fields.some(hasProtoMember)) {
    findings.stop(`${table.name} has a struct with a member __proto__, which DuckDB cannot carry`, range);
  }
  const twins = twinNames(fields);
  if (twins)
    findings.stop(`${table.name} has the fields ${twins.join(' and ')}, which SQL cannot tell apart`, range);
}

function twinNames(fields: readonly Field[]): [string, string] | undefined {
  const seen = new Map<string, string>();
  for (const field of fields) {
    const twin = seen.get(field.name.toLowerCase());
    if (twin !== undefined) return [twin, field.name];
    seen.set(field.name.toLowerCase(), field.name);
    const inner = twinMembers(field);
    if (inner) return inner;
  }
  return undefined;
}

/** The client library of DuckDB loses the value of such a member. */
function hasProtoMember(item: ListItem): boolean {
  const members = item.fields ?? [];
  const inner = item.items ? [...members, item.items] : members;
  return members.some(({ name }) => name === '__proto__') || inner.some(hasProtoMember);
}

function twinMembers(item: ListItem): [string, string] | undefined {
  return (item.fields && twinNames(item.fields)) ?? (item.items && twinMembers(item.items));
}
