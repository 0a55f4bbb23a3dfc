import type { DuckDBConnection } from '@duckdb/node-api';
import type { Field, ListItem } from '../formats/schema/schema.ts';
import { sqlType } from '../formats/schema/sql-type.ts';
import type { Analysis } from './analysis.ts';
import type { Findings } from './diagnostic.ts';
import { fieldTypeOf } from './engine/values.ts';
import { findColumn } from './expressions.ts';
import { isSameType } from './field-types.ts';
import { children, isPresent, type TreeNode } from './parse-tree.ts';
import type { ProjectedColumn, RowSelect } from './plan.ts';
import { computedSelect } from './rewrite.ts';

/** How the rows of a SELECT are computed one by one, and the columns that it returns. */

export const chooseSelect = async (
  connection: DuckDBConnection,
  analysis: Analysis,
  columns: readonly Field[],
  findings: Findings,
): Promise<RowSelect> =>
  simpleSelect(analysis, columns) ?? (await computedSelect(connection, analysis, columns, findings));

export function outputFields({ output, columns, places }: Analysis, findings: Findings): Field[] {
  return output.map(({ name, type }, index) => {
    const found: ListItem | undefined = columns[index]?.isMember ? { type: 'string' } : fieldTypeOf(type);
    if (!found) {
      const message = `The column ${name} has the type ${type}, which a table cannot hold; add a CAST`;
      return findings.stop(message, places.at(undefined));
    }
    const field: Field = { ...found, name, required: false };
    return { ...field, sql_name: sqlType(field) };
  });
}

/** The select in plain JavaScript, if it only picks columns. */
function simpleSelect({ root, source, view }: Analysis, outputs: readonly Field[]): RowSelect | undefined {
  if (isPresent(root.where_clause) || view) return undefined;
  const fields = source.schema.fields ?? [];
  const qualifiers = [source.name, String((root.from_table as TreeNode).alias ?? '')];
  const picked = children(root.select_list).flatMap((item) => pick(item, { qualifiers, columns: fields }));
  const columns: ProjectedColumn[] = [];
  for (const [index, to] of outputs.entries()) {
    const from = picked[index];
    const convert = from && conversion(from, to);
    if (!convert) return undefined;
    columns.push({ from: from.name, to: to.name, convert });
  }
  const same = columns.length === fields.length;
  if (same && columns.every(({ from, to, convert }) => from === to && convert === 'none'))
    return { kind: 'passthrough' };
  return { kind: 'project', columns };
}

/** The columns that an item of the select list expands to; undefined for an expression. */
function pick(
  item: TreeNode,
  scope: { qualifiers: readonly string[]; columns: readonly Field[] },
): readonly (Field | undefined)[] {
  if (item.class === 'STAR') {
    const lists = ['exclude_list', 'qualified_exclude_list', 'replace_list', 'rename_list'];
    return lists.some((list) => isPresent(item[list])) ? [undefined] : scope.columns;
  }
  if (item.class !== 'COLUMN_REF') return [undefined];
  const names = item.column_names as string[];
  const found = findColumn(names, scope);
  return [found && found.part === names.length - 1 ? found.column : undefined];
}

function conversion(from: ListItem, to: ListItem): ProjectedColumn['convert'] | undefined {
  if (isSameType(from, to)) return 'none';
  const { type } = from;
  if (to.type === 'int64' && (type === 'int32' || type === 'uint32')) return 'to_bigint';
  if (to.type === 'uint64' && type === 'uint32') return 'to_bigint';
  if (to.type === 'float64' && (type === 'int32' || type === 'uint32' || type === 'float32')) return 'none';
  return to.type === 'string' && type === 'json' ? 'none' : undefined;
}
