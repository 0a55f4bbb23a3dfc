import { gzipSync, zstdCompressSync } from 'node:zlib';
import { parquetWriteBuffer, type SchemaElement } from 'hyparquet-writer';
import type { Row, Value } from '../../../formats/format.ts';
import {
  type ConnectionSchema,
  type Field,
  type ListItem,
  messageFields,
} from '../../../formats/schema/schema.ts';
import { badRow, pathOf } from '../../../formats/values/bad.ts';
import { getterOf, setterOf } from '../../../formats/values/own-property.ts';
import { valueSize } from '../../../formats/values/size.ts';
import type { FileContent } from './line-file.ts';

/** Parquet files. Each field type becomes the logical type that other readers know. */

/** Returns the value as the writer takes it. Throws `bad_row` for one that the column cannot hold. */
type Convert = (value: Value) => unknown;

interface Column {
  elements: SchemaElement[];
  convert: Convert;
}

const timeUnits = {
  second: { unit: 'MILLIS', factor: 1000n },
  millisecond: { unit: 'MILLIS', factor: 1n },
  microsecond: { unit: 'MICROS', factor: 1n },
  nanosecond: { unit: 'NANOS', factor: 1n },
} as const;

function columnOf(item: ListItem, name: string, path: string): Column {
  const column = nullableColumn(item, name, path);
  const { convert } = column;
  return {
    ...column,
    convert(value) {
      if (value !== null && value !== undefined) return convert(value);
      if (item.required) throw badRow(path, 'is required but null');
      return null;
    },
  };
}

function nullableColumn(item: ListItem, name: string, path: string): Column {
  const repetition_type = item.required ? 'REQUIRED' : 'OPTIONAL';
  const leaf = (more: Partial<SchemaElement>, convert: Convert): Column => ({
    elements: [{ name, repetition_type, ...more }],
    convert,
  });
  const same: Convert = (value) => value;
  switch (item.type) {
    case 'int32':
      return leaf({ type: 'INT32' }, same);
    case 'uint32':
      return leaf({ type: 'INT32', converted_type: 'UINT_32' }, same);
    case 'int64':
      return leaf({ type: 'INT64' }, within(path, -(2n ** 63n), 2n ** 63n - 1n));
    case 'uint64':
      return leaf({ type: 'INT64', converted_type: 'UINT_64' }, within(path, 0n, 2n ** 64n - 1n));
    case 'float32':
      return leaf({ type: 'FLOAT' }, same);
    case 'float64':
      return leaf({ type: 'DOUBLE' }, same);
    case 'bool':
      return leaf({ type: 'BOOLEAN' }, same);
    case 'bytes':
      return leaf({ type: 'BYTE_ARRAY' }, same);
    // DuckDB reads the logical type JSON as bytes, and hyparquet-writer encodes the converted one a second time.
    case 'json':
    case 'string':
      return leaf({ type: 'BYTE_ARRAY', converted_type: 'UTF8' }, wellFormed(path));
    case 'decimal128':
      return decimalColumn(item, leaf, path);
    case 'timestamp': {
      const { unit, factor } = timeUnits[item.unit ?? 'millisecond'];
      const check = within(path, -(2n ** 63n), 2n ** 63n - 1n);
      const logical_type = { type: 'TIMESTAMP', isAdjustedToUTC: true, unit } as const;
      return leaf({ type: 'INT64', logical_type }, (value) => check((value as bigint) * factor));
    }
    case 'list':
      return listColumn(item, name, path);
    case 'struct':
      return structColumn(item, name, path);
  }
}

const within =
  (path: string, min: bigint, max: bigint): Convert =>
  (value) => {
    if ((value as bigint) >= min && (value as bigint) <= max) return value;
    throw badRow(path, 'does not fit into 64 bits');
  };

const wellFormed =
  (path: string): Convert =>
  (value) => {
    if ((value as string).isWellFormed()) return value;
    throw badRow(path, 'holds half a surrogate pair, which UTF-8 cannot write');
  };

/** Sixteen bytes hold 38 digits. */
function decimalColumn(
  { precision = 38, scale = 0 }: ListItem,
  leaf: (more: Partial<SchemaElement>, convert: Convert) => Column,
  path: string,
): Column {
  const element = {
    type: 'FIXED_LEN_BYTE_ARRAY',
    type_length: 16,
    converted_type: 'DECIMAL',
    precision,
    scale,
  } as const;
  const limit = 10n ** BigInt(precision);
  return leaf(element, (value) => {
    const [, sign, whole = '', fraction = ''] = /^([+-]?)(\d*)\.?(\d*)$/.exec(value as string) ?? [];
    const kept = fraction.padEnd(scale, '0');
    if (sign === undefined || /[1-9]/.test(kept.slice(scale)))
      throw badRow(path, `has more than ${scale} digits after the point`);
    const digits = BigInt(`${whole}${kept.slice(0, scale)}` || '0');
    if (digits >= limit) throw badRow(path, `has more than ${precision} digits`);
    return sign === '-' ? -digits : digits;
  });
}

function listColumn({ items, required }: ListItem, name: string, path: string): Column {
  const inner = columnOf(items as ListItem, 'element', `${path}/*`);
  return {
    elements: [
      {
        name,
        repetition_type: required ? 'REQUIRED' : 'OPTIONAL',
        converted_type: 'LIST',
        logical_type: { type: 'LIST' },
        num_children: 1,
      },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
      ...inner.elements,
    ],
    convert: (value) => (value as Value[]).map(inner.convert),
  };
}

function structColumn({ fields = [], required }: ListItem, name: string, path: string): Column {
  const members = fields.map((field) => ({
    get: getterOf(field.name),
    set: setterOf(field.name),
    ...columnOf(field, field.name, pathOf(path, field.name)),
  }));
  return {
    elements: [
      { name, repetition_type: required ? 'REQUIRED' : 'OPTIONAL', num_children: members.length },
      ...members.flatMap(({ elements }) => elements),
    ],
    convert(value) {
      const row: Row = {};
      for (const { get, set, convert } of members)
        set(row, convert((get(value as Row) ?? null) as Value) as Value);
      return row;
    },
  };
}

const codecs = { uncompressed: 'UNCOMPRESSED', snappy: 'SNAPPY', gzip: 'GZIP', zstd: 'ZSTD' } as const;
const compressors = {
  GZIP: (data: Uint8Array) => gzipSync(data),
  ZSTD: (data: Uint8Array) => zstdCompressSync(data),
};
const defaultGroupBytes = 128 * 1024 * 1024;

export function parquetFile({ format, fields = [] }: ConnectionSchema): () => FileContent {
  const { compression = 'zstd', row_group_bytes: groupBytes } = format?.type === 'parquet' ? format : {};
  const columns = messageFields(fields).map((field: Field) => ({
    name: field.name,
    get: getterOf(field.name),
    ...columnOf(field, field.name, pathOf('', field.name)),
  }));
  const root: SchemaElement = { name: 'root', num_children: columns.length };
  const schema = [root, ...columns.flatMap(({ elements }) => elements)];
  return () => {
    const data = columns.map((): unknown[] => []);
    let rows = 0;
    let bytes = 0;
    return {
      add({ row }) {
        const values = columns.map(({ get, convert }) => convert((get(row) ?? null) as Value));
        for (const [index, value] of values.entries()) data[index]?.push(value);
        const size = valueSize(row).bytes + 8 * columns.length;
        rows += 1;
        bytes += size;
        return size;
      },
      async finish() {
        const groups = Math.max(1, Math.ceil(bytes / (groupBytes ?? defaultGroupBytes)));
        const file = parquetWriteBuffer({
          columnData: columns.map(({ name }, index) => ({ name, data: data[index] ?? [] })),
          schema,
          codec: codecs[compression],
          compressors,
          rowGroupSize: Math.max(1, Math.ceil(rows / groups)),
          createdBy: 'penstock',
        });
        return [Buffer.from(file)];
      },
    };
  };
}
