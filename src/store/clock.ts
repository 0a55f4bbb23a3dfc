/**
 * One clock for everything that several processes compare or sort: that of the database server. It is measured, and in
 * between the time that has passed is added to it, so a clock of this machine that is wrong or jumps changes nothing.
 */

const measureEveryMs = 10_000;
/** A slower answer says too little about the time. */
const slowestMs = 2_000;
/** A step back that is smaller, by the error of two measurements, is not shown: times increase with every call. */
const smallStep = 2_000_000n;

let measured: { micros: number; at: number } | undefined;
let last = 0n;

/** The time of the database in Unix microseconds; the time of this machine for SQLite. Later than all before it. */
export function nowMicros(): bigint {
  const micros =
    measured === undefined ? Date.now() * 1000 : measured.micros + (performance.now() - measured.at) * 1000;
  const now = BigInt(Math.round(micros));
  last = now > last || last - now > smallStep ? now : last + 1n;
  return last;
}

/** The same time as `nowMicros` tells it, for a recent time of this machine in Unix milliseconds. */
export const fromMachineMs = (ms: number): number =>
  measured === undefined ? Math.round(ms * 1000) : Math.round(Number(nowMicros()) - (Date.now() - ms) * 1000);

/** Reads the clock of a database server now and from time to time, until the returned function is called. */
export async function followClock(read: () => Promise<bigint>): Promise<() => void> {
  await measure(read);
  const timer = setInterval(() => {
    // While the server does not respond, time goes on from the last measurement.
    measure(read).catch(() => {});
  }, measureEveryMs);
  timer.unref();
  return () => {
    clearInterval(timer);
    measured = undefined;
  };
}

async function measure(read: () => Promise<bigint>): Promise<void> {
  const before = performance.now();
  const time = await read();
  const after = performance.now();
  if (measured !== undefined && after - before > slowestMs) return;
  measured = { micros: Number(time), at: (before + after) / 2 };
}
