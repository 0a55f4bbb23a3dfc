import type { FieldError } from '../../errors.ts';
import type { Field, FieldTypeName } from './schema.ts';
import { sqlType } from './sql-type.ts';

/** A column that a table's configuration refers to, such as one in a topic. */
export interface ColumnUse {
  /** JSON pointer to the reference in the configuration. */
  path: string;
  column: string;
  types: readonly FieldTypeName[];
}

/** Returns errors for columns in use that the table lacks or has with another type. */
export function checkColumnUses(uses: readonly ColumnUse[], fields: readonly Field[]): FieldError[] {
  return uses.flatMap(({ path, column, types }) => {
    const field = fields.find(({ name }) => name === column);
    if (field === undefined) {
      const names = fields.map(({ name }) => name).join(', ');
      return [{ path, message: `refers to the column ${column}, which the table does not have: ${names}` }];
    }
    if (types.includes(field.type)) return [];
    return [
      { path, message: `refers to the column ${column}, which is ${sqlType(field)}: it has no plain text` },
    ];
  });
}
