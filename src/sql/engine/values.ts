import {
  DuckDBBlobValue,
  type DuckDBDecimalType,
  DuckDBDecimalValue,
  type DuckDBListType,
  DuckDBListValue,
  type DuckDBStructType,
  DuckDBStructValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampValue,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBValue,
} from '@duckdb/node-api';
import type { Row, Value } from '../../formats/format.ts';
import type { Field, ListItem } from '../../formats/schema/schema.ts';
import { unitOf } from '../../formats/schema/sql-type.ts';
import { formatDecimal, unscaledDecimal } from '../../formats/values/decimal.ts';
import { getterOf, setterOf } from '../../formats/values/own-property.ts';
import { typesByEngineName } from '../field-types.ts';

/** The type of a field that holds the values of a DuckDB type without loss; undefined if there is none. */
export function fieldTypeOf(type: DuckDBType): ListItem | undefined {
  switch (type.typeId) {
    case DuckDBTypeId.VARCHAR:
      return { type: type.alias === 'JSON' ? 'json' : 'string' };
    case DuckDBTypeId.DECIMAL: {
      const { width, scale } = type as DuckDBDecimalType;
      return { type: 'decimal128', precision: width, scale };
    }
    case DuckDBTypeId.LIST: {
      const items = fieldTypeOf((type as DuckDBListType).valueType);
      return items && { type: 'list', items: { name: 'item', ...items } };
    }
    case DuckDBTypeId.STRUCT:
      return structTypeOf(type as DuckDBStructType);
    default:
      return typesByEngineName.get(DuckDBTypeId[type.typeId]);
  }
}

function structTypeOf({ entryNames, entryTypes }: DuckDBStructType): ListItem | undefined {
  const fields: Field[] = [];
  for (const [index, name] of entryNames.entries()) {
    const member = entryTypes[index];
    const type = member && fieldTypeOf(member);
    if (!type || name === '') return undefined;
    fields.push({ ...type, name });
  }
  return { type: 'struct', fields };
}

export type Column = ReturnType<typeof columnOf>;

export function columnOf(field: Field) {
  return { get: getterOf(field.name), set: setterOf(field.name), ...converterOf(field) };
}

/** The row of an index of a result. */
export function rowAt(
  fields: readonly Column[],
  columns: readonly (readonly DuckDBValue[])[],
  index: number,
): Row {
  const row: Row = {};
  fields.forEach(({ set, fromEngine }, column) => {
    set(row, fromEngine(columns[column]?.[index] ?? null));
  });
  return row;
}

/** Converts the values of one field between rows and DuckDB, without loss. */
interface ValueConverter {
  toEngine(value: Value): DuckDBValue;
  fromEngine(value: DuckDBValue): Value;
}

export function converterOf(type: ListItem): ValueConverter {
  const { toEngine, fromEngine } = notNull(type);
  return {
    toEngine: (value) => (value === null || value === undefined ? null : toEngine(value)),
    fromEngine: (value) => (value === null ? null : fromEngine(value)),
  };
}

function notNull(type: ListItem): ValueConverter {
  switch (type.type) {
    case 'bytes':
      return bytes;
    case 'decimal128':
      return decimal(type.precision ?? 38, type.scale ?? 0);
    case 'timestamp':
      return timestamps[unitOf(type)];
    case 'list':
      return list(converterOf(type.items ?? { type: 'string' }));
    case 'struct':
      return struct(type.fields ?? []);
    default:
      return { toEngine: (value) => value as DuckDBValue, fromEngine: (value) => value as Value };
  }
}

const bytes: ValueConverter = {
  toEngine: (value) => new DuckDBBlobValue(value as Buffer),
  fromEngine: (value) => Buffer.from((value as DuckDBBlobValue).bytes),
};

const decimal = (precision: number, scale: number): ValueConverter => ({
  toEngine: (value) => new DuckDBDecimalValue(unscaledDecimal(value as string), precision, scale),
  fromEngine: (value) => formatDecimal((value as DuckDBDecimalValue).value, scale),
});

/** The converter of a DuckDB timestamp class that has its count in `property`. */
function timestamp(type: new (count: bigint) => DuckDBValue & object, property: string): ValueConverter {
  return {
    toEngine: (value) => new type(value as bigint),
    fromEngine: (value) => (value as unknown as Record<string, bigint>)[property] as bigint,
  };
}

const timestamps: Readonly<Record<NonNullable<ListItem['unit']>, ValueConverter>> = {
  second: timestamp(DuckDBTimestampSecondsValue, 'seconds'),
  millisecond: timestamp(DuckDBTimestampMillisecondsValue, 'millis'),
  microsecond: timestamp(DuckDBTimestampValue, 'micros'),
  nanosecond: timestamp(DuckDBTimestampNanosecondsValue, 'nanos'),
};

const list = ({ toEngine, fromEngine }: ValueConverter): ValueConverter => ({
  toEngine: (value) => new DuckDBListValue((value as Value[]).map(toEngine)),
  fromEngine: (value) => (value as DuckDBListValue).items.map(fromEngine),
});

function struct(fields: readonly Field[]): ValueConverter {
  const members = fields.map((field) => ({
    name: field.name,
    get: getterOf(field.name),
    set: setterOf(field.name),
    ...converterOf(field),
  }));
  return {
    toEngine(value) {
      const entries = members.map(({ name, get, toEngine }) => [name, toEngine(get(value as Row) as Value)]);
      return new DuckDBStructValue(Object.fromEntries(entries) as Record<string, DuckDBValue>);
    },
    fromEngine(value) {
      const row: Row = {};
      const { entries } = value as DuckDBStructValue;
      for (const { get, set, fromEngine } of members)
        set(row, fromEngine((get(entries) ?? null) as DuckDBValue));
      return row;
    },
  };
}
