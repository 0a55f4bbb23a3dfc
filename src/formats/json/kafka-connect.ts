import type { FormatOf } from '../format.ts';
import type { Field, ListItem } from '../schema/schema.ts';

/** A schema as Kafka Connect's JsonConverter writes it beside a payload. */
export interface ConnectSchema {
  type: string;
  optional: boolean;
  field?: string;
  name?: string;
  version?: number;
  parameters?: Record<string, string>;
  fields?: ConnectSchema[];
  items?: ConnectSchema;
}

const logical = 'org.apache.kafka.connect.data';

/** Unsigned integers have no type of their own: the next larger signed one, if there is one, stands for them. */
const plainTypes = {
  int32: 'int32',
  int64: 'int64',
  uint32: 'int64',
  uint64: 'int64',
  float32: 'float',
  float64: 'double',
  bool: 'boolean',
  string: 'string',
  bytes: 'bytes',
} as const;

/** The schema of a row as it is written with these options; metadata columns are not part of it. */
export function connectSchema(fields: readonly Field[], format: FormatOf<'json'>): ConnectSchema {
  return { ...structOf(fields, format), name: 'Penstock', optional: false };
}

/** The schema of a Debezium envelope around a row. */
export function debeziumSchema(row: ConnectSchema): ConnectSchema {
  const fields = [
    { ...row, optional: true, field: 'before' },
    { ...row, optional: true, field: 'after' },
    { type: 'string', optional: false, field: 'op' },
  ];
  return { type: 'struct', name: 'Penstock.Envelope', optional: false, fields };
}

function structOf(fields: readonly Field[], format: FormatOf<'json'>) {
  const written = fields.filter((field) => typeof field.metadata_key !== 'string');
  const members = written.map((field) => ({ ...schemaOf(field, format), field: field.name }));
  return { type: 'struct', fields: members };
}

function schemaOf(item: ListItem, format: FormatOf<'json'>): ConnectSchema {
  return { ...typeOf(item, format), optional: item.required !== true };
}

function typeOf(item: ListItem, format: FormatOf<'json'>): Omit<ConnectSchema, 'optional'> {
  switch (item.type) {
    case 'timestamp':
      if (format.timestamp_format !== 'unix_millis') return { type: 'string' };
      return { type: 'int64', name: `${logical}.Timestamp`, version: 1 };
    case 'decimal128':
      return decimalType(item.scale ?? 0, format);
    case 'json':
      return { type: 'string', name: 'io.debezium.data.Json', version: 1 };
    case 'struct':
      return structOf(item.fields ?? [], format);
    case 'list':
      return { type: 'array', items: schemaOf(item.items ?? { type: 'string' }, format) };
    default:
      return { type: plainTypes[item.type] };
  }
}

function decimalType(scale: number, { decimal_encoding }: FormatOf<'json'>): Omit<ConnectSchema, 'optional'> {
  if (decimal_encoding === 'string') return { type: 'string' };
  if (decimal_encoding !== 'bytes') return { type: 'double' };
  return { type: 'bytes', name: `${logical}.Decimal`, version: 1, parameters: { scale: String(scale) } };
}
