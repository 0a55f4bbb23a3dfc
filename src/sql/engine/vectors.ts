import {
  BIGINT,
  BLOB,
  BOOLEAN,
  DECIMAL,
  DOUBLE,
  DuckDBBlobValue,
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBStructValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampValue,
  type DuckDBType,
  type DuckDBValue,
  FLOAT,
  INTEGER,
  LIST,
  STRUCT,
  TIMESTAMP,
  TIMESTAMP_MS,
  TIMESTAMP_NS,
  TIMESTAMP_S,
  UBIGINT,
  UINTEGER,
  VARCHAR,
} from '@duckdb/node-api';
import type { Row, Value } from '../../formats/format.ts';
import type { ListItem } from '../../formats/schema/schema.ts';
import { formatDecimal, unscaledDecimal } from '../../formats/values/decimal.ts';
import { getterOf, setterOf } from '../../formats/values/own-property.ts';

/** Carries the values of one field between rows and DuckDB, exactly. */
export interface Vector {
  type: DuckDBType;
  toEngine(value: Value): DuckDBValue;
  fromEngine(value: DuckDBValue): Value;
}

const plainTypes = {
  int32: INTEGER,
  int64: BIGINT,
  uint32: UINTEGER,
  uint64: UBIGINT,
  float32: FLOAT,
  float64: DOUBLE,
  bool: BOOLEAN,
  string: VARCHAR,
  json: VARCHAR,
} as const;

/** The vector of a field, a member or the items of a list. */
export function vectorOf(type: ListItem): Vector {
  const vector = notNull(type);
  return {
    type: vector.type,
    toEngine: (value) => (value === null || value === undefined ? null : vector.toEngine(value)),
    fromEngine: (value) => (value === null ? null : vector.fromEngine(value)),
  };
}

function notNull(type: ListItem): Vector {
  switch (type.type) {
    case 'bytes':
      return bytesVector;
    case 'decimal128':
      return decimalVector(type.precision ?? 38, type.scale ?? 0);
    case 'timestamp':
      return timestampVectors[type.unit ?? 'millisecond'];
    case 'list':
      return listVector(vectorOf(type.items ?? { type: 'string' }));
    case 'struct':
      return structVector(type);
    default:
      return {
        type: plainTypes[type.type],
        toEngine: (value) => value as DuckDBValue,
        fromEngine: (value) => value as Value,
      };
  }
}

const bytesVector: Vector = {
  type: BLOB,
  toEngine: (value) => new DuckDBBlobValue(value as Buffer),
  fromEngine: (value) => Buffer.from((value as DuckDBBlobValue).bytes),
};

function decimalVector(precision: number, scale: number): Vector {
  return {
    type: DECIMAL(precision, scale),
    toEngine: (value) => new DuckDBDecimalValue(unscaledDecimal(value as string), precision, scale),
    fromEngine: (value) => formatDecimal((value as DuckDBDecimalValue).value, scale),
  };
}

const timestampVectors: Readonly<Record<NonNullable<ListItem['unit']>, Vector>> = {
  second: {
    type: TIMESTAMP_S,
    toEngine: (value) => new DuckDBTimestampSecondsValue(value as bigint),
    fromEngine: (value) => (value as DuckDBTimestampSecondsValue).seconds,
  },
  millisecond: {
    type: TIMESTAMP_MS,
    toEngine: (value) => new DuckDBTimestampMillisecondsValue(value as bigint),
    fromEngine: (value) => (value as DuckDBTimestampMillisecondsValue).millis,
  },
  microsecond: {
    type: TIMESTAMP,
    toEngine: (value) => new DuckDBTimestampValue(value as bigint),
    fromEngine: (value) => (value as DuckDBTimestampValue).micros,
  },
  nanosecond: {
    type: TIMESTAMP_NS,
    toEngine: (value) => new DuckDBTimestampNanosecondsValue(value as bigint),
    fromEngine: (value) => (value as DuckDBTimestampNanosecondsValue).nanos,
  },
};

function listVector(items: Vector): Vector {
  return {
    type: LIST(items.type),
    toEngine: (value) => new DuckDBListValue((value as Value[]).map((item) => items.toEngine(item))),
    fromEngine: (value) => (value as DuckDBListValue).items.map((item) => items.fromEngine(item)),
  };
}

function structVector(type: ListItem): Vector {
  const members = (type.fields ?? []).map(({ name, ...rest }) => ({
    name,
    get: getterOf(name),
    set: setterOf(name),
    vector: vectorOf(rest),
  }));
  return {
    type: STRUCT(Object.fromEntries(members.map(({ name, vector }) => [name, vector.type]))),
    toEngine(value) {
      const entries = members.map(({ name, get, vector }) => [
        name,
        vector.toEngine(get(value as Row) as Value),
      ]);
      return new DuckDBStructValue(Object.fromEntries(entries) as Record<string, DuckDBValue>);
    },
    fromEngine(value) {
      const row: Row = {};
      const { entries } = value as DuckDBStructValue;
      for (const { get, set, vector } of members)
        set(row, vector.fromEngine((get(entries) ?? null) as DuckDBValue));
      return row;
    },
  };
}
