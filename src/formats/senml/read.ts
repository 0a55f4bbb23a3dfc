import { Tag } from 'cbor-x/encode';
import { PenstockError } from '../../errors.ts';
import { decimalText } from '../cbor/cbor.ts';
import { type BadRowHandler, maxRowsOfMessage, type Row, type Value } from '../format.ts';
import { numberText } from '../json/text.ts';
import { type Field, isMetadata } from '../schema/schema.ts';
import { unitOf } from '../schema/sql-type.ts';
import { badData, pathOf } from '../values/bad.ts';
import { bytesOfBase64 } from '../values/base64.ts';
import { formatDecimal, parseDecimal, unscaledDecimal } from '../values/decimal.ts';
import { decimalFrom } from '../values/read.ts';
import { rowFromSequence } from '../values/row.ts';
import { convertTimestamp } from '../values/timestamp.ts';
import { labels } from './labels.ts';

/** A record with the base values of its pack added (RFC 8428, section 4.6). Numbers are texts, exact. */
interface Resolved {
  name: string;
  unit: string | null;
  /** Nanoseconds since 1970. */
  time: bigint;
  isRelative: boolean;
  value: string | null;
  text: string | null;
  flag: boolean | null;
  data: Buffer | null;
  sum: string | null;
  updateTime: string | null;
}

type Base = Record<'bn' | 'bt' | 'bu' | 'bv' | 'bs', string | undefined>;
type SenmlRecord = Readonly<Record<string, unknown>>;

/** Compiles the reader of a parsed pack. A record that cannot be read costs its own row. */
export function packReader(fields: readonly Field[]): (pack: unknown, bad?: BadRowHandler) => Row[] {
  const make = rowFromSequence<Resolved>(
    fields.map((field) => ({ name: field.name, read: columnReader(field) })),
  );
  return (pack, bad) => {
    if (!Array.isArray(pack)) throw badData('', 'is not a SenML pack, a list of records');
    if (pack.length > maxRowsOfMessage) throw badData('', `holds more than ${maxRowsOfMessage} records`);
    const base: Base = { bn: undefined, bt: undefined, bu: undefined, bv: undefined, bs: undefined };
    const now = BigInt(Date.now()) * 1_000_000n;
    const rows: Row[] = [];
    let failed = 0;
    for (const [index, found] of pack.entries()) {
      const record = recordOf(found, index);
      setBase(base, record, index);
      if (Object.keys(record).every((label) => label.startsWith('b'))) continue;
      try {
        rows.push(make(resolve(record, base, now)));
      } catch (error) {
        const named = inRecord(error, index);
        if (!bad) throw named;
        bad(named, rows.length + failed);
        failed += 1;
      }
    }
    return rows;
  };
}

/** Names the record in an error. */
function inRecord(error: unknown, index: number): PenstockError {
  if (!(error instanceof PenstockError) || error.code !== 'bad_data') throw error;
  const { message, errors, facts } = error;
  return new PenstockError('bad_data', `Record ${index + 1}: ${message}`, {
    errors,
    facts: { ...facts, record: index + 1 },
  });
}

/** The members of a record by their labels in JSON. In CBOR those of SenML are numbers. */
function recordOf(found: unknown, index: number): SenmlRecord {
  const isObject = typeof found === 'object' && found !== null && !Array.isArray(found);
  if (!isObject || Object.getPrototypeOf(found) !== Object.prototype || numberText(found) !== undefined)
    throw inRecord(badData('', 'is not a record'), index);
  return Object.fromEntries(
    Object.entries(found).map(([label, value]) => [labels.get(label) ?? label, value]),
  );
}

/** The newest version of SenML (RFC 8428, section 4.4). */
const version = 10;

/** Base values count for this record and those after it, so that a wrong one costs the pack. */
function setBase(base: Base, record: SenmlRecord, index: number): void {
  try {
    if (Number(numberOf(record, 'bver') ?? version) > version)
      throw badData('/bver', `is a newer version of SenML than ${version}`);
    for (const label of ['bn', 'bu'] as const) base[label] = textOf(record, label) ?? base[label];
    for (const label of ['bt', 'bv', 'bs'] as const) base[label] = numberOf(record, label) ?? base[label];
  } catch (error) {
    throw inRecord(error, index);
  }
}

/** Times below are relative to now (RFC 8428, section 4.5.3): 2^28 seconds. */
const absolute = 2n ** 28n * 1_000_000_000n;

function resolve(record: SenmlRecord, base: Base, now: bigint): Resolved {
  const unknown = Object.keys(record).find((label) => label.endsWith('_'));
  if (unknown !== undefined)
    throw badData('', 'has a label that ends with _, which a reader has to understand');
  const name = (base.bn ?? '') + (textOf(record, 'n') ?? '');
  if (name === '') throw badData('/n', 'is required, or bn: a record needs a name');
  const given = ['v', 'vs', 'vb', 'vd'].filter((label) => record[label] !== undefined);
  const sum = numberOf(record, 's') ?? (base.bs === undefined ? undefined : '0');
  if (given.length > 1) throw badData(`/${given[1]}`, 'is a second value: a record has one');
  if (given.length === 0 && sum === undefined) throw badData('', 'has no value: one of v, vs, vb, vd and s');
  const value = numberOf(record, 'v');
  const time = nanosecondsOf(sumOf(base.bt ?? '0', numberOf(record, 't') ?? '0'));
  const isRelative = time < absolute;
  return {
    name,
    unit: textOf(record, 'u') ?? base.bu ?? null,
    time: isRelative ? now + time : time,
    isRelative,
    value: value === undefined ? null : sumOf(base.bv ?? '0', value),
    text: textOf(record, 'vs') ?? null,
    flag: flagOf(record),
    data: dataOf(record.vd),
    sum: sum === undefined ? null : sumOf(base.bs ?? '0', sum),
    updateTime: numberOf(record, 'ut') ?? null,
  };
}

function textOf(record: SenmlRecord, label: string): string | undefined {
  const value = record[label];
  if (value === undefined || typeof value === 'string') return value;
  throw badData(`/${label}`, 'is not a string');
}

function flagOf({ vb }: SenmlRecord): boolean | null {
  if (vb === undefined || typeof vb === 'boolean') return vb ?? null;
  throw badData('/vb', 'is not true or false');
}

/** Base64 in JSON, bytes in CBOR. */
function dataOf(value: unknown): Buffer | null {
  if (value === undefined || Buffer.isBuffer(value)) return value ?? null;
  const bytes = typeof value === 'string' ? bytesOfBase64(value) : undefined;
  if (!bytes) throw badData('/vd', 'is neither bytes nor base64');
  return bytes;
}

function numberOf(record: SenmlRecord, label: string): string | undefined {
  const value = record[label];
  if (value === undefined) return undefined;
  const text =
    typeof value === 'bigint' ? String(value) : value instanceof Tag ? decimalText(value) : numberText(value);
  if (text === undefined || !decimal.test(text)) throw badData(`/${label}`, 'is not a number');
  return text;
}

const decimal = /^(-?\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,9}))?$/;
const maxExponent = 400;

/** Adds two numbers without losing a digit; as doubles if they are further apart than any measurement. */
function sumOf(a: string, b: string): string {
  if (a === '0' || b === '0') return a === '0' ? b : a;
  const parts = [a, b].map((text) => {
    const [, whole = '0', fraction = '', exponent = '0'] = decimal.exec(text) ?? [];
    return { digits: BigInt(whole + fraction), exponent: Number(exponent) - fraction.length };
  });
  if (parts.some(({ exponent }) => Math.abs(exponent) > maxExponent)) return String(Number(a) + Number(b));
  const least = Math.min(0, ...parts.map(({ exponent }) => exponent));
  const total = parts.reduce(
    (sum, { digits, exponent }) => sum + digits * 10n ** BigInt(exponent - least),
    0n,
  );
  return formatDecimal(total, -least);
}

function nanosecondsOf(seconds: string): bigint {
  const text = parseDecimal(seconds, 38, 9);
  if (text === undefined) throw badData('/t', 'is out of the range of a time');
  return unscaledDecimal(text);
}

function columnReader(field: Field): (record: Resolved) => Value {
  if (isMetadata(field)) return () => null;
  const path = pathOf('', field.name);
  const read = valueReader(field, path);
  if (!field.required) return read;
  return (record) => {
    const value = read(record);
    if (value === null) throw badData(path, 'is required but missing');
    return value;
  };
}

function valueReader(field: Field, path: string): (record: Resolved) => Value {
  switch (field.name) {
    case 'name':
    case 'unit':
      return (record) => record[field.name as 'name'];
    case 'is_relative':
      return ({ isRelative }) => isRelative;
    case 'string_value':
      return ({ text }) => text;
    case 'bool_value':
      return ({ flag }) => flag;
    case 'data_value':
      return ({ data }) => data;
    case 'time':
      return ({ time }) => {
        const converted = convertTimestamp(time, 'nanosecond', unitOf(field));
        if (converted === undefined || BigInt.asIntN(64, converted) !== converted)
          throw badData(path, 'is out of the range of its timestamp');
        return converted;
      };
    default: {
      const from = ({ value: 'value', sum: 'sum' } as const)[field.name] ?? 'updateTime';
      const read = field.type === 'decimal128' ? decimalFrom(field, path) : floatOf(path);
      return (record) => {
        const text = record[from];
        return text === null ? null : read(text);
      };
    }
  }
}

function floatOf(path: string): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (!Number.isFinite(number)) throw badData(path, 'is out of the range of float64');
    return number;
  };
}
