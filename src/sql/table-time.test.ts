import { describe, expect, test } from 'vitest';
import { planned, refusal } from '../../test/support/compile-fixtures.ts';
import { exampleCatalog, storedTable } from '../../test/support/example-catalog.ts';
import { Findings } from './diagnostic.ts';
import { readStatements } from './statements.ts';
import { storedTimes } from './table-time.ts';

const source = (columns: string, options = '') =>
  `CREATE TABLE t (${columns}) WITH (connector = 'mqtt', topic = 't', type = 'source', format = 'json'${options});\n`;
const sink = "CREATE TABLE o WITH (connector = 'mqtt', topic = 'o', type = 'sink', format = 'json');\n";
const read = async (columns: string, options = '') =>
  (await planned(`${source(columns, options)}${sink}INSERT INTO o SELECT n FROM t`)).insert.source;
const columns = 'ts TIMESTAMP, other TIMESTAMP, n INT, "Dev" TEXT, doc JSON';

describe('the options of a source for windows', () => {
  test.each([
    ["idle_timeout = '5 minutes'", { idleTimeoutMs: 300_000 }],
    ["idle_time = interval '5' minute", { idleTimeoutMs: 300_000 }],
    ["idle_timeout = INTERVAL '1 hour 30 minutes'", { idleTimeoutMs: 5_400_000 }],
    ["idle_timeout = '1.5s'", { idleTimeoutMs: 1500 }],
    ['idle_micros = 2000000', { idleTimeoutMs: 2000 }],
    ["idle_timeout = 'off'", { idleTimeoutMs: 0 }],
    ['idle_time = off', { idleTimeoutMs: 0 }],
    ["idle_micros = '-1'", { idleTimeoutMs: 0 }],
    ["max_ahead = '0 seconds'", { maxAheadMs: 0 }],
    ["max_ahead = '2 weeks'", { maxAheadMs: 1_209_600_000 }],
    ["late_data = 'dead_letter'", { lateData: 'dead_letter' }],
    [
      "dedupe.columns = 'dev, n', dedupe.horizon = interval '10' minutes",
      { dedupe: { columns: ['Dev', 'n'], horizonMs: 600_000 } },
    ],
    [
      "dedupe.columns = ['Dev'], dedupe.horizon = '1 day'",
      { dedupe: { columns: ['Dev'], horizonMs: 86_400_000 } },
    ],
  ])('%s', async (options, time) => {
    expect((await read(columns, `, ${options}`)).time).toEqual(time);
  });

  test('are left out when none is given', async () => {
    const table = await read(columns);
    for (const name of ['time', 'eventTime', 'watermark']) expect(table).not.toHaveProperty(name);
  });

  test.each([
    [', event_time_field = ts', '', `"ts" - INTERVAL '1000 milliseconds'`],
    [', event_time_field = ts, watermark_field = OTHER', '', '"other"'],
    ['', ', WATERMARK FOR ts', '"ts"'],
    ['', `, WATERMARK FOR ts AS ts - INTERVAL '5' MINUTE`, `ts - INTERVAL '5' MINUTE`],
    ['', `, WATERMARK FOR made AS (made), made TIMESTAMP GENERATED ALWAYS AS (other)`, '(made)'],
  ])('say how late rows may be: %s%s', async (options, more, watermark) => {
    expect((await read(columns + more, options)).watermark).toBe(watermark);
  });

  test.each([
    ["idle_timeout = '10 ms'", 'The option idle_timeout must be between 1 second and 30 days'],
    ["idle_timeout = '31 days'", 'between 1 second and 30 days'],
    ["idle_timeout = 'soon'", "must be a length of time, as in '5 minutes' or INTERVAL '5' MINUTE"],
    ["idle_timeout = '5 minutes ago'", 'must be a length of time'],
    ["idle_timeout = INTERVAL '5'", 'must have numbers and units'],
    ['idle_micros = 5', 'between 1000000 (1 second) and 30 days, or 0'],
    ["idle_time = '1 minute', idle_timeout = '2 minutes'", 'idle_time and idle_timeout mean the same'],
    ["max_ahead = '11 years'", 'must be a length of time'],
    ["max_ahead = '3651 days'", 'between 0 seconds and 3650 days'],
    ["late_data = 'keep'", 'must be one of drop, dead_letter'],
    ["dedupe.columns = 'Dev'", 'dedupe.horizon is missing'],
    ["dedupe.horizon = '1 hour'", 'dedupe.columns is missing'],
    ["dedupe.columns = 'devv', dedupe.horizon = '1 hour'", 'There is no column devv; did you mean Dev?'],
    ["dedupe.columns = 'n, N', dedupe.horizon = '1 hour'", 'names a column twice'],
    ["dedupe.columns = 'doc', dedupe.horizon = '1 hour'", 'cannot identify a message: it is a json'],
    ["watermark_field = 'ts'", 'watermark_field needs event_time_field'],
    ["event_time_field = 'ts', watermark_field = 'n'", 'A watermark must be a TIMESTAMP, which n is not'],
    ["idle_timeoutt = '1 minute'", 'did you mean idle_timeout'],
  ])('are refused at their place: %s', async (options, message) => {
    const [finding] = await refusal(`${source(columns, `, ${options}`)}${sink}INSERT INTO o SELECT n FROM t`);
    expect(finding?.message).toContain(message);
    expect(finding?.span?.start.line).toBe(1);
  });

  test.each(["idle_timeout = '5 minutes'", "late_data = 'drop'", 'event_time_field = n'])(
    'are not for a sink: %s',
    async (option) => {
      const query = `${source(columns)}${sink.replace(');', `, ${option});`)}INSERT INTO o SELECT n FROM t`;
      const [finding] = await refusal(query);
      expect(finding?.message).toBe(
        `The option ${option.split(' ')[0]} is for sources; remove it from this sink`,
      );
      expect(finding?.span?.start).toMatchObject({ line: 2 });
    },
  );

  test('of a stored table mean the same', async () => {
    const time = {
      event_time_field: 'ts',
      watermark_delay_ms: 0,
      idle_timeout_ms: 0,
      max_ahead_ms: 5,
      late_data: 'dead_letter' as const,
      dedupe: { columns: ['n'], horizon_ms: 1000 },
    };
    expect(storedTimes({ time })).toEqual({
      eventTime: 'ts',
      watermark: '"ts"',
      time: {
        idleTimeoutMs: 0,
        maxAheadMs: 5,
        lateData: 'dead_letter',
        dedupe: { columns: ['n'], horizonMs: 1000 },
      },
    });
    const late = { event_time_field: 'ts', watermark_delay_ms: 1500 };
    expect(storedTimes({ time: late }).watermark).toBe(`"ts" - INTERVAL '1500 milliseconds'`);
    expect(storedTimes({ time: { event_time_field: 'ts' } }).watermark).toContain('1000 milliseconds');
    expect(storedTimes({ time: null })).toEqual({});
    const table = { ...storedTable('s', 'source', [{ name: 'n', type: 'int32' }]), ...storedTimes({ time }) };
    const { insert } = await planned(`${sink}INSERT INTO o SELECT n FROM s`, exampleCatalog(table));
    expect(insert.source).toMatchObject({ eventTime: 'ts', time: { maxAheadMs: 5 } });
  });
});

describe('the settings of a query', () => {
  const limits = (query: string) => readStatements(query, new Findings(query)).limits;

  test('have defaults', () => {
    expect(limits('SELECT 1')).toEqual({ maxStateBytes: 2 ** 30, whenFull: 'wait', ttl: 86_400_000_000 });
  });

  test.each([
    ["SET updating_ttl = interval '5' second", { ttl: 5_000_000 }],
    ["SET updating_ttl TO '1 hour'; SET updating_ttl = '2 hours'", { ttl: 7_200_000_000 }],
    ['SET max_state_bytes = 2000000', { maxStateBytes: 2_000_000 }],
    ["SET max_state_bytes = '1.5 GB'", { maxStateBytes: 1.5 * 2 ** 30 }],
    ["SET MAX_STATE_BYTES = '64MiB'", { maxStateBytes: 2 ** 26 }],
    ["SET when_state_full = 'fail'", { whenFull: 'fail' }],
    ['SET when_state_full = wait', { whenFull: 'wait' }],
  ])('%s', (query, some) => {
    expect(limits(query)).toMatchObject(some);
  });

  test.each([
    ["SET updating_ttl = '5 parsecs'", 'The setting updating_ttl must be a length of time'],
    ["SET updating_ttl = '1 ms'", 'must be between 1 second and 3650 days'],
    ["SET max_state_bytes = '1 kB'", 'The setting max_state_bytes must be between 1 MiB and 1 TiB'],
    ["SET max_state_bytes = 'all'", "must be a number of bytes, or a size as in '1 GB'"],
    ["SET when_state_full = 'drop'", 'The setting when_state_full must be wait or fail'],
    ["SET when_state_full = 'wait' 5", 'Unexpected text after the setting'],
    ['SET when_state_full = NULL', 'The setting when_state_full cannot be NULL'],
  ])('are refused at their place: %s', async (query, message) => {
    const [finding] = await refusal(`SELECT 1;\n${query}`);
    expect(finding?.message).toContain(message);
    expect(finding?.span?.start.line).toBe(2);
  });
});
