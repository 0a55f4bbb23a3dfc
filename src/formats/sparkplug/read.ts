import type { Row, Value } from '../format.ts';
import { maxRowsOfMessage } from '../format.ts';
import { rowReader } from '../protobuf/read.ts';
import type { Field } from '../schema/schema.ts';
import { badData, pathOf } from '../values/bad.ts';
import { setterOf } from '../values/own-property.ts';
import { jsonOf } from './json-value.ts';
import { type Datatype, datatypes, payloadFields, payloadType } from './payload.ts';

const readPayload = rowReader(payloadType, payloadFields);

/** A metric: its members, its datatype, and its value in the one column that it belongs to. */
interface Metric {
  payload: Row;
  members: Row;
  datatype: Datatype | undefined;
  column: string | undefined;
  value: Value;
}

/** Compiles the reader of a payload into the rows of its metrics. */
export function metricsReader(fields: readonly Field[]): (payload: Buffer) => Row[] {
  const steps = fields.map((field) => {
    const read = typeof field.metadata_key === 'string' ? () => null : columnReader(field.name);
    return { set: setterOf(field.name), read: field.required ? required(read, field) : read };
  });
  return (bytes) => {
    const payload = readPayload(bytes);
    const metrics = payload.metrics as Row[];
    if (metrics.length > maxRowsOfMessage) throw badData('', `holds more than ${maxRowsOfMessage} rows`);
    return metrics.map((members) => {
      const metric = metricOf(payload, members);
      const row: Row = {};
      for (const { set, read } of steps) set(row, read(metric));
      return row;
    });
  };
}

function required(read: (metric: Metric) => Value, field: Field): (metric: Metric) => Value {
  if (typeof field.metadata_key === 'string') return read;
  return (metric) => {
    const value = read(metric);
    if (value === null) throw badData(pathOf('', field.name), 'is required but missing');
    return value;
  };
}

const valueMembers = [
  'int_value',
  'long_value',
  'float_value',
  'double_value',
  'boolean_value',
  'string_value',
  'bytes_value',
  'dataset_value',
  'template_value',
] as const;

/** Without a datatype, which only a BIRTH has to bring, the member says what it can: its integers are unsigned. */
const withoutDatatype: Readonly<Record<string, string>> = {
  int_value: 'int_value',
  long_value: 'uint64_value',
  float_value: 'double_value',
  double_value: 'double_value',
  boolean_value: 'bool_value',
  string_value: 'string_value',
  bytes_value: 'bytes_value',
  dataset_value: 'value',
  template_value: 'value',
};

function metricOf(payload: Row, members: Row): Metric {
  const number = members.datatype as number | null;
  const datatype = number === null ? undefined : datatypes[number];
  const metric: Metric = { payload, members, datatype, column: undefined, value: null };
  const member = valueMembers.find((name) => members[name] !== null);
  if (member === undefined || members.is_null === true) return metric;
  if (datatype && datatype.member !== member) {
    throw badData('/value', `is not in the member that ${datatype.name} has it in`);
  }
  metric.column = datatype?.column ?? (withoutDatatype[member] as string);
  metric.value = columnValue(members[member] as Value, metric.column, datatype);
  return metric;
}

/** Signed integers come as two's complement in an unsigned one. */
function columnValue(value: Value, column: string, datatype: Datatype | undefined): Value {
  if (column === 'time_value') return BigInt.asIntN(64, value as bigint);
  if (column !== 'int_value') return value;
  if (!datatype?.bits) return BigInt(value as number);
  const { bits, signed } = datatype;
  return signed
    ? BigInt.asIntN(bits, BigInt(value as number))
    : BigInt.asUintN(bits, BigInt(value as number));
}

function columnReader(name: string): (metric: Metric) => Value {
  switch (name) {
    case 'timestamp':
      return ({ members, payload }) => timeOf(members.timestamp ?? payload.timestamp ?? null);
    case 'datatype':
      return ({ members, datatype }) =>
        datatype?.name ?? (members.datatype === null ? null : String(members.datatype));
    case 'is_historical':
    case 'is_transient':
    case 'is_null':
      return ({ members }) => members[name] ?? false;
    case 'value':
      return ({ value, column, datatype }) => jsonOf(value, column ?? '', datatype);
    case 'name':
    case 'alias':
    case 'properties':
    case 'metadata':
      return ({ members }) => members[name] ?? null;
    case 'payload_timestamp':
      return ({ payload }) => timeOf(payload.timestamp ?? null);
    case 'payload_seq':
    case 'payload_uuid':
    case 'payload_body': {
      const member = name.slice('payload_'.length);
      return ({ payload }) => payload[member] ?? null;
    }
    default:
      return ({ column, value }) => (column === name ? value : null);
  }
}

function timeOf(value: Value): Value {
  return typeof value === 'bigint' ? BigInt.asIntN(64, value) : null;
}
