const shape = /^(-?)(\d{1,400})(?:\.(\d{0,400}))?(?:[eE]([+-]?\d{1,9}))?$/;

/**
 * Reads the text of a number as a decimal128: the digits it has with exactly `scale` of them behind the point, e.g.
 * `-12.50`. Finer digits are rounded half away from zero, as SQL does. Answers undefined when the text is not a
 * number or has more digits than `precision` allows.
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

/**
 * A decimal's text from its digits without the point as a big-endian two's complement, as Debezium, Kafka Connect and
 * Avro write it. Answers undefined for none, and for more than the 16 bytes of a decimal128.
 */
export function decimalOfBytes(bytes: Buffer, scale: number): string | undefined {
  if (bytes.length === 0 || bytes.length > 16) return undefined;
  return formatDecimal(BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString('hex')}`)), scale);
}

/** The inverse, in as few bytes as hold it. */
export function bytesOfDecimal(text: string): Buffer {
  const unscaled = unscaledDecimal(text);
  let length = 1;
  while (BigInt.asIntN(length * 8, unscaled) !== unscaled) length += 1;
  const hex = BigInt.asUintN(length * 8, unscaled).toString(16);
  return Buffer.from(hex.padStart(length * 2, '0'), 'hex');
}
