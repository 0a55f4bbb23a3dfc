import type { Row, Value } from '../format.ts';

/** How large a value is. */
export interface Size {
  /** Bytes of the texts and blobs in the value. */
  bytes: number;
  /** Number of list elements, those of nested lists included. */
  count: number;
}

export const noSize: Size = { bytes: 0, count: 0 };

export const addUp = (sizes: readonly Size[]): Size => ({
  bytes: sizes.reduce((sum, { bytes }) => sum + bytes, 0),
  count: sizes.reduce((sum, { count }) => sum + count, 0),
});

export function valueSize(value: Value): Size {
  if (typeof value === 'string') return { bytes: Buffer.byteLength(value), count: 0 };
  if (typeof value !== 'object' || value === null) return noSize;
  if (value instanceof Uint8Array) return { bytes: value.byteLength, count: 0 };
  if (!Array.isArray(value))
    return addUp(Object.values(value as Row).map((member) => valueSize(member as Value)));
  const { bytes, count } = addUp(value.map((item) => valueSize(item as Value)));
  return { bytes, count: count + value.length };
}
