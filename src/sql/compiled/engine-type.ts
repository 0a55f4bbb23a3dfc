import { isDeepStrictEqual } from 'node:util';
import type { Value } from '../../formats/format.ts';
import { formatDecimal, unscaledDecimal } from '../../formats/values/decimal.ts';
import { timestampUnits } from '../field-types.ts';
import { isNode, type TreeNode } from '../parse-tree.ts';

/**
 * A DuckDB type as bound plans write it. Compiled expressions represent its values as follows, and NULL as null.
 *
 * | type | value |
 * | --- | --- |
 * | TINYINT to INTEGER, UTINYINT to UINTEGER, FLOAT, DOUBLE | number |
 * | BIGINT, UBIGINT, HUGEINT | bigint |
 * | DECIMAL | bigint: the digits without the decimal point |
 * | BOOLEAN, VARCHAR, BLOB | boolean, string, Buffer |
 * | DATE | number: days since 1970-01-01 |
 * | TIMESTAMP, _S, _MS, _NS | bigint: counted in the type's unit since 1970 |
 * | INTERVAL | bigint: microseconds; only intervals of days and shorter units |
 * | LIST, STRUCT | as in a `Row`, including decimals inside |
 */
export interface EngineType {
  id: string;
  /** DECIMAL only. */
  width: number;
  scale: number;
  /** LIST only. */
  item?: EngineType;
  /** STRUCT only. */
  members?: readonly { name: string; type: EngineType }[];
  isJson: boolean;
}

export const plainType = (id: string): EngineType => ({ id, width: 0, scale: 0, isJson: false });

/** Reads a type; undefined for one that compiled expressions do not support. */
export function readType(node: unknown): EngineType | undefined {
  if (!isNode(node)) return undefined;
  const info = isNode(node.type_info) ? node.type_info : undefined;
  const type = { ...plainType(String(node.id)), isJson: info?.alias === 'JSON' };
  switch (info?.type) {
    case undefined:
      return type;
    case 'DECIMAL_TYPE_INFO':
      return { ...type, width: Number(info?.width), scale: Number(info?.scale) };
    case 'LIST_TYPE_INFO': {
      const item = readType(info?.child_type);
      return item && { ...type, item };
    }
    case 'STRUCT_TYPE_INFO':
      return readStruct(type, info);
    case 'GENERIC_TYPE_INFO':
      return type.isJson ? type : undefined;
    default:
      // Collations, enums, fixed arrays and new kinds.
      return undefined;
  }
}

function readStruct(type: EngineType, info: TreeNode | undefined): EngineType | undefined {
  const members: { name: string; type: EngineType }[] = [];
  for (const child of Array.isArray(info?.child_types) ? (info.child_types as TreeNode[]) : []) {
    const member = readType(child.second);
    if (!member) return undefined;
    members.push({ name: String(child.first), type: member });
  }
  return { ...type, members };
}

export const isSameEngineType = (one: EngineType, other: EngineType): boolean =>
  isDeepStrictEqual(one, other);

export const integerRanges: Readonly<Record<string, readonly [min: bigint, max: bigint]>> = {
  TINYINT: [-128n, 127n],
  SMALLINT: [-32_768n, 32_767n],
  INTEGER: [-(2n ** 31n), 2n ** 31n - 1n],
  BIGINT: [-(2n ** 63n), 2n ** 63n - 1n],
  HUGEINT: [-(2n ** 127n), 2n ** 127n - 1n],
  UTINYINT: [0n, 255n],
  USMALLINT: [0n, 65_535n],
  UINTEGER: [0n, 2n ** 32n - 1n],
  UBIGINT: [0n, 2n ** 64n - 1n],
};

const bigTypes: ReadonlySet<string> = new Set(['BIGINT', 'UBIGINT', 'HUGEINT']);

export const isInteger = (type: EngineType): boolean => type.id in integerRanges;
/** An integer represented as a bigint. */
export const isBig = (type: EngineType): boolean => bigTypes.has(type.id);
export const isFloating = (type: EngineType): boolean => type.id === 'DOUBLE' || type.id === 'FLOAT';
export const isTimestamp = (type: EngineType): boolean => type.id in timestampUnits;

/** Converts a value of a row to one of an expression; undefined if both have the same representation. */
export function fromRow({ id }: EngineType): ((value: Value) => Value) | undefined {
  if (id !== 'DECIMAL') return undefined;
  return (value) => (value === null ? null : unscaledDecimal(value as string));
}

/** The inverse of `fromRow`. */
export function toRow({ id, scale }: EngineType): ((value: Value) => Value) | undefined {
  if (id !== 'DECIMAL') return undefined;
  return (value) => (value === null ? null : formatDecimal(value as bigint, scale));
}
