import type { Value } from '../format.ts';
import { numberText } from '../json/json-text.ts';
import type { ListItem } from '../schema/schema.ts';
import { badRow } from '../values/bad.ts';
import { parseDecimal } from '../values/decimal.ts';
import { parseTimestamp } from '../values/timestamp.ts';
import { timeUnitOf } from './fields.ts';
import type { AvroType } from './schema.ts';

/** Whether a JSON value is of the kind that a type takes: what chooses the branch of a union. */
export function takesJson(type: AvroType, value: unknown): boolean {
  const number = numberText(value);
  const logical = 'logical' in type ? type.logical?.name : undefined;
  if (timeUnitOf(type)) return typeof value === 'string';
  if (logical === 'decimal') return number !== undefined;
  if (logical === 'json') return true;
  switch (type.kind) {
    case 'null':
      return value === null;
    case 'boolean':
      return typeof value === 'boolean';
    case 'int':
    case 'long':
      return number !== undefined && inRange(number, type.kind === 'int' ? 32 : 64);
    case 'float':
    case 'double':
      return number !== undefined;
    case 'bytes':
    case 'fixed':
    case 'string':
      return typeof value === 'string';
    case 'enum':
      return type.symbols.includes(value as string);
    case 'union':
      return type.types.some((branch) => takesJson(branch, value));
    case 'array':
      return Array.isArray(value);
    default:
      return typeof value === 'object' && value !== null && !Array.isArray(value) && number === undefined;
  }
}

function inRange(text: string, bits: number): boolean {
  return /^-?\d{1,20}$/.test(text) && BigInt.asIntN(bits, BigInt(text)) === BigInt(text);
}

/** The JSON value of a type without members as the column that the schema would give it, and that column's value. */
export function columnOf(type: AvroType, value: unknown, path: string): [ListItem, Value] {
  const text = typeof value === 'string' ? value : (numberText(value) ?? '');
  const unit = timeUnitOf(type);
  if (unit) {
    const time = parseTimestamp(text, unit);
    if (time === undefined) throw badRow(path, 'is not an RFC 3339 time');
    return [{ type: 'timestamp', unit }, time];
  }
  const logical = 'logical' in type ? type.logical : undefined;
  if (logical?.name === 'decimal') {
    const { precision = 38, scale = 0 } = logical;
    const decimal = parseDecimal(text, precision, scale);
    if (decimal === undefined) throw badRow(path, 'does not fit the decimal of the Avro schema');
    return [{ type: 'decimal128', precision, scale }, decimal];
  }
  if (logical?.name === 'json') return [{ type: 'string' }, JSON.stringify(value)];
  switch (type.kind) {
    case 'boolean':
      return [{ type: 'bool' }, value as boolean];
    case 'int':
      return [{ type: 'int32' }, Number(text)];
    case 'long':
      return [{ type: 'int64' }, BigInt(text)];
    case 'float':
    case 'double':
      return [{ type: type.kind === 'float' ? 'float32' : 'float64' }, Number(text)];
    case 'bytes':
    case 'fixed':
      if (logical) return [{ type: 'string' }, text];
      return [{ type: 'bytes' }, Buffer.from(text, 'base64')];
    default:
      return [{ type: 'string' }, text];
  }
}
