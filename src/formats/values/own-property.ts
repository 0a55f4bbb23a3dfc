import type { Row, Value } from '../format.ts';

/**
 * Columns are named by users, so one may be called `__proto__` or `constructor`. These make reading and writing such
 * a property harmless, and cost nothing for any other name.
 */

export type GetProperty = (object: object) => unknown;
type SetProperty = (row: Row, value: Value) => void;

export function getterOf(name: string): GetProperty {
  const read = (object: object): unknown => (object as Record<string, unknown>)[name];
  if (!(name in Object.prototype)) return read;
  return (object) => (Object.hasOwn(object, name) ? read(object) : undefined);
}

export function setterOf(name: string): SetProperty {
  if (name !== '__proto__')
    return (row, value) => {
      row[name] = value;
    };
  return (row, value) => {
    Object.defineProperty(row, name, { value, enumerable: true, configurable: true, writable: true });
  };
}
