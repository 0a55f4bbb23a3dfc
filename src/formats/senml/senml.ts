import { isUtf8 } from 'node:buffer';
import type { FieldError } from '../../errors.ts';
import { encodeCbor, parseCbor, writeDecimal } from '../cbor/cbor.ts';
import type { FormatDefinition, Row, Value } from '../format.ts';
import { onlyRow } from '../framing.ts';
import { exactNumber, isShallow, parseExactly, tooDeep } from '../json/text.ts';
import { type Field, type FieldTypeName, isMetadata, messageFields } from '../schema/schema.ts';
import { unitOf } from '../schema/sql-type.ts';
import { badData, badRow, pathOf } from '../values/bad.ts';
import { formatDecimal } from '../values/decimal.ts';
import { timestampToParts } from '../values/timestamp.ts';
import { checkOf } from '../values/write.ts';
import { numbersOfLabels, type SenmlLabel } from './labels.ts';
import { packReader } from './read.ts';

/** Columns that a table may have, with their types and labels. */
const columns: Readonly<Record<string, { types: readonly FieldTypeName[]; label?: SenmlLabel }>> = {
  name: { types: ['string'], label: 'n' },
  unit: { types: ['string'], label: 'u' },
  time: { types: ['timestamp'], label: 't' },
  is_relative: { types: ['bool'] },
  value: { types: ['float64', 'decimal128'], label: 'v' },
  string_value: { types: ['string'], label: 'vs' },
  bool_value: { types: ['bool'], label: 'vb' },
  data_value: { types: ['bytes'], label: 'vd' },
  sum: { types: ['float64', 'decimal128'], label: 's' },
  update_time: { types: ['float64', 'decimal128'], label: 'ut' },
};

/** Sensor Measurement Lists (RFC 8428) in JSON or CBOR: each record of a pack is a row, with its base values added. */
export const senml: FormatDefinition<'senml'> = {
  type: 'senml',
  validate: ({ fields = [] }) => fields.flatMap(validateField),
  codec({ fields = [], format }) {
    const isCbor = format.encoding === 'cbor';
    const parse = isCbor ? parseCbor : parseJson;
    const read = packReader(fields);
    const recordOf = recordWriter(fields, isCbor);
    return {
      decodeAll: (payload, bad) => read(parse(payload), bad),
      decode: (payload) => onlyRow(read(parse(payload))),
      encode(row) {
        const record = recordOf(row);
        return isCbor ? encodeCbor([record]) : Buffer.from(JSON.stringify([Object.fromEntries(record)]));
      },
    };
  },
};

function validateField(field: Field, index: number): FieldError[] {
  if (isMetadata(field)) return [];
  const column = Object.hasOwn(columns, field.name) ? columns[field.name] : undefined;
  if (!column) {
    const message = `SenML has no ${field.name}: a record has ${Object.keys(columns).join(', ')}`;
    return [{ path: `/fields/${index}/name`, message }];
  }
  if (column.types.includes(field.type)) return [];
  return [
    { path: `/fields/${index}/type`, message: `${field.name} is ${column.types.join(' or ')} in SenML` },
  ];
}

function parseJson(payload: Buffer): unknown {
  if (!isUtf8(payload)) throw badData('', 'is not UTF-8 text');
  let document: unknown;
  try {
    document = parseExactly(payload.toString());
  } catch {
    throw badData('', 'is not a JSON document');
  }
  if (!isShallow(document)) throw badData('', tooDeep);
  return document;
}

/** Compiles the writer of a row: a record by its labels, which are numbers in CBOR. */
function recordWriter(
  fields: readonly Field[],
  isCbor: boolean,
): (row: Row) => Map<string | number, unknown> {
  const steps = messageFields(fields).map((field) => {
    const path = pathOf('', field.name);
    const { label } = columns[field.name] as (typeof columns)[string];
    return { field, path, label, write: valueWriter(field, path, isCbor) };
  });
  return (row) => {
    const record = new Map<string | number, unknown>();
    for (const { field, path, label, write } of steps) {
      const value = row[field.name] ?? null;
      if (value === null && field.required) throw badRow(path, 'is required but null');
      if (value === null) continue;
      if (label) record.set(isCbor ? numbersOfLabels[label] : label, write(value));
      else if (value !== false) throw badRow(path, 'can only be read; write the time itself');
    }
    checkRecord(row);
    return record;
  };
}

function checkRecord(row: Row): void {
  if (typeof row.name !== 'string' || row.name === '')
    throw badRow('/name', 'is null or empty: a record needs a name');
  const values = ['value', 'string_value', 'bool_value', 'data_value'];
  const [first, second] = values.filter((name) => (row[name] ?? null) !== null);
  if (second) throw badRow(pathOf('', second), 'is a second value: a record has one');
  if (!first && (row.sum ?? null) === null) throw badRow('', 'has no value, and no sum');
}

function valueWriter(field: Field, path: string, isCbor: boolean): (value: Value) => unknown {
  const number = isCbor ? cborNumber : exactNumber;
  switch (field.type) {
    case 'timestamp': {
      const time = checkOf('timestamp', path);
      return (value) => number(secondsOf(time(value), field, path));
    }
    case 'float64': {
      const check = checkOf('float64', path);
      return (value) => {
        const float = check(value);
        if (Number.isFinite(float)) return float;
        throw badRow(path, 'is not a finite number');
      };
    }
    case 'decimal128': {
      const check = checkOf('decimal128', path);
      return (value) => number(check(value));
    }
    case 'bytes': {
      const check = checkOf('bytes', path);
      return (value) => (isCbor ? check(value) : check(value).toString('base64url'));
    }
    default:
      return checkOf(field.type === 'bool' ? 'bool' : 'string', path);
  }
}

/** As a double where it has the same digits: not every reader takes decimals. */
const cborNumber = (text: string): unknown =>
  String(Number(text)) === text ? Number(text) : writeDecimal(text);

function secondsOf(time: bigint, field: Field, path: string): string {
  const { seconds, nanoseconds } = timestampToParts(time, unitOf(field));
  if (seconds < 2n ** 28n) throw badRow(path, 'is before July 1978, which SenML reads as relative to now');
  return formatDecimal(seconds * 1_000_000_000n + nanoseconds, 9).replace(/\.?0+$/, '');
}
