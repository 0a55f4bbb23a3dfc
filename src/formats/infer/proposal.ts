import type { Field, Format, ListItem } from '../schema/schema.ts';
import { reserved, type TimestampUnit } from '../schema/sql-type.ts';
import { pathOf } from '../values/bad.ts';
import { isNumberType, type ObservedShape, type SeenType } from './observation.ts';
import { speaksOfTime, timeUnits, unixFormats } from './times.ts';

/** Minimum number of objects for proposing a field as required. */
export const enoughToRequire = 10;

export interface FieldEvidence {
  /** JSON pointer into a message; the items of a list are `*`. */
  path: string;
  type: Field['type'];
  required: boolean;
  /** Number of objects that had it, null included, and of those that could have had it. */
  present: number;
  of: number;
  types: Partial<Record<SeenType, number>>;
  /** Reason for the proposal if it is not obvious. */
  note: string | null;
}

type Proposed = ListItem & { note?: string };

/** Proposes fields for the shape of messages in a format. */
export class Proposal {
  readonly evidence: FieldEvidence[] = [];
  readonly notes: string[] = [];
  /** The unit in which the format must count times, if some field is such a time. */
  counted: TimestampUnit | undefined;
  readonly #shape: ObservedShape;
  readonly #format: Format;

  constructor(shape: ObservedShape, format: Format) {
    this.#shape = shape;
    this.#format = format;
    if (shape.members === undefined)
      this.notes.push('The messages have too many different properties and look like maps');
  }

  fields(): Field[] {
    this.#chooseUnit();
    return this.#members(this.#shape, '');
  }

  /** A format counts in one unit: the one that most fields have, the finer of two. */
  #chooseUnit(): void {
    if (this.#format.type !== 'json') return;
    const asked = this.#format.timestamp_format;
    if (asked !== undefined) {
      this.counted = timeUnits.find((unit) => unixFormats[unit].format === asked);
      return;
    }
    const votes = new Map<TimestampUnit, number>();
    countTimes(this.#shape, '', votes);
    const most = Math.max(0, ...votes.values());
    this.counted = timeUnits.findLast((unit) => most > 0 && votes.get(unit) === most);
  }

  #members(shape: ObservedShape, path: string): Field[] {
    const of = shape.count('struct');
    const kept = spellings(shape);
    return [...(shape.members ?? [])].flatMap(([name, member]) => {
      const at = pathOf(path, name);
      if (name === '' || name.length > 256) {
        this.notes.push(
          `${name === '' ? `${path}/` : path} has a property with a name that no column can have`,
        );
        return [];
      }
      const other = kept.get(name.toLowerCase()) ?? name;
      if (other !== name && path === '')
        this.notes.push(`${at} is left out: SQL takes its name for the same as ${pathOf(path, other)}`);
      const item = this.#item(member, at, name, of);
      return other === name ? [{ name, ...item }] : [];
    });
  }

  /** `of` is the number of objects that could have had the value. */
  #item(shape: ObservedShape, path: string, name: string, of: number): ListItem {
    const required = of >= enoughToRequire && shape.present === of && shape.count('null') === 0;
    const evidence: FieldEvidence = {
      path,
      type: 'json',
      required,
      present: shape.present,
      of,
      types: Object.fromEntries(shape.seen),
      note: null,
    };
    this.evidence.push(evidence);
    const { note, ...type } = this.#type(shape, path, name);
    Object.assign(evidence, { type: type.type, note: note ?? null });
    return { ...type, required };
  }

  #type(shape: ObservedShape, path: string, name: string): Proposed {
    const types = [...shape.seen.keys()].filter((type) => type !== 'null');
    const [only] = types;
    if (only === undefined) return { type: 'json', note: 'It was always null, so its type is unknown' };
    if (types.every(isNumberType)) return this.#number(shape, path, name);
    if (types.every((type) => type === 'timestamp' || type === 'string'))
      return this.#text(shape, path, name);
    if (types.length > 1) return { type: 'json', note: `It has values of ${types.join(' and ')}` };
    if (only === 'struct') return this.#struct(shape, path);
    if (only === 'list') return this.#list(shape, path, name);
    return { type: 'bool' };
  }

  #number(shape: ObservedShape, path: string, name: string): Proposed {
    const [float, unsigned] = [shape.count('float64'), shape.count('uint64')];
    if (shape.count('huge') > 0) return { type: 'json', note: 'Some numbers are too large for any type' };
    const time = this.#counted(shape, path, name);
    if (time?.type === 'timestamp') return time;
    if (float > 0 && (shape.wide || shape.lossy)) return exact(shape);
    if (float > 0) return { type: 'float64', ...noteOf(time) };
    if (unsigned > 0 && shape.negative)
      return { type: 'json', note: 'Some numbers are negative and others too large for int64' };
    return { type: unsigned > 0 ? 'uint64' : 'int64', ...noteOf(time) };
  }

  /** A timestamp if the numbers count the time in the unit of the format; else a note on them, if they may. */
  #counted(shape: ObservedShape, path: string, name: string): (Proposed & { note: string }) | undefined {
    const { times } = shape;
    const { unit, units } = times;
    const [coarse] = units;
    if (coarse === undefined) return undefined;
    const type = 'int64' as const;
    const column = columnOf(path);
    if (unit === undefined) return speaksOfTime(name) ? { type, note: mixedUnits(units, column) } : undefined;
    const day = `as a count of ${unit}s since 1970 one of them is a time of ${times.day(unit)}`;
    if (!speaksOfTime(name)) {
      if (unit === 'second') return undefined;
      return { type, note: `It could be a time: ${day}. Its name does not suggest one` };
    }
    if (unit === this.counted && this.#format.type === 'json')
      return {
        type: 'timestamp',
        unit: times.columnUnit(unit),
        note: `Its name suggests a time, and ${day}`,
      };
    const read = `${unixFormats[unit].read}(${column})`;
    return { type, note: `Its name suggests a time, and ${day}; in a query ${read} reads it` };
  }

  #text(shape: ObservedShape, path: string, name: string): Proposed {
    const { texts } = shape;
    const column = columnOf(path);
    if (shape.count('string') > 0) {
      if (shape.count('timestamp') > 0)
        return { type: 'string', note: 'Some values are RFC 3339 times, others are not' };
      const { unit } = texts.counted;
      if (unit !== undefined && unit === this.counted && speaksOfTime(name)) {
        const note = `Its name suggests a time, and as a count of ${unit}s since 1970 one of its texts is a time of ${texts.counted.day(unit)}`;
        return { type: 'timestamp', unit: texts.counted.columnUnit(unit), note };
      }
      const { form } = texts;
      if (!form) return { type: 'string' };
      return {
        type: 'string',
        note: `Its texts are ${form.name}; in a query ${form.query.replace('…', column)} reads them`,
      };
    }
    const zone = 'timezone' in this.#format ? this.#format.timezone : undefined;
    if (texts.local > 0 && !zone) {
      const some = texts.withOffset > 0 ? 'Some of its times' : 'Its times';
      const query = `CAST(${column} AS TIMESTAMP) AT TIME ZONE 'Europe/Berlin'`;
      const option =
        this.#format.type === 'json' ? ' Or set timezone in the format, and make it a timestamp.' : '';
      return {
        type: 'string',
        note: `${some} have no offset, so they may be local. In a query ${query} reads them in a zone.${option}`,
      };
    }
    return { type: 'timestamp', unit: texts.unit };
  }

  #struct(shape: ObservedShape, path: string): Proposed {
    const problem = unnameable(shape);
    const fields = this.#members(shape, path);
    if (problem !== undefined) return { type: 'json', note: problem };
    if (fields.length > 0) return { type: 'struct', fields };
    const note =
      shape.members === undefined
        ? 'It has too many properties or is nested too deep'
        : 'It was always empty';
    return { type: 'json', note };
  }

  #list(shape: ObservedShape, path: string, name: string): Proposed {
    const { items } = shape;
    if (items !== undefined)
      return { type: 'list', items: this.#item(items, `${path}/*`, name, items.present) };
    return { type: 'json', note: 'Its lists were always empty or nested too deep' };
  }
}

const noteOf = (item: { note: string } | undefined): { note?: string } => (item ? { note: item.note } : {});

/** The most frequent spelling of each name, by the name that SQL takes it for. */
function spellings(shape: ObservedShape): Map<string, string> {
  const kept = new Map<string, string>();
  for (const [name, { present }] of shape.members ?? []) {
    const other = kept.get(name.toLowerCase());
    if (other === undefined || present > (shape.members?.get(other)?.present ?? 0))
      kept.set(name.toLowerCase(), name);
  }
  return kept;
}

/** Two properties of an object that have one name in SQL. */
export function sameInSql(shape: ObservedShape): [string, string] | undefined {
  const kept = spellings(shape);
  for (const name of shape.members?.keys() ?? []) {
    const other = kept.get(name.toLowerCase()) ?? name;
    if (other !== name) return [other, name];
  }
  return undefined;
}

/** Why a query could not use the members of an object as those of a struct; undefined if it can. */
function unnameable(shape: ObservedShape): string | undefined {
  const same = sameInSql(shape);
  if (same) return `Its properties ${same.join(' and ')} differ in case only, which SQL takes for one name`;
  return shape.members?.has('__proto__') ? 'It has a property __proto__, which no query can name' : undefined;
}

/** Numbers that a double does not hold, as decimals of all digits seen. */
function exact({ digits: { whole, fraction } }: ObservedShape): Proposed {
  const why = 'Some numbers have more digits than float64 holds';
  if (whole + fraction > 38) return { type: 'json', note: `${why}, and more than decimal128` };
  return {
    type: 'decimal128',
    precision: 38,
    scale: fraction,
    note: `${why}. Digits beyond ${fraction} after the point would be rounded`,
  };
}

function mixedUnits(units: readonly TimestampUnit[], column: string): string {
  const [coarse = 'second', fine = 'millisecond'] = units;
  const found = `Its name suggests a time, and its numbers are times in ${units.join('s and in ')}s`;
  if (units.length !== 2 || coarse !== 'second' || fine !== 'millisecond') return found;
  return `${found}; in a query CASE WHEN ${column} > 100000000000 THEN epoch_ms(${column}) ELSE epoch_ms(${column} * 1000) END reads both`;
}

/** The column or member at a path, as a query names it. */
function columnOf(path: string): string {
  const names = path
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const item = names.indexOf('*');
  const shown = (item === -1 ? names : ['item']).map((name) =>
    /^[A-Za-z_]\w*$/.test(name) && !reserved.has(name.toLowerCase())
      ? name
      : `"${name.replaceAll('"', '""')}"`,
  );
  return shown.join('.');
}

function countTimes(shape: ObservedShape, name: string, votes: Map<TimestampUnit, number>): void {
  const isText = shape.count('string') > 0;
  const unit = isText ? shape.texts.counted.unit : shape.times.unit;
  const types = [...shape.seen.keys()].filter((type) => type !== 'null');
  const only = isText ? types.length === 1 : types.length > 0 && types.every(isNumberType);
  if (unit !== undefined && only && speaksOfTime(name))
    votes.set(unit, (votes.get(unit) ?? 0) + shape.present);
  for (const [member, inner] of shape.members ?? []) countTimes(inner, member, votes);
  if (shape.items) countTimes(shape.items, name, votes);
}
