import { quoteName } from '../../sql/names.ts';
import type { Leaf, WindowSpec } from '../../sql/plan.ts';

/** The SQL of windows over the tables of leaves. Only numbers and quoted names are written into it. */

/** Times of a row, or first and last time of the rows that a folded row of a session stands for, in microseconds. */
const time = '"__t"';
const lastTime = '"__e"';

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
  /** These, and the times. */
  stored: readonly string[];
}

export function shapeOf({ keys, columns, times, fold }: Leaf, window: WindowSpec | undefined): LeafShape {
  const extra = (times.event ? 1 : 0) + (times.watermark ? 1 : 0);
  const names = columns.slice(0, columns.length - extra).map(({ name }) => quoteName(name));
  const partials = fold?.partials.map(({ name, sql, merge }) => ({ name: quoteName(name), sql, merge }));
  const quotedKeys = keys.map(quoteName);
  const seen = partials ? [...quotedKeys, ...partials.map(({ name }) => name)] : names;
  const ranges = partials && window?.kind === 'session';
  return { window, keys: quotedKeys, partials, seen, stored: [...seen, time, ...(ranges ? [lastTime] : [])] };
}

const list = (parts: readonly string[]): string => parts.join(', ');

/** Folds rows of a batch, which have their time in the last column. */
export function foldedBatch({ window, keys, partials = [] }: LeafShape, batch: string): string {
  const aggregates = partials.map(({ name, sql }) => `${sql} AS ${name}`);
  if (window?.kind === 'session') {
    const rows = `(SELECT *, ${time} AS ${lastTime} FROM ${batch})`;
    return grouped(keys, aggregates, numbered(rows, keys, window.gap), window);
  }
  const bucket = bucketOf(window);
  return grouped(keys, aggregates, batch, window, bucket === undefined ? undefined : floorSql(time, bucket));
}

/** Merges folded rows of the same group and bucket. */
export function merged({ window, keys, partials = [] }: LeafShape, table: string): string {
  const aggregates = partials.map(({ name, merge }) => `${merge}(${name}) AS ${name}`);
  const from = window?.kind === 'session' ? numbered(table, keys, window.gap) : table;
  return grouped(keys, aggregates, from, window, window && time);
}

function grouped(
  keys: readonly string[],
  aggregates: readonly string[],
  from: string,
  window: WindowSpec | undefined,
  bucket?: string,
): string {
  const inSession = window?.kind === 'session';
  const times = inSession
    ? [`min(${time}) AS ${time}`, `max(${lastTime}) AS ${lastTime}`]
    : [`${window ? bucket : `max(${time})`} AS ${time}`];
  const select = `SELECT ${list([...keys, ...aggregates, ...times])} FROM ${from}`;
  const groups = keys.map((_, index) => String(index + 1));
  if (inSession) groups.push('"__n"');
  else if (window) groups.push(String(keys.length + aggregates.length + 1));
  return groups.length > 0 ? `${select} GROUP BY ${list(groups)}` : select;
}

const partition = (keys: readonly string[]): string => (keys.length > 0 ? `PARTITION BY ${list(keys)} ` : '');

/** Numbers the sessions of each group: the rows of one are less than the gap apart. Adds the column `__n`. */
function numbered(from: string, keys: readonly string[], gap: number): string {
  const order = `${partition(keys)}ORDER BY ${time}, ${lastTime}`;
  const before = `max(${lastTime}) OVER (${order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)`;
  // Equal rows are peers of one RANGE, so that they get the same number.
  const number = `count(*) FILTER ("__p" IS NULL OR ${time} - "__p" >= ${gap}) OVER (${order})`;
  return `(SELECT *, ${number} AS "__n" FROM (SELECT *, ${before} AS "__p" FROM ${from}))`;
}

/** The rows of a table with both times. */
const ranged = ({ stored }: LeafShape, table: string, rowId = false): string =>
  `SELECT ${rowId ? 'rowid AS "__r", ' : ''}${list(stored)}${stored.includes(lastTime) ? '' : `, ${time} AS ${lastTime}`} FROM ${table}`;

/** Ends of the sessions that have rows after `from`, by group, as `__end`. */
export function sessionEnds(shape: LeafShape, gap: number, table: string, from: bigint | undefined): string {
  const last = shape.stored.includes(lastTime) ? lastTime : time;
  const recent = from === undefined ? '' : ` WHERE ${last} > ${from - BigInt(gap)}`;
  const rows = numbered(`(${ranged(shape, table)}${recent})`, shape.keys, gap);
  const groups = list([...shape.keys, '"__n"']);
  return `SELECT ${list([...shape.keys, `max(${lastTime}) + ${gap} AS "__end"`])} FROM ${rows} GROUP BY ${groups}`;
}

export interface Closing {
  from: bigint | undefined;
  until: bigint;
  /** Table of `sessionEnds`. */
  ends: string;
}

const within = (value: string, { from, until }: Closing): string =>
  `${value} <= ${until}${from === undefined ? '' : ` AND ${value} > ${from}`}`;

/** The rows of the sessions that close, with `__start` and `__end`, and `__r` if `rowId`. */
export function closingSessions(
  shape: LeafShape,
  gap: number,
  table: string,
  closing: Closing,
  rowId = false,
): string {
  const { keys } = shape;
  const same = keys.map((key) => `k.${key} IS NOT DISTINCT FROM r.${key}`);
  const group = [
    'SELECT 1 FROM',
    closing.ends,
    'k WHERE',
    [within('k."__end"', closing), ...same].join(' AND '),
  ];
  const rows = `(SELECT * FROM (${ranged(shape, table, rowId)}) r WHERE EXISTS (${group.join(' ')}))`;
  const session = `(PARTITION BY ${list([...keys, '"__n"'])})`;
  const bounds = `min(${time}) OVER ${session} AS "__start", max(${lastTime}) OVER ${session} + ${gap} AS "__end"`;
  return `SELECT * FROM (SELECT *, ${bounds} FROM ${numbered(rows, keys, gap)}) WHERE ${within('"__end"', closing)}`;
}

/** What the query reads of a leaf: the rows of the windows that close, each once for every such window. */
export function closingRows(shape: LeafShape, table: string, closing: Closing): string {
  const { window, seen } = shape;
  const struct = (start: string, end: string) =>
    `{'start': make_timestamp(${start}), 'end': make_timestamp(${end})} AS "__w"`;
  if (window?.kind === 'session') {
    const rows = closingSessions(shape, window.gap, table, closing);
    return `SELECT ${list([...seen, struct('"__start"', '"__end"')])} FROM (${rows})`;
  }
  if (!window) return `SELECT ${list(seen.length > 0 ? seen : [time])} FROM ${table}`;
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

/** Rows before this time are in no window that ends later than `until`. Not for sessions. */
export const trimTime = (window: AlignedWindow, until: bigint): bigint => firstStartAfter(window, until);

/** Counts the windows of a table's rows that end after `until`; for sessions, the groups. */
export function countOpen({ window, keys }: LeafShape, table: string, until: bigint): string {
  if (!window) return 'SELECT 0';
  if (window.kind === 'session') {
    const groups = keys.length > 0 ? `SELECT DISTINCT ${list(keys)}` : 'SELECT 1';
    return `SELECT count(*) FROM (${groups} FROM ${table}${keys.length > 0 ? '' : ' LIMIT 1'})`;
  }
  const slide = slideOf(window);
  const first = firstStartAfter(window, until);
  const lowest = `greatest(${floorSql(`("b" - ${window.width})`, slide)} + ${slide}, ${first})`;
  const buckets = `SELECT DISTINCT ${floorSql(time, bucketOf(window) ?? slide)} AS "b" FROM ${table}`;
  const starts = `unnest(range(${lowest}, ${floorSql('"b"', slide)} + 1, ${slide}))`;
  return `SELECT count(DISTINCT "s") FROM (SELECT ${starts} AS "s" FROM (${buckets}))`;
}
