import type { Value } from '../../formats/format.ts';
import { formatDecimal, unscaledDecimal } from '../../formats/values/decimal.ts';
import type { EngineType } from './engine-type.ts';

/** From a value as rows hold it to one as expressions do; undefined when they are the same. */
export function fromRow({ id }: EngineType): ((value: Value) => Value) | undefined {
  if (id !== 'DECIMAL') return undefined;
  return (value) => (value === null ? null : unscaledDecimal(value as string));
}

/** From a value as expressions hold it to one as rows do. */
export function toRow({ id, scale }: EngineType): ((value: Value) => Value) | undefined {
  if (id !== 'DECIMAL') return undefined;
  return (value) => (value === null ? null : formatDecimal(value as bigint, scale));
}
