import { sqlType, validateSchema } from '../formats/codec.ts';
import { checkColumnUses } from '../formats/schema/column-use.ts';
import type { ConnectionSchema, Field } from '../formats/schema/schema.ts';
import type { Analysis } from './analysis.ts';
import { engineTypeName, fieldType, isAssignable } from './column-types.ts';
import type { Findings, Range } from './diagnostic.ts';
import { refuseNames } from './field-names.ts';
import { children, type TreeNode } from './parse-tree.ts';
import type { TableDefinition } from './plan.ts';

/** Gives a sink without columns those of the SELECT. */
export function withColumns(sink: TableDefinition, analysis: Analysis, range: Range, findings: Findings) {
  if ((sink.schema.fields ?? []).length > 0 || !sink.schema.inferred) return sink;
  const fields = outputFields(analysis, findings);
  const schema: ConnectionSchema = { ...sink.schema, fields };
  for (const { message } of validateSchema(schema)) {
    findings.add(`${message}; name the columns of the SELECT with AS`, range);
  }
  findings.settle();
  const inferred = { ...sink, schema };
  refuseNames(inferred, range, findings);
  return inferred;
}

/** The columns of a SELECT as fields. */
export function outputFields({ output, places }: Analysis, findings: Findings): Field[] {
  return output.map(({ name, type }) => {
    const found = fieldType(type);
    if (!found) {
      const message = `The column ${name} is ${type}, which no field can hold; add a CAST`;
      return findings.stop(message, places.at(undefined));
    }
    const field: Field = { ...found, name, required: false };
    return { ...field, sql_name: sqlType(field) };
  });
}

/** Checks that a sink has the columns its configuration refers to, such as those of a topic. */
export function checkUses(
  { schema, uses = [], name }: TableDefinition,
  range: Range,
  findings: Findings,
): void {
  for (const { path, message } of checkColumnUses(uses, schema.fields ?? [])) {
    findings.add(`${path.slice(1)} of ${name} ${message}`, range);
  }
  findings.settle();
}

/** Compares what the SELECT answers with the columns of the sink, by position, as INSERT … SELECT does. */
export function checkOutput(
  columns: readonly Field[],
  { output, root, places }: Analysis,
  findings: Findings,
): void {
  if (output.length !== columns.length) {
    const wanted = `${columns.length}: ${columns.map(({ name }) => name).join(', ')}`;
    findings.stop(`The SELECT has ${count(output.length)}, but the sink has ${wanted}`, places.at(0));
  }
  const items = children(root.select_list);
  const aligned = items.length === output.length && items.every((item) => item.class !== 'STAR');
  for (const [index, { name, type }] of output.entries()) {
    const column = columns[index];
    if (!column) continue;
    const range = aligned && items[index] ? places.of(items[index]) : places.at(0);
    if (isNullConstant(items[index], aligned)) {
      if (column.required) findings.add(`The column ${column.name} of the sink may not be null`, range);
      continue;
    }
    const from = fieldType(type);
    if (from && isAssignable(from, column)) continue;
    const shown = from ? sqlType(from) : String(type);
    const wanted = sqlType(column);
    findings.add(
      `${name} is ${shown}, but the column ${column.name} of the sink is ${wanted}; write CAST(… AS ${engineTypeName(column)})`,
      range,
    );
  }
  findings.settle();
}

function isNullConstant(item: TreeNode | undefined, aligned: boolean): boolean {
  return aligned && item?.class === 'CONSTANT' && (item.value as TreeNode | undefined)?.is_null === true;
}

function count(columns: number): string {
  return columns === 1 ? '1 column' : `${columns} columns`;
}
