import { Value } from 'typebox/value';
import { PenstockError } from '../../errors.ts';
import { expandSchema, validateSchema } from '../codec.ts';
import type { ConnectionSchema, Field, Format, ListItem } from '../schema/schema.ts';
import { Format as WireFormat } from '../schema/wire-format.ts';
import { pathOf } from '../values/bad.ts';
import {
  isNumberType,
  ObservedShape,
  type PayloadKind,
  payloadKinds,
  recognise,
  type SeenType,
} from './observation.ts';

/** Minimum number of objects for proposing a field as required. */
export const enoughToRequire = 10;
const maxFields = 1000;

interface FieldEvidence {
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

export interface InferredSchema {
  kinds: Record<PayloadKind, number>;
  gzip: number;
  /** Null if no table can read these messages. */
  schema: ConnectionSchema | null;
  fields: FieldEvidence[];
  notes: string[];
}

export class SchemaInference {
  readonly #kinds = Object.fromEntries(payloadKinds.map((kind) => [kind, 0])) as Record<PayloadKind, number>;
  #gzip = 0;
  readonly #shape = new ObservedShape({ fields: maxFields });

  observe(payload: Buffer): void {
    const { kind, gzip, document } = recognise(payload);
    this.#kinds[kind] += 1;
    if (gzip) this.#gzip += 1;
    if (document) this.#shape.observe(document);
  }

  /** Returns the schema that fits most messages, or their fields in the given `format`. */
  propose(format?: Format): InferredSchema {
    const wanted = format ?? this.#format();
    const proposal = new Proposal(this.#shape, wanted);
    const structured = wanted.type === 'json' && !isUnstructured(wanted);
    const fields = structured ? proposal.fields() : [];
    const schema = completed(wanted, fields, proposal.unixMillis);
    const notes = [...proposal.notes, ...this.#notes(wanted)];
    const usable = isUsable(schema);
    if (!usable) notes.push(whyUnusable(wanted));
    return {
      kinds: { ...this.#kinds },
      gzip: this.#gzip,
      schema: usable ? schema : null,
      fields: proposal.evidence,
      notes,
    };
  }

  #total(): number {
    return payloadKinds.reduce((sum, kind) => sum + this.#kinds[kind], 0);
  }

  #format(): Format {
    const { json_object, json_other, text, bytes } = this.#kinds;
    const most = Math.max(json_object, json_other, text, bytes);
    const compression = this.#gzip * 2 > this.#total() ? { compression: 'gzip' } : {};
    const isMap = this.#shape.members === undefined;
    if (most === 0 || (most === json_object && !isMap)) return { type: 'json', ...compression } as Format;
    if (most === json_object || most === json_other)
      return { type: 'json', unstructured: true, ...compression } as Format;
    return { type: most === text ? 'raw_string' : 'raw_bytes', ...compression } as Format;
  }

  #notes(format: Format): string[] {
    const { type } = format;
    const unstructured = isUnstructured(format);
    const { json_object, json_other, text, empty, too_large } = this.#kinds;
    const fitting: Record<string, number> = {
      json: unstructured ? json_object + json_other : json_object,
      raw_string: json_object + json_other + text + empty,
    };
    const misfits = this.#total() - too_large - (fitting[type] ?? this.#total());
    const what = type === 'json' && !unstructured ? 'JSON objects' : type;
    return [
      ...(misfits > 0
        ? [`${misfits} of ${this.#total()} messages are not ${what} and would be bad data`]
        : []),
      ...(too_large > 0 ? [`${too_large} messages of more than 1 MiB were not inspected`] : []),
    ];
  }
}

function completed(format: Format, fields: Field[], unixMillis: boolean): ConnectionSchema {
  const whole = { required: true, name: 'value' } as const;
  if (isUnstructured(format)) return { format, fields: [{ ...whole, type: 'json' }] };
  if (format.type !== 'json')
    return {
      format,
      fields: [{ ...whole, type: format.type === 'raw_string' ? 'string' : 'bytes' }],
    };
  const timestamps = unixMillis ? ({ timestamp_format: 'unix_millis' } as const) : {};
  return { format: { ...format, ...timestamps }, fields };
}

function isUsable(schema: ConnectionSchema): boolean {
  if (!Value.Check(WireFormat, schema.format)) return false;
  try {
    return validateSchema(expandSchema(schema)).length === 0;
  } catch (error) {
    if (error instanceof PenstockError && error.code === 'invalid_schema') return false;
    throw error;
  }
}

const isUnstructured = (format: Format): boolean => 'unstructured' in format && format.unstructured === true;

const whyUnusable = ({ type, compression }: { type: string; compression?: unknown }): string => {
  const compressed = compression === 'gzip' ? ' compressed with gzip' : '';
  return type === 'json' && compressed === ''
    ? 'No field could be proposed: no JSON object had a property'
    : `The messages look like ${type}${compressed}, which no table can read`;
};

class Proposal {
  readonly evidence: FieldEvidence[] = [];
  readonly notes: string[] = [];
  /** Whether some field is a time in milliseconds, which the format must then declare. */
  unixMillis = false;
  readonly #shape: ObservedShape;
  readonly #format: Format;

  constructor(shape: ObservedShape, format: Format) {
    this.#shape = shape;
    this.#format = format;
    if (shape.members === undefined)
      this.notes.push('The messages have too many different properties and look like maps');
  }

  fields(): Field[] {
    return this.#members(this.#shape, '');
  }

  #members(shape: ObservedShape, path: string): Field[] {
    const of = shape.count('struct');
    return [...(shape.members ?? [])].flatMap(([name, member]) => {
      const at = pathOf(path, name);
      if (name === '' || name.length > 256) {
        this.notes.push(
          `${name === '' ? `${path}/` : path} has a property with a name that no column can have`,
        );
        return [];
      }
      return [{ name, ...this.#item(member, at, name, of) }];
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

  #type(shape: ObservedShape, path: string, name: string): ListItem & { note?: string } {
    const types = [...shape.seen.keys()].filter((type) => type !== 'null');
    const [only] = types;
    if (only === undefined) return { type: 'json', note: 'It was always null, so its type is unknown' };
    if (types.every(isNumberType)) return this.#number(shape, name);
    if (types.every((type) => type === 'timestamp' || type === 'string')) return text(shape);
    if (types.length > 1) return { type: 'json', note: `It has values of ${types.join(' and ')}` };
    if (only === 'struct') return this.#struct(shape, path);
    if (only === 'list') return this.#list(shape, path, name);
    return { type: 'bool' };
  }

  #number(shape: ObservedShape, name: string): ListItem & { note?: string } {
    const [float, unsigned] = [shape.count('float64'), shape.count('uint64')];
    if (shape.count('huge') > 0) return { type: 'json', note: 'Some numbers are too large for any type' };
    if (float > 0 && shape.wide)
      return { type: 'json', note: 'Its large numbers would lose digits as float64' };
    if (float > 0) return { type: 'float64' };
    if (unsigned > 0 && shape.negative)
      return { type: 'json', note: 'Some numbers are negative and others too large for int64' };
    if (unsigned > 0) return { type: 'uint64' };
    if (!shape.millis) return { type: 'int64' };
    const asked = 'timestamp_format' in this.#format ? this.#format.timestamp_format : undefined;
    if (!speaksOfTime(name) || asked === 'rfc3339')
      return {
        type: 'int64',
        note: 'It could be a time in milliseconds since 1970, but its name does not suggest one',
      };
    this.unixMillis = true;
    return {
      type: 'timestamp',
      unit: 'millisecond',
      note: 'Its numbers are between 2001 and 2100 in milliseconds, and its name suggests a time',
    };
  }

  #struct(shape: ObservedShape, path: string): ListItem & { note?: string } {
    const fields = this.#members(shape, path);
    if (fields.length > 0) return { type: 'struct', fields };
    const note =
      shape.members === undefined
        ? 'It has too many properties or is nested too deep'
        : 'It was always empty';
    return { type: 'json', note };
  }

  #list(shape: ObservedShape, path: string, name: string): ListItem & { note?: string } {
    const { items } = shape;
    if (items !== undefined)
      return { type: 'list', items: this.#item(items, `${path}/*`, name, items.present) };
    return { type: 'json', note: 'Its lists were always empty or nested too deep' };
  }
}

/** Chooses the finest unit in use that all values fit. */
function text(shape: ObservedShape): ListItem & { note?: string } {
  if (shape.count('string') > 0) {
    return shape.count('timestamp') > 0
      ? { type: 'string', note: 'Some values are RFC 3339 times, others are not' }
      : { type: 'string' };
  }
  if (shape.fraction > 6 && shape.nanoseconds) return { type: 'timestamp', unit: 'nanosecond' };
  return { type: 'timestamp', unit: shape.fraction > 3 ? 'microsecond' : 'millisecond' };
}

const timeWords = ['ts', 'time', 'timestamp', 'date', 'datetime', 'at', 'ms', 'millis', 'epoch', 'when'];

/** Whether one of the words of a name is of time: createdAt, event_time, ts. */
const speaksOfTime = (name: string): boolean =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]+/)
    .some((word) => timeWords.includes(word));
