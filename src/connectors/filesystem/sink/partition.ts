import type { Row, Value } from '../../../formats/format.ts';
import type { Field } from '../../../formats/schema/schema.ts';
import { badRow, pathOf } from '../../../formats/values/bad.ts';
import { getterOf } from '../../../formats/values/own-property.ts';
import type { SinkTable } from '../config/table.ts';
import { formatTime } from '../config/time-pattern.ts';

/** Finds the folder of a row: first the time, then name=value for each column. Throws `bad_row`. */
export type FolderOf = (row: Row) => string;

const perSecond = { second: 1n, millisecond: 1000n, microsecond: 1_000_000n, nanosecond: 1_000_000_000n };

/** The name that Hive and its readers have for null. */
const nullName = '__HIVE_DEFAULT_PARTITION__';
/** File systems take names of up to 255 bytes. */
const maxNameBytes = 255;

export function folderOf({ partitioning = {} }: SinkTable, fields: readonly Field[]): FolderOf {
  const { time_pattern: pattern = '', time_column, fields: columns = [] } = partitioning;
  const values = columns.map((name) => ({ name, get: getterOf(name) }));
  const time = time_column ? timeReader(time_column, fields) : () => new Date();
  return (row) => {
    const parts = pattern === '' ? [] : [formatTime(pattern, time(row))];
    for (const { name, get } of values) {
      const part = `${encoded(name)}=${text((get(row) ?? null) as Value)}`;
      if (part.length > maxNameBytes)
        throw badRow(pathOf('', name), `gives a folder name of more than ${maxNameBytes} bytes`);
      parts.push(part);
    }
    return parts.join('/');
  };
}

const text = (value: Value): string =>
  value === null ? nullName : value === '' ? '' : encoded(String(value));

/** Percent signs and two digits stand for what file systems, object stores and readers may take for something else. */
const encoded = (value: string): string =>
  encodeURIComponent(value.toWellFormed()).replaceAll(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );

function timeReader(name: string, fields: readonly Field[]): (row: Row) => Date {
  const get = getterOf(name);
  const unit = fields.find((field) => field.name === name)?.unit ?? 'millisecond';
  return (row) => {
    const value = get(row);
    if (typeof value !== 'bigint') throw badRow(pathOf('', name), 'is null, so it gives no folder');
    const time = new Date(Number((value * 1000n) / perSecond[unit]));
    if (Number.isNaN(time.getTime()) || time.getUTCFullYear() < 0 || time.getUTCFullYear() > 9999)
      throw badRow(pathOf('', name), 'is before the year 0 or after 9999, so it gives no folder');
    return time;
  };
}
