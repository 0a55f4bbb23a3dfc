import type { FieldError } from '../../errors.ts';
import type { Field, FieldTypeName } from './schema.ts';
import { sqlType } from './sql-type.ts';

/** A column that a table's configuration refers to, such as one in a topic. */
export interface ColumnUse {
  /** JSON pointer to the reference in the configuration. */
  path: string;
  column: string;
  types: readonly FieldTypeName[];
  /** Its name at the other side, where no two columns may have the same. */
  writtenAs?: string;
}

/** Returns errors for columns in use that the table lacks, has with another type, or writes under a name that is taken. */
export function checkColumnUses(uses: readonly ColumnUse[], fields: readonly Field[]): FieldError[] {
  const renamed = new Set(uses.flatMap((use) => (use.writtenAs === undefined ? [] : [use.column])));
  return uses.flatMap(({ path, column, types, writtenAs }) => {
    const field = fields.find(({ name }) => name === column);
    if (field === undefined) {
      const names = fields.map(({ name }) => name).join(', ');
      return [{ path, message: `refers to the column ${column}, which the table does not have: ${names}` }];
    }
    const taken = fields.some(({ name }) => name === writtenAs && name !== column && !renamed.has(name));
    if (taken)
      return [{ path, message: `writes ${column} to ${writtenAs}, which the column of that name has` }];
    if (types.includes(field.type)) return [];
    const wanted =
      types.length === 1
        ? `it must be ${sqlType({ type: types[0] as FieldTypeName })}`
        : 'it has no plain text';
    return [{ path, message: `refers to the column ${column}, which is ${sqlType(field)}: ${wanted}` }];
  });
}
