import { PenstockError } from '../../errors.ts';
import type { SchemaIn } from '../format.ts';
import { formatOf } from '../registry.ts';
import type { ConnectionSchema, Field, FormatType, ListItem, SchemaDefinition } from './schema.ts';
import { sqlType } from './sql-type.ts';

/**
 * Completes a schema as it was sent: derives `fields` from its `definition` where there is one, gives formats that
 * hold a whole message in one field that field, and fills in `required` and every `sql_name`. Answers a new schema,
 * and the same again for its own answer. Throws `invalid_schema` with the path of what a definition cannot express.
 */
export function expandSchema(schema: ConnectionSchema): ConnectionSchema {
  return { ...schema, fields: fieldsOf(schema).map(expandItem) };
}

function fieldsOf(schema: ConnectionSchema): readonly Field[] {
  const fields = schema.fields ?? [];
  if (!schema.definition) return fields.length > 0 ? fields : wholeMessageField(schema);
  // Metadata columns are not part of a message, so a definition cannot hold them: they stay beside it.
  const metadata = fields.filter((field) => typeof field.metadata_key === 'string');
  return [...derivedFields(schema, schema.definition), ...metadata];
}

function derivedFields({ format, ...schema }: ConnectionSchema, definition: SchemaDefinition): Field[] {
  const language = format && formatOf(format)?.definition;
  if (!format || language?.type !== definition.type) {
    const takes = language ? `takes ${language.type}` : 'takes no definition';
    const subject = format ? `The format ${format.type} ${takes}` : 'There is no format to go with it';
    const message = `${subject}; leave the definition out or change the format`;
    throw new PenstockError('invalid_schema', message, { errors: [{ path: '/definition', message }] });
  }
  return language.fieldsFrom({ ...schema, format, definition } as SchemaIn<FormatType> & {
    definition: SchemaDefinition;
  });
}

/** A schema whose fields are inferred from a query has none yet, and must not get one here. */
function wholeMessageField({ format, inferred }: ConnectionSchema): readonly Field[] {
  if (!format || inferred) return [];
  const type = formatOf(format)?.wholeMessage?.(format);
  return type ? [{ name: 'value', type, required: true }] : [];
}

function expandItem<T extends ListItem>(item: T): T {
  const expanded: T = { ...item, required: item.required ?? false, sql_name: sqlType(item) };
  if (item.type === 'timestamp') expanded.unit = item.unit ?? 'millisecond';
  if (item.fields) expanded.fields = item.fields.map(expandItem);
  if (item.items) expanded.items = { ...expandItem(item.items), name: item.items.name ?? 'item' };
  return expanded;
}
