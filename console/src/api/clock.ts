/** The clock of Penstock, which that of this browser may differ from. */

let aheadMs = 0;
/** Smaller differences come from the network, and from the whole seconds in the header. */
const leastAheadMs = 2_000;

/** Compares the clock of this browser with the header `date` of a response. */
export function setClock(date: string | null): void {
  const ahead = Date.now() - Date.parse(date ?? '');
  if (!Number.isNaN(ahead)) aheadMs = Math.abs(ahead) < leastAheadMs ? 0 : ahead;
}

/** The time of Penstock (Unix microseconds). */
export const nowMicros = (): number => Math.round((Date.now() - aheadMs) * 1000);
