import { PenstockError } from '../../errors.ts';
import { type BadRowHandler, maxRowsOfMessage, type Row, type Value } from '../format.ts';
import { parseExactly } from '../json/text.ts';
import { rowReader } from '../protobuf/read.ts';
import { type Field, isMetadata } from '../schema/schema.ts';
import { badData, pathOf } from '../values/bad.ts';
import { rowFromSequence } from '../values/row.ts';
import { type Datatype, datatypes, messageTypes } from './payload.ts';
import { integerOf, jsonOf, type PropertySet, propertiesOf } from './values.ts';

function makeReaders() {
  const { payload, metric, split } = messageTypes();
  return {
    readPayload: rowReader(payload.type, payload.fields),
    readSplit: rowReader(split.type, split.fields),
    readMetric: rowReader(metric.type, metric.fields),
  };
}

type Readers = ReturnType<typeof makeReaders>;

interface SparkplugMetric {
  payload: Row;
  members: Row;
  datatype: Datatype | undefined;
  column: string | undefined;
  value: Value;
}

/** Compiles the reader of a payload into the rows of its metrics. A metric that cannot be read costs its own row. */
export function metricsReader(fields: readonly Field[]): (payload: Buffer, bad?: BadRowHandler) => Row[] {
  const make = rowFromSequence<SparkplugMetric>(
    fields.map((field) => ({
      name: field.name,
      read: isMetadata(field) ? () => null : orMissing(columnReader(field.name), field),
    })),
  );
  const readers = makeReaders();
  return (bytes, bad) => {
    const { payload, metrics } = metricsOf(bytes, readers);
    if (metrics.length > maxRowsOfMessage) throw badData('', `holds more than ${maxRowsOfMessage} rows`);
    const rows: Row[] = [];
    for (const [number, metric] of metrics.entries()) {
      let members: Row | undefined;
      try {
        members = Buffer.isBuffer(metric) ? readers.readMetric(metric) : metric;
        rows.push(make(metricOf(payload, members)));
      } catch (error) {
        const named = inMetric(error, number, members);
        if (!bad) throw named;
        bad(named, number);
      }
    }
    return rows;
  };
}

/** The metrics of a payload; as bytes if one of them cannot be read. */
function metricsOf(
  bytes: Buffer,
  { readPayload, readSplit }: Readers,
): { payload: Row; metrics: readonly (Row | Buffer)[] } {
  try {
    const payload = readPayload(bytes);
    return { payload, metrics: payload.metrics as Row[] };
  } catch (error) {
    const payload = splitOf(bytes, readSplit);
    if (!payload) throw error;
    return { payload, metrics: payload.metrics as Buffer[] };
  }
}

function splitOf(bytes: Buffer, readSplit: Readers['readSplit']): Row | undefined {
  try {
    return readSplit(bytes);
  } catch {
    return undefined;
  }
}

/** Names the metric in the error of its row. */
function inMetric(error: unknown, number: number, { name = null, alias = null }: Row = {}): PenstockError {
  if (!(error instanceof PenstockError) || error.code !== 'bad_data') throw error;
  const { message, errors, facts } = error;
  const label =
    typeof name === 'string' ? JSON.stringify(name.slice(0, 100)) : alias === null ? '' : `alias ${alias}`;
  return new PenstockError('bad_data', `Metric ${number + 1}${label && ` (${label})`}: ${message}`, {
    errors,
    facts: { ...facts, metric: number + 1 },
  });
}

function orMissing(
  read: (metric: SparkplugMetric) => Value,
  field: Field,
): (metric: SparkplugMetric) => Value {
  if (!field.required) return read;
  return (metric) => {
    const value = read(metric);
    if (value === null) throw badData(pathOf('', field.name), 'is required but missing');
    return value;
  };
}

/**
 * The column of a value without a datatype, which only a BIRTH must have. Nothing tells whether its integers are signed,
 * or times.
 */
const columnOfMember = {
  int_value: 'raw_value',
  long_value: 'raw_value',
  float_value: 'double_value',
  double_value: 'double_value',
  boolean_value: 'bool_value',
  string_value: 'string_value',
  bytes_value: 'bytes_value',
  dataset_value: 'value',
  template_value: 'value',
} as const;
const valueMembers = Object.keys(columnOfMember) as (keyof typeof columnOfMember)[];

function metricOf(payload: Row, members: Row): SparkplugMetric {
  const number = members.datatype as number | null;
  const datatype = number === null ? undefined : datatypes[number];
  const metric: SparkplugMetric = { payload, members, datatype, column: undefined, value: null };
  const member = valueMembers.find((name) => members[name] !== null);
  if (member === undefined || members.is_null === true) return metric;
  const found = members[member] as Value;
  metric.column = datatype?.column ?? columnOfMember[member];
  if (!datatype) metric.value = metric.column === 'raw_value' ? BigInt(found as number) : found;
  else if (datatype.bits) metric.value = integerOf(found, datatype, '/value');
  else if (isIn(member, datatype))
    metric.value = datatype.name === 'DateTime' ? BigInt.asIntN(64, found as bigint) : found;
  else throw badData('/value', `is in ${member}, where no ${datatype.name} can be`);
  return metric;
}

/** Some nodes write a Float as a double, or the other way round. */
const isIn = (member: string, datatype: Datatype): boolean =>
  datatype.member === member ||
  (datatype.column === 'double_value' && (member === 'float_value' || member === 'double_value'));

function columnReader(name: string): (metric: SparkplugMetric) => Value {
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
    case 'properties':
      return ({ members: { properties = null } }) =>
        properties === null
          ? null
          : JSON.stringify(propertiesOf(parseExactly(properties as string) as PropertySet));
    case 'name':
    case 'alias':
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
