/** Big-endian two's complement, as Avro holds the digits of a decimal. */

/** Undefined when there are more bytes than a decimal of 38 digits needs. */
export function bigintFromBytes(bytes: Buffer): bigint | undefined {
  let from = 0;
  const sign = (bytes[0] ?? 0) & 0x80;
  // Leading bytes that only repeat the sign say nothing.
  while (bytes.length - from > 16 && bytes[from] === (sign ? 0xff : 0)) from += 1;
  if (bytes.length - from > 16) return undefined;
  const digits = bytes.toString('hex', from);
  const value = digits === '' ? 0n : BigInt(`0x${digits}`);
  return sign ? value - (1n << BigInt(8 * (bytes.length - from))) : value;
}

/** The fewest bytes, or exactly `size`; undefined when they do not suffice. */
export function bytesFromBigint(value: bigint, size?: number): Buffer | undefined {
  let least = 1;
  while (BigInt.asIntN(8 * least, value) !== value) least += 1;
  const length = size ?? least;
  if (length < least) return undefined;
  const digits = BigInt.asUintN(8 * length, value).toString(16);
  return Buffer.from(digits.padStart(2 * length, '0'), 'hex');
}
