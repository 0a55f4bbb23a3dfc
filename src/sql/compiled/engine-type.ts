import { isNode, type TreeNode } from '../parse-tree.ts';

/**
 * A type of DuckDB as its bound plans write it, and how compiled expressions hold its values. `null` is NULL.
 *
 * | type | value |
 * | --- | --- |
 * | TINYINT to INTEGER, UTINYINT to UINTEGER, FLOAT, DOUBLE | number |
 * | BIGINT, UBIGINT, HUGEINT | bigint |
 * | DECIMAL | bigint: the digits without the point |
 * | BOOLEAN, VARCHAR, BLOB | boolean, string, Buffer |
 * | DATE | number: days since 1970-01-01 |
 * | TIMESTAMP, _S, _MS, _NS | bigint: counted in the type's unit since 1970 |
 * | INTERVAL | bigint: microseconds; only days and what is shorter |
 * | LIST, STRUCT | as in a `Row`, decimals inside included |
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

/** Reads a type; undefined for one that compiled expressions do not know. */
export function readType(node: unknown): EngineType | undefined {
  if (!isNode(node)) return undefined;
  const info = isNode(node.type_info) ? node.type_info : undefined;
  const type: EngineType = { id: String(node.id), width: 0, scale: 0, isJson: info?.alias === 'JSON' };
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
      // Collations, enums, fixed arrays and whatever is new.
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

export function isSameEngineType(one: EngineType, other: EngineType): boolean {
  if (one.id !== other.id || one.width !== other.width || one.scale !== other.scale) return false;
  if (one.isJson !== other.isJson) return false;
  if (one.item && other.item) return isSameEngineType(one.item, other.item);
  if (!one.members || !other.members) return one.members === other.members;
  const theirs = other.members;
  return (
    one.members.length === theirs.length &&
    one.members.every(({ name, type }, index) => {
      const twin = theirs[index];
      return twin !== undefined && twin.name === name && isSameEngineType(type, twin.type);
    })
  );
}

/** The least and greatest value of each type of whole numbers. */
export const integerRanges: Readonly<Record<string, readonly [least: bigint, greatest: bigint]>> = {
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
/** Whole numbers held as a bigint. */
export const isBig = (type: EngineType): boolean => bigTypes.has(type.id);
export const isFloating = (type: EngineType): boolean => type.id === 'DOUBLE' || type.id === 'FLOAT';
export const isTimestamp = (type: EngineType): boolean => type.id in microsecondParts;

/** Units in a microsecond, or microseconds in a unit. */
export const microsecondParts: Readonly<Record<string, { micros: bigint; perMicro: bigint }>> = {
  TIMESTAMP_S: { micros: 1_000_000n, perMicro: 1n },
  TIMESTAMP_MS: { micros: 1_000n, perMicro: 1n },
  TIMESTAMP: { micros: 1n, perMicro: 1n },
  TIMESTAMP_NS: { micros: 1n, perMicro: 1_000n },
};
