import { quoteName } from '../names.ts';
import type { Leaf, WindowSpec } from '../plan.ts';

/** The SQL of windows over the tables of leaves. Only numbers and quoted names are written into it. */

/** Times of a row, or first and last time of the rows that a folded row of a session stands for, in microseconds. */
const time = '"__t"';
const lastTime = '"__e"';

/** Columns of changes: their order, and whether the row is gone. */
export const changeOrder = '__n';
export const goneColumn = '__gone';

/** The largest multiple of `step` that is not above `value`, also below zero. */
export const floorTo = (value: bigint, step: number): bigint => {
  const size = BigInt(step);
  return value - (((value % size) + size) % size);
};

export function rangeOf(times: readonly bigint[]): [first: bigint, last: bigint] {
  let first = times[0] as bigint;
  let last = first;
  for (const time of times) {
    if (time < first) first = time;
    if (time > last) last = time;
  }
  return [first, last];
}

const floorSql = (value: string, step: number): string =>
  `(${value} - ((${value} % ${step}) + ${step}) % ${step})`;

const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));

/** Width of the buckets into which rows are folded: every window is a number of whole buckets. */
export function bucketOf(window: WindowSpec | undefined): number | undefined {
  if (window?.kind === 'tumble') return window.width;
  return window?.kind === 'hop' ? divisor(window.slide, window.width) : undefined;
}

/** The columns of a leaf's table, quoted. */
export interface LeafShape {
  window: WindowSpec | undefined;
  keys: readonly string[];
  partials: readonly { name: string; sql: string; merge: string }[] | undefined;
  /** What the query reads. */
  seen: readonly string[];
  /** Columns by which the latest change of a row counts. */
  changes: readonly string[] | undefined;
  /** These, and the times. */
  stored: readonly string[];
}

export function shapeOf(
  { keys, columns, times, fold, changes }: Leaf,
  window: WindowSpec | undefined,
): LeafShape {
  const extra = (times.event ? 1 : 0) + (times.watermark ? 1 : 0);
  const names = columns.slice(0, columns.length - extra).map(({ name }) => quoteName(name));
  const partials = fold?.partials.map(({ name, sql, merge }) => ({ name: quoteName(name), sql, merge }));
  const quotedKeys = keys.map(quoteName);
  const seen = partials ? [...quotedKeys, ...partials.map(({ name }) => name)] : names;
  const ranges = partials && window?.kind === 'session';
  const stored = [...seen, time, ...(ranges ? [lastTime] : [])];
  return { window, keys: quotedKeys, partials, seen, changes: changes?.key.map(quoteName), stored };
}

const list = (parts: readonly string[]): string => parts.join(', ');

/** Folds rows of a batch, which have their time in the last column. */
export function foldedBatch(shape: LeafShape, batch: string): string {
  const aggregates = (shape.partials ?? []).map(({ name, sql }) => `${sql} AS ${name}`);
  return grouped(shape, aggregates, batch, time);
}

/** Merges folded rows of the same group and bucket. */
export function merged(shape: LeafShape, table: string): string {
  const aggregates = (shape.partials ?? []).map(({ name, merge }) => `${merge}(${name}) AS ${name}`);
  return grouped(shape, aggregates, table, lastTime);
}

/** The rows that there are after all changes. */
export function latest({ changes = [] }: LeafShape, table: string): string {
  const order = `PARTITION BY ${list(changes)} ORDER BY "${changeOrder}" DESC`;
  return `SELECT * EXCLUDE ("__r") FROM (SELECT *, row_number() OVER (${order}) AS "__r" FROM ${table}) WHERE "__r" = 1 AND NOT "${goneColumn}"`;
}

function grouped(
  { window, keys }: LeafShape,
  aggregates: readonly string[],
  from: string,
  last: string,
): string {
  const groups = keys.map((_, index) => String(index + 1));
  const times = [`max(${time}) AS ${time}`];
  if (window?.kind === 'session') {
    times.splice(0, 1, `min(${time}) AS ${time}`, `max(${last}) AS ${lastTime}`);
    groups.push(floorSql(time, window.gap));
  } else if (window) {
    times.splice(0, 1, `${floorSql(time, bucketOf(window) ?? 1)} AS ${time}`);
    groups.push(String(keys.length + aggregates.length + 1));
  }
  const select = `SELECT ${list([...keys, ...aggregates, ...times])} FROM ${from}`;
  return groups.length > 0 ? `${select} GROUP BY ${list(groups)}` : select;
}

/**
 * The sessions of a table's rows, as rows of a group, a bucket of the width of the gap, the number of the session, and
 * first and last time: rows in one bucket are always in one session.
 */
function numbered({ keys, stored }: LeafShape, gap: number, table: string, condition: string): string {
  const last = stored.includes(lastTime) ? lastTime : time;
  const times = `min(r.${time}) AS "__first", max(r.${last}) AS "__last"`;
  const bucket = floorSql(`r.${time}`, gap);
  const groups = list([...keys.map((key) => `r.${key}`), bucket]);
  const columns = list([...keys.map((key) => `r.${key} AS ${key}`), `${bucket} AS "__b"`, times]);
  const buckets = `SELECT ${columns} FROM ${table} r${condition} GROUP BY ${groups}`;
  const order = `${keys.length > 0 ? `PARTITION BY ${list(keys)} ` : ''}ORDER BY "__b"`;
  const before = `SELECT *, lag("__last") OVER (${order}) AS "__before" FROM (${buckets})`;
  const starts = `"__before" IS NULL OR "__first" - "__before" >= ${gap}`;
  return `(SELECT *, count(*) FILTER (${starts}) OVER (${order}) AS "__n" FROM (${before}))`;
}

/** Ends of the sessions that have rows after `from`, by group, as `__end`. */
export function sessionEnds(shape: LeafShape, gap: number, table: string, from: bigint | undefined): string {
  const last = shape.stored.includes(lastTime) ? lastTime : time;
  const recent = from === undefined ? '' : ` WHERE r.${last} > ${from - BigInt(gap)}`;
  const groups = list([...shape.keys, '"__n"']);
  const columns = list([...shape.keys, `max("__last") + ${gap} AS "__end"`]);
  return `SELECT ${columns} FROM ${numbered(shape, gap, table, recent)} GROUP BY ${groups}`;
}

/** The sessions that close, by group and bucket, with `__start` and `__end`. `ends` is a table of `sessionEnds`. */
export function closingSessions(
  shape: LeafShape,
  gap: number,
  table: string,
  ends: string,
  closing: Closing,
): string {
  const group = [within('k."__end"', closing), ...sameGroup(shape.keys, 'k')].join(' AND ');
  const rows = numbered(shape, gap, table, ` WHERE EXISTS (SELECT 1 FROM ${ends} k WHERE ${group})`);
  const session = `(PARTITION BY ${list([...shape.keys, '"__n"'])})`;
  const bounds = [
    `min("__first") OVER ${session} AS "__start"`,
    `max("__last") OVER ${session} + ${gap} AS "__end"`,
  ];
  const columns = list([...shape.keys, '"__b"', ...bounds]);
  return `SELECT * FROM (SELECT ${columns} FROM ${rows}) WHERE ${within('"__end"', closing)}`;
}

const sameGroup = (keys: readonly string[], other: string): string[] =>
  keys.map((key) => `${other}.${key} IS NOT DISTINCT FROM r.${key}`);

/** Rows `r` of a table, joined to those `s` of a table of `closingSessions`. */
const inSessions = ({ keys }: LeafShape, gap: number, table: string, sessions: string): string => {
  const same = [`s."__b" = ${floorSql(`r.${time}`, gap)}`, ...sameGroup(keys, 's')];
  return `FROM ${table} r JOIN ${sessions} s ON ${same.join(' AND ')}`;
};

/** Row ids of the rows of sessions. */
export const rowsInSessions = (shape: LeafShape, gap: number, table: string, sessions: string): string =>
  `SELECT r.rowid ${inSessions(shape, gap, table, sessions)}`;

export interface Closing {
  from: bigint | undefined;
  until: bigint;
}

const within = (value: string, { from, until }: Closing): string =>
  `${value} <= ${until}${from === undefined ? '' : ` AND ${value} > ${from}`}`;

/**
 * What the query reads of a leaf: the rows of the windows that close, each once for every such window. `sessions` is a
 * table of `closingSessions`.
 */
export function closingRows(shape: LeafShape, table: string, sessions: string, closing: Closing): string {
  const { window, seen } = shape;
  const struct = (start: string, end: string) =>
    `{'start': make_timestamp(${start}), 'end': make_timestamp(${end})} AS "__w"`;
  if (window?.kind === 'session') {
    const columns = [...seen.map((name) => `r.${name}`), struct('s."__start"', 's."__end"')];
    return `SELECT ${list(columns)} ${inSessions(shape, window.gap, table, sessions)}`;
  }
  if (!window) {
    const rows = shape.changes ? `(${latest(shape, table)})` : table;
    return `SELECT ${list(seen.length > 0 ? seen : [time])} FROM ${rows}`;
  }
  const { width } = window;
  const slide = window.kind === 'hop' ? window.slide : width;
  const { first, last } = startsWithin(window, closing);
  const range = `${time} < ${last + BigInt(width)}${first === undefined ? '' : ` AND ${time} >= ${first}`}`;
  const lowest = `${floorSql(`(${time} - ${width})`, slide)} + ${slide}`;
  const from = first === undefined ? lowest : `greatest(${lowest}, ${first})`;
  const starts =
    window.kind === 'tumble'
      ? floorSql(time, width)
      : `unnest(range(${from}, least(${floorSql(time, slide)}, ${last}) + 1, ${slide}))`;
  const rows = `SELECT ${list([...seen, `${starts} AS "__start"`])} FROM ${table} WHERE ${range}`;
  return `SELECT ${list([...seen, struct('"__start"', `"__start" + ${width}`)])} FROM (${rows})`;
}

type AlignedWindow = Exclude<WindowSpec, { kind: 'session' }>;

const slideOf = (window: AlignedWindow): number => (window.kind === 'hop' ? window.slide : window.width);

/** The first start of a window that ends after a time. */
function firstStartAfter(window: AlignedWindow, after: bigint): bigint {
  const slide = slideOf(window);
  return floorTo(after - BigInt(window.width), slide) + BigInt(slide);
}

/** The first and last start of the windows that close. */
function startsWithin(window: AlignedWindow, { from, until }: Closing) {
  return {
    first: from === undefined ? undefined : firstStartAfter(window, from),
    last: floorTo(until - BigInt(window.width), slideOf(window)),
  };
}

/** Earliest end of a window that may hold a row of this time. */
export const firstEnd = (window: WindowSpec, at: bigint): bigint =>
  window.kind === 'session' ? at + BigInt(window.gap) : firstStartAfter(window, at) + BigInt(window.width);

const maxSlices = 200;

/** Divides what closes in order. Each part reads about `rowsAtOnce` rows, counted once for every window of a row. */
export function slicesOf(
  window: WindowSpec,
  { from, until }: Closing,
  { firstEnd, lastTime, rows }: { firstEnd: bigint; lastTime: bigint; rows: number },
  rowsAtOnce: number,
): Closing[] {
  const whole = [{ from, until }];
  if (window.kind !== 'hop') return whole;
  const wanted = Math.ceil((rows * window.width) / window.slide / rowsAtOnce);
  const start = from !== undefined && from > firstEnd - 1n ? from : firstEnd - 1n;
  const end = until < lastTime + BigInt(window.width) ? until : lastTime + BigInt(window.width);
  const count = BigInt(Math.min(wanted, maxSlices));
  if (count < 2n || end - start <= BigInt(window.slide)) return whole;
  const bounds = Array.from(
    { length: Number(count) - 1 },
    (_, index) => start + ((end - start) * BigInt(index + 1)) / count,
  );
  return [...bounds, until].map((bound, index) => ({
    from: index === 0 ? from : bounds[index - 1],
    until: bound,
  }));
}

/** Rows before this time are in no window that ends later than `until`. Not for sessions. */
export const trimTime = (window: AlignedWindow, until: bigint): bigint => firstStartAfter(window, until);

/** Counts the windows of a table's rows that end after `until`; for sessions, about the number of groups. */
export function countOpen({ window, keys }: LeafShape, table: string, until: bigint): string {
  if (!window) return 'SELECT 0';
  if (window.kind === 'session') {
    if (keys.length === 0) return `SELECT count(*) FROM (SELECT 1 FROM ${table} LIMIT 1)`;
    return `SELECT approx_count_distinct(hash(${list(keys)})) FROM ${table}`;
  }
  const slide = slideOf(window);
  const first = firstStartAfter(window, until);
  const lowest = `greatest(${floorSql(`("b" - ${window.width})`, slide)} + ${slide}, ${first})`;
  const buckets = `SELECT DISTINCT ${floorSql(time, bucketOf(window) ?? slide)} AS "b" FROM ${table}`;
  const starts = `unnest(range(${lowest}, ${floorSql('"b"', slide)} + 1, ${slide}))`;
  return `SELECT count(DISTINCT "s") FROM (SELECT ${starts} AS "s" FROM (${buckets}))`;
}

/** The end of the last window that ends at `time` or before; no result is to come for it any more. */
export function closedBy(window: WindowSpec | undefined, time: bigint): bigint {
  const step = bucketOf(window);
  return step === undefined ? time : floorTo(time, step);
}

/** Whether all windows of a row are closed. A row of a session is late as soon as the watermark has passed it. */
export function isLate(window: WindowSpec | undefined, time: bigint, until: bigint): boolean {
  if (!window) return false;
  if (window.kind === 'session') return time < until;
  return closedBy(window, time) + BigInt(window.width) <= until;
}
