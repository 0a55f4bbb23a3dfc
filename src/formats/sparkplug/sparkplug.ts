import type { FieldError } from '../../errors.ts';
import type { FormatDefinition, Row, Value } from '../format.ts';
import { onlyRow } from '../framing.ts';
import { rowWriter } from '../protobuf/write.ts';
import { type Field, isMetadata, messageFields } from '../schema/schema.ts';
import { sqlType } from '../schema/sql-type.ts';
import { badRow, pathOf } from '../values/bad.ts';
import { columns, type Datatype, datatypes, messageTypes } from './payload.ts';
import { metricsReader } from './read.ts';

/**
 * Eclipse Sparkplug B: a payload has one row for each of its metrics, with columns from a fixed list. Aliases are not
 * resolved: their meaning is in the BIRTH of the same connection, and a codec keeps no state.
 */
export const sparkplugB: FormatDefinition<'sparkplug_b'> = {
  type: 'sparkplug_b',
  validate({ fields = [] }): FieldError[] {
    const names = [...columns.keys()].join(', ');
    return fields.flatMap((field, index) => {
      if (isMetadata(field)) return [];
      const column = columns.get(field.name);
      if (!column) {
        const message = `Sparkplug B has no ${field.name}: a metric has ${names}`;
        return [{ path: `/fields/${index}/name`, message }];
      }
      if (sqlType(column) === sqlType(field)) return [];
      const message = `${field.name} is ${sqlType(column)} in Sparkplug B`;
      return [{ path: `/fields/${index}/type`, message }];
    });
  },
  codec({ fields = [] }) {
    const decodeAll = metricsReader(fields);
    return {
      decodeAll,
      decode: (payload) => onlyRow(decodeAll(payload)),
      encode: metricWriter(fields),
    };
  },
};

/** The datatype of a value when the row does not say it. */
const datatypeOfColumn: Readonly<Record<string, string>> = {
  int_value: 'Int64',
  uint64_value: 'UInt64',
  double_value: 'Double',
  bool_value: 'Boolean',
  string_value: 'String',
  time_value: 'DateTime',
  bytes_value: 'Bytes',
};

/** Columns that are put together from others when read, or have no one way back. */
const readOnly = ['value', 'raw_value', 'properties', 'metadata'] as const;

/** Compiles the writer of a row: a payload with one metric. Throws `bad_row`. */
function metricWriter(fields: readonly Field[]): (row: Row) => Buffer {
  const { payload } = messageTypes();
  const writePayload = rowWriter(payload.type, payload.fields);
  const kept = messageFields(fields);
  const names = new Set(kept.map(({ name }) => name));
  const required = kept.filter((field) => field.required).map(({ name }) => name);
  return (row) => {
    const get = (name: string): Value => (names.has(name) ? (row[name] ?? null) : null);
    for (const name of required)
      if (get(name) === null) throw badRow(pathOf('', name), 'is required but null');
    for (const name of readOnly) {
      if (get(name) !== null) throw badRow(pathOf('', name), 'can only be read; use the column of its type');
    }
    return writePayload(payloadOf(get));
  };
}

function payloadOf(get: (name: string) => Value): Row {
  const metric: Row = {};
  for (const name of ['name', 'alias']) metric[name] = get(name);
  for (const name of ['is_historical', 'is_transient']) metric[name] = get(name) === false ? null : get(name);
  if (metric.name === null && metric.alias === null)
    throw badRow('/name', 'is null, and so is alias: a metric needs one of them');
  metric.timestamp = timeOf(get('timestamp'), '/timestamp');
  setValue(metric, get);
  return {
    timestamp: timeOf(get('payload_timestamp'), '/payload_timestamp') ?? metric.timestamp,
    metrics: [metric],
    seq: get('payload_seq'),
    uuid: get('payload_uuid'),
    body: get('payload_body'),
  };
}

function setValue(metric: Row, get: (name: string) => Value): void {
  const [column, ...more] = Object.keys(datatypeOfColumn).filter((name) => get(name) !== null);
  if (more.length > 0) throw badRow(pathOf('', more[0] as string), 'is a second value: a metric has one');
  const datatype = datatypeOf(get('datatype'), column);
  metric.datatype = datatype ? datatypes.indexOf(datatype) : null;
  if (column === undefined || !datatype) {
    metric.is_null = true;
    return;
  }
  if (get('is_null') === true) throw badRow('/is_null', 'is true although there is a value');
  if (datatype.column !== column)
    throw badRow(
      pathOf('', column),
      `is not where ${datatype.name} has its value: that is ${datatype.column}`,
    );
  metric[datatype.member] = memberOf(get(column), datatype, column);
}

function datatypeOf(name: Value, column: string | undefined): Datatype | undefined {
  const wanted = name ?? (column === undefined ? null : (datatypeOfColumn[column] as string));
  if (wanted === null) return undefined;
  const found = datatypes.find((datatype) => datatype?.name === wanted);
  if (!found) throw badRow('/datatype', 'is not a datatype of Sparkplug B');
  return found;
}

/** Signed integers are written as two's complement in an unsigned one. */
function memberOf(value: Value, { bits, signed, member, name }: Datatype, column: string): Value {
  const path = pathOf('', column);
  if (column === 'time_value') return timeOf(value, path);
  if (bits === undefined) return value;
  if (typeof value !== 'bigint') throw badRow(path, 'is not a whole number');
  const fitting = signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
  if (fitting !== value) throw badRow(path, `is out of the range of ${name}`);
  return member === 'long_value' ? BigInt.asUintN(64, value) : Number(BigInt.asUintN(32, value));
}

function timeOf(value: Value, path: string): bigint | null {
  if (value === null) return null;
  if (typeof value !== 'bigint' || value < 0n || value >= 2n ** 63n)
    throw badRow(path, 'is not a time since 1970');
  return value;
}
