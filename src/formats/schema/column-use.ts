import type { FieldError } from '../../errors.ts';
import type { Field, FieldTypeName } from './schema.ts';
import { sqlType } from './sql-type.ts';

/** A column that a table's configuration refers to, such as one in a topic. */
export interface ColumnUse {
  /** What refers to it, as a JSON pointer into the configuration. */
  path: string;
  column: string;
  /** The types that it may have there. */
  types: readonly FieldTypeName[];
}

/** Says which of the columns in use a table does not have, or has with a type that cannot be used there. */
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
