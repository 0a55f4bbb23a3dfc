import type { TSchema } from 'typebox';
import { formatTypes } from '../formats/registry.ts';
import type { ConnectionSchema, Format } from '../formats/schema/schema.ts';
import { formatVariants } from '../formats/schema/wire-format.ts';
import type { TableOptions } from './table-options.ts';

/**
 * Takes `format` and its options from a `WITH (…)`: each property of the format on the wire is an option
 * `<format>.<property>`, e.g. `csv.delimiter`.
 */
export function readFormat(options: TableOptions): Format | undefined {
  const names = [...formatTypes, debeziumJson] as const;
  const name = options.takeOneOf('format', names);
  if (name === undefined) return undefined;
  const type = name === debeziumJson ? 'json' : name;
  const format: Record<string, unknown> = { type };
  if (name === debeziumJson) Object.assign(format, debeziumDefaults);
  for (const [property, schema] of Object.entries(formatVariants[type].properties)) {
    const value = property === 'type' ? undefined : takeProperty(options, `${type}.${property}`, schema);
    if (value !== undefined) format[property] = value;
  }
  return format as Format;
}

/** Arroyo's name for json in an envelope, and what it then takes for granted. */
const debeziumJson = 'debezium_json';
const debeziumDefaults = {
  debezium: true,
  timestamp_format: 'unix_millis',
  decimal_encoding: 'bytes',
} as const;

/** Other spellings that Arroyo takes. */
const spellings = new Map([
  ['RFC3339', 'rfc3339'],
  ['UnixMillis', 'unix_millis'],
]);

function takeProperty(options: TableOptions, name: string, schema: TSchema): unknown {
  const {
    type,
    enum: values,
    anyOf = [],
  } = schema as {
    type?: string;
    enum?: string[];
    anyOf?: { type?: string }[];
  };
  if (values) {
    const others = [...spellings].filter(([, known]) => values.includes(known)).map(([other]) => other);
    const value = options.takeOneOf(name, [...values, ...others]);
    return value === undefined ? undefined : (spellings.get(value) ?? value);
  }
  // A property that may only be null on the wire is not an option.
  const isOption =
    type !== 'null' && (type !== undefined || anyOf.some((choice) => choice.type === 'string'));
  return isOption ? options.takeAs(name, schema) : undefined;
}

/** Takes `framing` and its option. */
export function readFraming(options: TableOptions): ConnectionSchema['framing'] {
  const method = options.takeOneOf('framing', ['newline']);
  if (method === undefined) return undefined;
  const longest = options.takeInteger('framing.newline.max_length');
  return longest === undefined ? { method } : { method, max_line_length: longest };
}
