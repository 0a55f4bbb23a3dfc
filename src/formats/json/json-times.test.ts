import { describe, expect, test } from 'vitest';
import { codecFor, validateSchema } from '../codec.ts';
import type { FormatOf, Value } from '../format.ts';
import type { TimestampUnit } from '../schema/sql-type.ts';

type Options = Omit<FormatOf<'json'>, 'type'>;

const codec = (unit: TimestampUnit, options: Options) =>
  codecFor({ format: { type: 'json', ...options }, fields: [{ name: 'a', type: 'timestamp', unit }] });

const read = (text: string, unit: TimestampUnit, options: Options): Value =>
  codec(unit, options).decode(Buffer.from(`{"a":${text}}`)).a ?? null;

const written = (value: bigint, unit: TimestampUnit, options: Options): string =>
  codec(unit, options).encode({ a: value }).toString().slice(5, -1);

/** The time as text, so that a wrong unit shows. */
const asText = (text: string, options: Options): string => {
  const ns = read(text, 'nanosecond', options) as bigint;
  return codec('nanosecond', {}).encode({ a: ns }).toString().slice(6, -2);
};

describe('times that count since 1970', () => {
  test.each<[NonNullable<Options['timestamp_format']>, string, string]>([
    ['unix_seconds', '1585032598', '2020-03-24T06:49:58Z'],
    ['unix_seconds', '1700000000.123456789', '2023-11-14T22:13:20.123456789Z'],
    ['unix_seconds', '1.585032598e9', '2020-03-24T06:49:58Z'],
    ['unix_seconds', '"1585032598"', '2020-03-24T06:49:58Z'],
    ['unix_seconds', '"1585032598.5"', '2020-03-24T06:49:58.500Z'],
    ['unix_seconds', '-0.25', '1969-12-31T23:59:59.750Z'],
    ['unix_seconds', '0', '1970-01-01T00:00:00Z'],
    ['unix_seconds', '"2026-01-31T08:15:00+02:00"', '2026-01-31T06:15:00Z'],
    ['unix_millis', '1585032598123', '2020-03-24T06:49:58.123Z'],
    ['unix_millis', '1585032598123.5', '2020-03-24T06:49:58.123500Z'],
    ['unix_micros', '1585032598123456', '2020-03-24T06:49:58.123456Z'],
    ['unix_micros', '-1', '1969-12-31T23:59:59.999999Z'],
    ['unix_nanos', '1585032598123456789', '2020-03-24T06:49:58.123456789Z'],
    ['unix_nanos', '"1585032598123456789"', '2020-03-24T06:49:58.123456789Z'],
  ])('in %s read %s', (timestamp_format, text, time) => {
    expect(asText(text, { timestamp_format })).toBe(time);
  });

  test('drop digits finer than the unit of the column, also before 1970', () => {
    const options = { timestamp_format: 'unix_seconds' } as const;
    expect(read('1700000000.9996', 'millisecond', options)).toBe(1_700_000_000_999n);
    expect(read('-0.5', 'second', options)).toBe(-1n);
    expect(read('1e-40', 'second', options)).toBe(0n);
  });

  test.each(['true', '"yesterday"', '""', '1e60', '99999999999999999999', '"0x10"', '"1585032598 "', '[]'])(
    'refuse %s',
    (text) => {
      expect(() => read(text, 'nanosecond', { timestamp_format: 'unix_seconds' })).toThrow(
        'is not a time in seconds since 1970',
      );
    },
  );

  test('are written in their unit: seconds with the digits of the column, the others rounded down', () => {
    expect(written(1_700_000_000_250n, 'millisecond', { timestamp_format: 'unix_seconds' })).toBe(
      '1700000000.25',
    );
    expect(written(1_700_000_000_000n, 'millisecond', { timestamp_format: 'unix_seconds' })).toBe(
      '1700000000',
    );
    expect(written(-500n, 'millisecond', { timestamp_format: 'unix_seconds' })).toBe('-0.5');
    expect(written(1_700_000_000n, 'second', { timestamp_format: 'unix_seconds' })).toBe('1700000000');
    expect(written(1_700_000_000_250n, 'millisecond', { timestamp_format: 'unix_micros' })).toBe(
      '1700000000250000',
    );
    expect(written(1n, 'second', { timestamp_format: 'unix_nanos' })).toBe('1000000000');
    expect(written(-1n, 'nanosecond', { timestamp_format: 'unix_micros' })).toBe('-1');
  });

  test('are described for Kafka Connect', () => {
    const schemaOf = (timestamp_format: NonNullable<Options['timestamp_format']>) =>
      JSON.parse(
        codec('millisecond', { include_schema: true, timestamp_format }).encode({ a: 1n }).toString(),
      ).schema.fields[0];
    expect(schemaOf('unix_micros')).toMatchObject({ type: 'int64', name: 'io.debezium.time.MicroTimestamp' });
    expect(schemaOf('unix_nanos')).toMatchObject({ type: 'int64', name: 'io.debezium.time.NanoTimestamp' });
    expect(schemaOf('unix_seconds')).toMatchObject({ type: 'double' });
  });

  test('a number in a column of RFC 3339 times names the option', () => {
    expect(() => read('1585032598', 'second', {})).toThrow('which timestamp_format can read');
  });
});

describe('a table with a timezone', () => {
  const berlin = { timezone: 'Europe/Berlin' };
  test.each([
    ['"2024-07-01T12:00:00"', berlin, '2024-07-01T10:00:00'],
    ['"2024-01-01 12:00:00.5"', berlin, '2024-01-01T11:00:00'],
    ['"2024-07-01T12:00:00Z"', berlin, '2024-07-01T12:00:00'],
    ['"2024-07-01T12:00:00-05:00"', berlin, '2024-07-01T17:00:00'],
    // Twice: the later one. Skipped: with the offset from before. The same as AT TIME ZONE in a query.
    ['"2024-10-27T02:30:00"', berlin, '2024-10-27T01:30:00'],
    ['"2024-03-31T02:30:00"', berlin, '2024-03-31T01:30:00'],
    ['"2024-10-27T03:00:00"', berlin, '2024-10-27T02:00:00'],
    ['"2024-10-27T01:59:59"', berlin, '2024-10-26T23:59:59'],
    ['"2024-11-03T01:30:00"', { timezone: 'America/New_York' }, '2024-11-03T06:30:00'],
    ['"2024-07-01T12:00:00"', { timezone: 'Asia/Kathmandu' }, '2024-07-01T06:15:00'],
    ['"2024-07-01T12:00:00"', { timezone: '+05:30' }, '2024-07-01T06:30:00'],
    ['"2024-07-01T12:00:00"', { timezone: null }, '2024-07-01T12:00:00'],
  ])('reads %s with %j', (text, options, time) => {
    expect(asText(text, options).slice(0, 19)).toBe(time);
  });

  test('reads every hour of a year as a Date would write it', () => {
    const zone = 'Australia/Lord_Howe';
    const format = new Intl.DateTimeFormat('sv', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' });
    const { decode } = codec('second', { timezone: zone });
    let ambiguous = 0;
    for (let hour = 0; hour < 366 * 24; hour += 1) {
      const utc = Date.UTC(2024, 0, 1) / 1000 + hour * 3600;
      const read = decode(Buffer.from(`{"a":"${format.format(utc * 1000)}"}`)).a as bigint;
      if (read !== BigInt(utc)) ambiguous += 1;
    }
    expect(ambiguous).toBeLessThanOrEqual(1);
  });

  test('must be one that there is', () => {
    const format = { type: 'json', timezone: 'Europe/Berlim' } as const;
    expect(validateSchema({ format, fields: [{ name: 'a', type: 'timestamp' }] })).toEqual([
      {
        path: '/format/timezone',
        message: 'There is no time zone Europe/Berlim; write a name such as Europe/Berlin',
      },
    ]);
  });
});
