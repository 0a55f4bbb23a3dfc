import type { ConnectionSchema, Field } from '../formats/schema/schema.ts';
import {
  defaultDelayMs,
  lateDataBehaviors,
  maxDedupeColumns,
  wrongDedupe,
} from '../formats/schema/table-time.ts';
import type { CreateTable } from './create-table.ts';
import type { Findings, Range } from './diagnostic.ts';
import { inDuckDb } from './in-duckdb.ts';
import { isSameName, quoteName, suggestion } from './names.ts';
import type { TableDefinition, TimeOptions } from './plan.ts';

/** What windows need to know of a source: its options in SQL, and those of a stored table. */

type TableTimes = Pick<TableDefinition, 'eventTime' | 'watermark' | 'time'>;

/** Options as they were written, before the columns of the table are known. */
export interface WrittenTimes {
  eventTime: string | undefined;
  watermarkField: string | undefined;
  dedupe: { columns: readonly string[]; horizonMs: number } | undefined;
  time: Omit<TimeOptions, 'dedupe'>;
  places: ReadonlyMap<string, Range>;
}

const names = [
  ...['event_time_field', 'watermark_field', 'idle_micros', 'idle_time', 'idle_timeout', 'max_ahead'],
  ...['late_data', 'dedupe.columns', 'dedupe.horizon'],
];
/** Arroyo's names, and ours. */
const idleNames = ['idle_micros', 'idle_time', 'idle_timeout'];
const idleBounds = { from: '1 second', to: '30 days' };
const aheadBounds = { from: '0 seconds', to: '3650 days' };

/** Takes the options that are about time from those of a table. */
export function takeTimes({ options }: CreateTable, findings: Findings): WrittenTimes {
  const places = new Map(
    names.flatMap((name) => {
      const place = options.has(name) ? options.placeOf(`/${name}`) : undefined;
      return place ? [[name, place] as const] : [];
    }),
  );
  const [idle, other] = idleNames.filter((name) => places.has(name));
  if (other !== undefined)
    findings.stop(`The options ${idle} and ${other} mean the same; remove one`, places.get(other));
  const idleMicros =
    idle === 'idle_micros'
      ? readIdleMicros(options.takeInteger(idle), places.get(idle), findings)
      : idle && options.takeMicros(idle, idleBounds, 'off');
  const ahead = options.takeMicros('max_ahead', aheadBounds);
  const lateData = options.takeOneOf('late_data', lateDataBehaviors);
  // A mistyped name can then be told what was meant.
  for (const name of idleNames) options.take(name);
  const written = {
    eventTime: options.take('event_time_field'),
    watermarkField: options.take('watermark_field'),
    time: {
      ...(typeof idleMicros === 'number' && { idleTimeoutMs: idleMicros / 1000 }),
      ...(ahead !== undefined && { maxAheadMs: ahead / 1000 }),
      ...(lateData !== undefined && { lateData }),
    },
    places,
  };
  return { ...written, dedupe: readDedupe(options, places, findings) };
}

/** As in Arroyo: nothing and less is never. */
function readIdleMicros(
  count: number | undefined,
  place: Range | undefined,
  findings: Findings,
): number | undefined {
  if (count === undefined || (count >= 1e6 && count <= 30 * 8.64e10)) return count;
  if (count <= 0) return 0;
  return findings.stop('The option idle_micros must be between 1000000 (1 second) and 30 days, or 0', place);
}

function readDedupe(
  options: CreateTable['options'],
  places: ReadonlyMap<string, Range>,
  findings: Findings,
): WrittenTimes['dedupe'] {
  const columns = options.takeAs('dedupe.columns', { type: 'array' }) as string[] | undefined;
  const horizon = options.takeMicros('dedupe.horizon', idleBounds);
  if (columns === undefined && horizon === undefined) return undefined;
  if (columns === undefined || horizon === undefined) {
    const [missing, given] = columns ? ['horizon', 'columns'] : ['columns', 'horizon'];
    const place = places.get(`dedupe.${given}`);
    return findings.stop(`The option dedupe.${missing} is missing beside dedupe.${given}`, place);
  }
  if (columns.length > maxDedupeColumns)
    findings.stop(
      `The option dedupe.columns may name ${maxDedupeColumns} columns`,
      places.get('dedupe.columns'),
    );
  return { columns, horizonMs: horizon / 1000 };
}

/** Checks the options of a table whose columns are `fields`, computed ones included. */
export function checkTimes(
  { watermark }: CreateTable,
  written: WrittenTimes,
  direction: TableDefinition['direction'],
  fields: readonly Field[],
  findings: Findings,
): TableTimes {
  const { places, time, dedupe } = written;
  const [first] = places;
  if (first && direction === 'sink')
    findings.stop(`The option ${first[0]} is for sources; remove it from this sink`, first[1]);
  const eventTime = eventTimeOf({ watermark }, written, fields, findings);
  const text = watermarkOf({ watermark }, eventTime, written, fields, findings);
  const columns = dedupe?.columns.map((name) => {
    const place = places.get('dedupe.columns');
    const field = columnNamed(name, fields, place, findings);
    const problem = wrongDedupe(field.name, fields);
    return problem === undefined ? field.name : findings.stop(problem, place);
  });
  if (columns && new Set(columns).size < columns.length)
    findings.stop('The option dedupe.columns names a column twice', places.get('dedupe.columns'));
  const whole: TimeOptions = {
    ...time,
    ...(dedupe && columns && { dedupe: { columns, horizonMs: dedupe.horizonMs } }),
  };
  return {
    ...(eventTime !== undefined && { eventTime }),
    ...(text !== undefined && { watermark: text }),
    ...(Object.keys(whole).length > 0 && { time: whole }),
  };
}

/** The column with the time at which something happened: of `event_time_field`, or of WATERMARK FOR. */
function eventTimeOf(
  { watermark }: Pick<CreateTable, 'watermark'>,
  { eventTime: option, places }: WrittenTimes,
  fields: readonly Field[],
  findings: Findings,
): string | undefined {
  const name = option ?? watermark?.column.text;
  if (name === undefined) return undefined;
  const place = option === undefined ? watermark?.column : places.get('event_time_field');
  const field = columnNamed(name, fields, place, findings);
  if (field.type !== 'timestamp')
    findings.stop(`The time of an event must be a TIMESTAMP, which ${field.name} is not`, place);
  if (watermark && !isSameName(watermark.column.text, field.name))
    findings.stop(`WATERMARK FOR must name the event_time_field, ${field.name}`, watermark.column);
  return field.name;
}

/** As in Arroyo rows may be a second late, unless there is a WATERMARK or a watermark_field. */
function watermarkOf(
  { watermark }: Pick<CreateTable, 'watermark'>,
  eventTime: string | undefined,
  { watermarkField, places }: WrittenTimes,
  fields: readonly Field[],
  findings: Findings,
): string | undefined {
  const place = places.get('watermark_field');
  if (watermarkField !== undefined && watermark)
    findings.stop('A table has one WATERMARK; remove watermark_field', place);
  if (watermarkField !== undefined && eventTime === undefined)
    findings.stop('watermark_field needs event_time_field; write WATERMARK FOR column instead', place);
  if (eventTime === undefined) return undefined;
  const expression = watermark?.expression;
  if (expression) return inDuckDb(findings.textOf(expression), expression.tokens, expression.from);
  if (watermark) return quoteName(eventTime);
  if (watermarkField === undefined) return delayed(eventTime, defaultDelayMs);
  const field = columnNamed(watermarkField, fields, place, findings);
  if (field.type !== 'timestamp')
    findings.stop(`A watermark must be a TIMESTAMP, which ${field.name} is not`, place);
  return quoteName(field.name);
}

function columnNamed(
  name: string,
  fields: readonly Field[],
  place: Range | undefined,
  findings: Findings,
): Field {
  const field = fields.find((one) => one.name === name) ?? fields.find((one) => isSameName(one.name, name));
  const all = fields.map((one) => one.name);
  return field ?? findings.stop(`There is no column ${name}${suggestion(name, all)}`, place);
}

const delayed = (column: string, ms: number): string =>
  ms === 0 ? quoteName(column) : `${quoteName(column)} - INTERVAL '${ms} milliseconds'`;

/** The same of a stored table. */
export function storedTimes({ time }: ConnectionSchema): TableTimes {
  if (!time) return {};
  const { event_time_field: eventTime, watermark_delay_ms: delay, idle_timeout_ms, max_ahead_ms } = time;
  const { late_data, dedupe } = time;
  const options: TimeOptions = {
    ...(typeof idle_timeout_ms === 'number' && { idleTimeoutMs: idle_timeout_ms }),
    ...(typeof max_ahead_ms === 'number' && { maxAheadMs: max_ahead_ms }),
    ...(typeof late_data === 'string' && { lateData: late_data }),
    ...(dedupe && { dedupe: { columns: dedupe.columns, horizonMs: dedupe.horizon_ms } }),
  };
  return {
    ...(typeof eventTime === 'string' && {
      eventTime,
      watermark: delayed(eventTime, delay ?? defaultDelayMs),
    }),
    ...(Object.keys(options).length > 0 && { time: options }),
  };
}
