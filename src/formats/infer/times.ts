import type { TimestampUnit } from '../schema/sql-type.ts';
import { parseTimestamp, timestampFromDecimal } from '../values/timestamp.ts';

/** Finds times in numbers and texts. Keeps counts, and the day of one time for each unit. */

export const timeUnits = ['second', 'millisecond', 'microsecond', 'nanosecond'] as const;

/** The option of the json format that counts in each unit, and the function that reads one in a query. */
export const unixFormats = {
  second: { format: 'unix_seconds', read: 'to_timestamp' },
  millisecond: { format: 'unix_millis', read: 'epoch_ms' },
  microsecond: { format: 'unix_micros', read: 'make_timestamp' },
  nanosecond: { format: 'unix_nanos', read: 'make_timestamp_ns' },
} as const;

/** September 2001 to 2100, in seconds: no number in it is in the range of another unit. */
const [earliest, latest] = [1_000_000_000, 4_102_444_800];

/** Numbers that may count the time since 1970. */
export class CountedTimes {
  #total = 0;
  readonly #counts = new Map<TimestampUnit, number>();
  readonly #days = new Map<TimestampUnit, string>();
  /** Maximum number of digits after the point. */
  #fraction = 0;

  observe(number: string): void {
    this.#total += 1;
    const unit = timeUnits.find((candidate) => inRange(number, candidate));
    if (unit === undefined) return;
    this.#counts.set(unit, (this.#counts.get(unit) ?? 0) + 1);
    this.#fraction = Math.max(this.#fraction, /\.(\d+)/.exec(number)?.[1]?.length ?? 0);
    if (!this.#days.has(unit)) this.#days.set(unit, dayOf(number, unit));
  }

  /** The unit that every number has; undefined if there is none. */
  get unit(): TimestampUnit | undefined {
    const [unit, ...others] = this.units;
    return others.length === 0 && unit && this.#counts.get(unit) === this.#total ? unit : undefined;
  }

  /** The units of the numbers, if each is a time, the finest last. */
  get units(): TimestampUnit[] {
    const found = timeUnits.filter((unit) => this.#counts.has(unit));
    const times = found.reduce((sum, unit) => sum + (this.#counts.get(unit) ?? 0), 0);
    return times === this.#total ? found : [];
  }

  /** The day of one of the times, e.g. `2020-03-24`. */
  day(unit: TimestampUnit): string {
    return this.#days.get(unit) ?? '';
  }

  /** The unit of a column that holds all digits. */
  columnUnit(counted: TimestampUnit): TimestampUnit {
    const digits = timeUnits.indexOf(counted) + Math.ceil(this.#fraction / 3);
    return timeUnits[Math.min(digits, timeUnits.length - 1)] ?? counted;
  }
}

function inRange(number: string, unit: TimestampUnit): boolean {
  if (!/^\d/.test(number)) return false;
  const seconds = Number(number) / 1000 ** timeUnits.indexOf(unit);
  return seconds >= earliest && seconds <= latest;
}

function dayOf(number: string, unit: TimestampUnit): string {
  const ms = timestampFromDecimal(number, unit, 'millisecond') ?? 0n;
  return new Date(Number(ms)).toISOString().slice(0, 10);
}

const words = [
  ...[
    'ts',
    'tst',
    'time',
    'timestamp',
    'date',
    'datetime',
    'dt',
    'at',
    'ms',
    'millis',
    'epoch',
    'unix',
    'utc',
  ],
  ...['when', 'since', 'until', 'seen', 'created', 'updated', 'modified', 'expires', 'sent', 'received'],
];

/** Whether one of the words of a name is of time: createdAt, event_time, ts. */
export const speaksOfTime = (name: string): boolean =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]+/)
    .some((word) => words.includes(word));

/** A form that texts have, and the expression that reads them in a query; `…` stands for the column. */
interface TextForm {
  name: string;
  pattern: RegExp;
  query: string;
}

/** Units that texts of numbers end with; single letters that may be part of an id are left out. */
const unitsOfText = [
  ...[
    '%',
    '%RH',
    '°',
    '°C',
    '°F',
    '°K',
    ' C',
    ' F',
    ' K',
    'm?V',
    'm?A',
    '[kM]?W',
    '[kM]?Wh',
    'VAr?',
    'k?Hz',
    'dBm?',
    'k?Ω',
  ],
  ...[
    'h?Pa',
    'kPa',
    'm?bar',
    'psi',
    'inHg',
    '[cmk]?m',
    'km/h',
    'm/s',
    'mph',
    'm[³3](?:/h)?',
    'l/min',
    'ppm',
    'ppb',
  ],
  ...['[µu]g/m[³3]', 'lx', 'lux', 'kg', ' ?g', 'ms', ' s', 'min', 'rpm', 'µS/cm', 'W/m[²2]', 'mm/h'],
];

const forms: readonly TextForm[] = [
  { name: 'dates', pattern: /^\d{4}-\d\d-\d\d$/, query: 'CAST(… AS DATE)' },
  {
    name: 'times without seconds',
    pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d$/,
    query: "strptime(…, '%Y-%m-%dT%H:%M')",
  },
  {
    name: 'times without seconds',
    pattern: /^\d{4}-\d\d-\d\d \d\d:\d\d$/,
    query: "strptime(…, '%Y-%m-%d %H:%M')",
  },
  {
    name: 'times of ISO 8601 without separators',
    pattern: /^\d{8}T\d{6}Z$/,
    query: "strptime(…, '%Y%m%dT%H%M%SZ')",
  },
  {
    name: 'dates with the day first',
    pattern: /^\d\d\.\d\d\.\d{4}$/,
    query: "strptime(…, '%d.%m.%Y')",
  },
  {
    name: 'times with the day first',
    pattern: /^\d\d\.\d\d\.\d{4} \d\d:\d\d:\d\d$/,
    query: "strptime(…, '%d.%m.%Y %H:%M:%S')",
  },
  {
    name: 'times of HTTP',
    pattern: /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/,
    query: "strptime(…, '%a, %d %b %Y %H:%M:%S GMT')",
  },
  {
    name: 'dates of ISO weeks',
    pattern: /^\d{4}-W\d\d-\d$/,
    query: "strptime(…, '%G-W%V-%u')",
  },
  { name: 'dates of a year and its day', pattern: /^\d{4}-\d{3}$/, query: "strptime(…, '%Y-%j')" },
  {
    name: 'times with an offset without a colon',
    pattern: /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?[+-]\d\d(?:\d\d)?$/,
    query: 'CAST(… AS TIMESTAMPTZ)',
  },
  {
    name: 'times with a comma before the fraction',
    pattern: /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d,\d{1,9}(?:Z|[+-]\d\d:?\d\d)$/,
    query: "CAST(replace(…, ',', '.') AS TIMESTAMPTZ)",
  },
  {
    name: 'times without seconds',
    pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\dZ$/,
    query: "strptime(…, '%Y-%m-%dT%H:%MZ')",
  },
  {
    name: 'times of UTC',
    pattern: /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/,
    query: "strptime(…, '%Y-%m-%d %H:%M:%S UTC')",
  },
  {
    name: 'times without an offset, perhaps local',
    pattern: /^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d$/,
    query: "strptime(…, '%Y/%m/%d %H:%M:%S')",
  },
  {
    name: 'times without an offset, perhaps local',
    pattern: /^(?:19|20)\d{12}$/,
    query: "strptime(…, '%Y%m%d%H%M%S')",
  },
  {
    name: 'times without an offset, perhaps local',
    pattern: /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/,
    query: "strptime(…, '%a %b %d %H:%M:%S %Y')",
  },
  {
    name: 'times of .NET, in milliseconds since 1970',
    pattern: /^\/Date\(-?\d{1,15}(?:[+-]\d{4})?\)\/$/,
    query: "epoch_ms(CAST(regexp_extract(…, '-?[0-9]+') AS BIGINT))",
  },
  // A zero in front is that of an id, a postcode or a date of six digits.
  {
    name: 'numbers',
    pattern: /^[+-]?(?!0\d)\d{1,15}(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?$/,
    query: 'CAST(… AS DOUBLE)',
  },
  // Three digits after the comma may be thousands.
  {
    name: 'numbers with a decimal comma',
    pattern: /^[+-]?\d{1,15},(?:\d{1,2}|\d{4,15})$/,
    query: "CAST(replace(…, ',', '.') AS DOUBLE)",
  },
  {
    name: 'numbers with commas between the thousands',
    pattern: /^[+-]?\d{1,3}(?:,\d{3}){1,4}\.\d{1,15}$/,
    query: "CAST(replace(…, ',', '') AS DOUBLE)",
  },
  {
    name: 'numbers with points between the thousands and a decimal comma',
    pattern: /^[+-]?\d{1,3}(?:\.\d{3}){1,4},\d{1,15}$/,
    query: "CAST(replace(replace(…, '.', ''), ',', '.') AS DOUBLE)",
  },
  { name: 'hexadecimal numbers', pattern: /^0x[0-9a-fA-F]{1,15}$/, query: 'CAST(… AS BIGINT)' },
  {
    name: 'numbers with a unit',
    pattern: new RegExp(
      `^[+-]?\\d{1,15}(?:\\.\\d{1,15}|,(?:\\d{1,2}|\\d{4,15}))?[ *]?(?:${unitsOfText.join('|')})$`,
    ),
    query: "CAST(replace(regexp_extract(…, '^[-+]?[0-9.,]+'), ',', '.') AS DOUBLE)",
  },
  { name: 'switch states', pattern: /^(?:on|off)$/i, query: "(upper(…) = 'ON')" },
  { name: 'yes or no', pattern: /^(?:yes|no)$/i, query: "(upper(…) = 'YES')" },
  { name: 'true or false', pattern: /^(?:true|false)$/i, query: 'CAST(… AS BOOLEAN)' },
];

const hasOffset = /(?:[Zz]|[+-]\d\d:\d\d)$/;

/** Texts of one place: which of them are times, and in what form. */
export class ObservedTexts {
  /** RFC 3339 times with an offset, and times without one, which may be local. */
  withOffset = 0;
  local = 0;
  /** Maximum number of digits behind the second, and whether all times fit 64 bits of nanoseconds. */
  #fraction = 0;
  #nanoseconds = true;
  #total = 0;
  readonly #forms = new Map<TextForm, number>();
  readonly counted = new CountedTimes();

  /** Returns whether the text is a time. */
  observe(text: string): boolean {
    this.#total += 1;
    if (text.length > 100) return false;
    if (parseTimestamp(text, 'millisecond') === undefined) {
      const form = forms.find(({ pattern }) => pattern.test(text));
      if (form) this.#forms.set(form, (this.#forms.get(form) ?? 0) + 1);
      this.counted.observe(/^\d{10,19}(?:\.\d+)?$/.test(text) ? text : '');
      return false;
    }
    this.#fraction = Math.max(this.#fraction, /\.(\d+)/.exec(text)?.[1]?.length ?? 0);
    this.#nanoseconds &&= parseTimestamp(text, 'nanosecond') !== undefined;
    if (hasOffset.test(text)) this.withOffset += 1;
    else this.local += 1;
    return true;
  }

  /** The finest unit in use that all times fit. */
  get unit(): TimestampUnit {
    if (this.#fraction > 6 && this.#nanoseconds) return 'nanosecond';
    return this.#fraction > 3 ? 'microsecond' : 'millisecond';
  }

  /** The form of all texts. */
  get form(): TextForm | undefined {
    const [[form, count] = []] = this.#forms;
    return count === this.#total ? form : undefined;
  }
}
