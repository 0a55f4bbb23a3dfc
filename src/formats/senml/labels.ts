/** Labels of SenML: in JSON, and their numbers in CBOR (RFC 8428, section 12.2, tables of labels). */
export const numbersOfLabels = {
  bver: -1,
  bn: -2,
  bt: -3,
  bu: -4,
  bv: -5,
  bs: -6,
  n: 0,
  u: 1,
  v: 2,
  vs: 3,
  vb: 4,
  s: 5,
  t: 6,
  ut: 7,
  vd: 8,
} as const;

export type SenmlLabel = keyof typeof numbersOfLabels;

/** Labels by the text of their number. */
export const labels: ReadonlyMap<string, string> = new Map(
  Object.entries(numbersOfLabels).map(([label, number]) => [String(number), label]),
);
