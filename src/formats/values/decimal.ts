const shape = /^(-?)(\d{1,400})(?:\.(\d{0,400}))?(?:[eE]([+-]?\d{1,9}))?$/;

/**
 * Parses a number as a decimal128 with exactly `scale` digits after the point, e.g. `-12.50`, rounded half away from zero
 * as in SQL. Returns undefined if the text is not a number or exceeds `precision`.
 */
export function parseDecimal(text: string, precision: number, scale: number): string | undefined {
  const match = shape.exec(text);
  if (!match) return undefined;
  const [, sign, whole = '', fraction = '', exponent = '0'] = match;
  const digits = (whole + fraction).replace(/^0+/, '');
  if (digits === '') return formatDecimal(0n, scale);
  const shift = Number(exponent) - fraction.length + scale;
  if (digits.length + shift > precision) return undefined;
  const unscaled = shift >= 0 ? BigInt(digits) * 10n ** BigInt(shift) : rounded(digits, -shift);
  if (unscaled >= 10n ** BigInt(precision)) return undefined;
  return formatDecimal(sign === '-' ? -unscaled : unscaled, scale);
}

/** The digits without the last `drop`, rounded half up. */
function rounded(digits: string, drop: number): bigint {
  if (drop > digits.length) return 0n;
  const kept = BigInt(digits.slice(0, digits.length - drop) || '0');
  return (digits[digits.length - drop] ?? '0') >= '5' ? kept + 1n : kept;
}

/** A decimal's text from its digits without the point, e.g. -1250n and 2 as `-12.50`. */
export function formatDecimal(unscaled: bigint, scale: number): string {
  if (scale === 0) return String(unscaled);
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
  const point = digits.length - scale;
  return `${unscaled < 0n ? '-' : ''}${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** The digits of a decimal's text without the point: the inverse of `formatDecimal`. */
export function unscaledDecimal(text: string): bigint {
  return BigInt(text.replace('.', ''));
}

/** Reads a big-endian two's complement; undefined when it has more bytes than a decimal of 38 digits needs. */
export function bigintOfBytes(bytes: Buffer): bigint | undefined {
  let from = 0;
  const sign = (bytes[0] ?? 0) & 0x80;
  // Leading bytes that only repeat the sign say nothing.
  while (bytes.length - from > 16 && bytes[from] === (sign ? 0xff : 0)) from += 1;
  if (bytes.length - from > 16) return undefined;
  const digits = bytes.toString('hex', from);
  const value = digits === '' ? 0n : BigInt(`0x${digits}`);
  return sign ? value - (1n << BigInt(8 * (bytes.length - from))) : value;
}

/** The inverse, in the fewest bytes or exactly `size`; undefined when they do not suffice. */
export function bytesOfBigint(value: bigint, size?: number): Buffer | undefined {
  let fewest = 1;
  while (BigInt.asIntN(8 * fewest, value) !== value) fewest += 1;
  const length = size ?? fewest;
  if (length < fewest) return undefined;
  const digits = BigInt.asUintN(8 * length, value).toString(16);
  return Buffer.from(digits.padStart(2 * length, '0'), 'hex');
}
