import { Value } from 'typebox/value';
import { PenstockError } from '../../errors.ts';
import { codecFor, expandSchema, readRows, validateSchema } from '../codec.ts';
import type { ConnectionSchema, Field, Format } from '../schema/schema.ts';
import { Format as WireFormat } from '../schema/wire-format.ts';
import { CsvGuess } from './csv-guess.ts';
import { envelopeNote, ObservedShape, unwrapped } from './observation.ts';
import { type BinaryFormat, type PayloadKind, payloadKinds, recognise } from './payloads.ts';
import { type FieldEvidence, Proposal, sameInSql } from './proposal.ts';
import { unixFormats } from './times.ts';

const maxFields = 1000;
const binaryFormats = ['sparkplug_b', 'cbor', 'msgpack'] as const;
/** Maximum number and total size of the messages that a proposal is tried on. */
const maxTried = { messages: 100, bytes: 2 * 1024 * 1024 };
const maxOddities = 5;

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
  readonly #binary = Object.fromEntries(binaryFormats.map((name) => [name, 0])) as Record<
    BinaryFormat,
    number
  >;
  readonly #shapes = new Map<'json' | BinaryFormat, ObservedShape>();
  readonly #oddities = new Map<string, number>();
  readonly #csv = new CsvGuess();
  readonly #tried: Buffer[] = [];
  #triedBytes = 0;
  #gzip = 0;
  #framed = 0;

  /** `topic` is where the message came from, if the connector has topics. */
  observe(payload: Buffer, topic?: string): void {
    const { kind, gzip, documents = [], lines, binary, oddity, plain } = recognise(payload, topic);
    this.#kinds[kind] += 1;
    if (gzip) this.#gzip += 1;
    if (lines) this.#framed += 1;
    if (binary) this.#binary[binary] += 1;
    for (const document of documents) this.#shape(binary ?? 'json').observe(document);
    const known = oddity === undefined ? undefined : this.#oddities.get(oddity);
    if (oddity !== undefined && (known !== undefined || this.#oddities.size < maxOddities))
      this.#oddities.set(oddity, (known ?? 0) + 1);
    if (kind === 'text' && plain) this.#csv.observe(plain);
    if (this.#tried.length >= maxTried.messages || this.#triedBytes + payload.length > maxTried.bytes) return;
    this.#triedBytes += payload.length;
    this.#tried.push(payload);
  }

  #shape(format: 'json' | BinaryFormat): ObservedShape {
    const shape = this.#shapes.get(format) ?? new ObservedShape({ fields: maxFields });
    this.#shapes.set(format, shape);
    return shape;
  }

  /** Returns the schema that fits most messages, or their fields in the given `format`. */
  propose(format?: Format): InferredSchema {
    const wanted = format ?? this.#format();
    const own = wanted.type === 'cbor' || wanted.type === 'msgpack' ? wanted.type : 'json';
    const { shape, path } = unwrapped(this.#shape(own), wanted);
    const proposal = new Proposal(shape, wanted);
    const structured = (own !== 'json' || wanted.type === 'json') && !isUnstructured(wanted);
    const fields = structured ? proposal.fields() : [];
    const schema = this.#adjusted(this.#completed(wanted, fields, proposal), proposal);
    const notes = [...proposal.notes, ...this.#notes(wanted, format !== undefined)];
    const usable = isUsable(schema);
    if (!usable) notes.push(whyUnusable(wanted));
    return {
      kinds: { ...this.#kinds },
      gzip: this.#gzip,
      schema: usable ? schema : null,
      fields: proposal.evidence.map((field) => ({ ...field, path: `${path}${field.path}` })),
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
    const json = this.#shape('json');
    const isMap = json.members === undefined || sameInSql(json) !== undefined;
    if (most === 0 || (most === json_object && !isMap)) return { type: 'json', ...compression } as Format;
    if (most === json_object || most === json_other)
      return { type: 'json', unstructured: true, ...compression } as Format;
    if (most === text) return { type: 'raw_string', ...compression } as Format;
    const binary = binaryFormats.find((name) => this.#binary[name] * 2 > bytes);
    if (binary === undefined) return { type: 'raw_bytes', ...compression } as Format;
    const shape = this.#shape(binary);
    const whole = binary !== 'sparkplug_b' && (shape.members === undefined || sameInSql(shape));
    return { type: binary, ...(whole ? { into_unstructured_json: true } : {}), ...compression } as Format;
  }

  #completed(format: Format, fields: Field[], proposal: Proposal): ConnectionSchema {
    const whole = { required: true, name: 'value' } as const;
    const framing = this.#framed > 0 ? ({ framing: { method: 'newline' } } as const) : {};
    if (isUnstructured(format))
      return { format, ...(format.type === 'json' ? framing : {}), fields: [{ ...whole, type: 'json' }] };
    switch (format.type) {
      case 'json': {
        const isTime = JSON.stringify(fields).includes('"timestamp"');
        const unit = isTime ? proposal.counted : undefined;
        const timestamps = unit ? { timestamp_format: unixFormats[unit].format } : {};
        return { format: { ...format, ...timestamps }, ...framing, fields };
      }
      case 'cbor':
      case 'msgpack':
        return { format, fields };
      case 'sparkplug_b':
        return { format, fields: structuredClone(sparkplugFields) };
      case 'csv':
        return { format, ...this.#csv.framing(), fields: this.#csv.fields(format) };
      default:
        return { format, fields: [{ ...whole, type: format.type === 'raw_string' ? 'string' : 'bytes' }] };
    }
  }

  /** Makes columns that cannot read the messages they were proposed for json, or strings in csv. */
  #adjusted(schema: ConnectionSchema, { evidence }: Proposal): ConnectionSchema {
    const { type = 'json' } = schema.format ?? {};
    if (!['cbor', 'msgpack', 'csv'].includes(type) || !isUsable(schema)) return schema;
    const fields = [...(schema.fields ?? [])];
    const any = type === 'csv' ? 'string' : 'json';
    for (let attempt = 0; attempt <= fields.length; attempt += 1) {
      const failed = failingColumns({ ...schema, fields }, this.#tried);
      const broken = fields.findIndex(({ name, type: kind }) => failed.has(name) && kind !== any);
      const field = fields[broken];
      if (!field) return { ...schema, fields };
      const { name, required = false } = field;
      fields[broken] = { name, required, type: any };
      const told = evidence.find(({ path }) => path === `/${name}`);
      if (told) Object.assign(told, { type: 'json', note: 'It has values that JSON does not have' });
    }
    return { ...schema, fields };
  }

  #notes(format: Format, asked: boolean): string[] {
    const { type } = format;
    const unstructured = isUnstructured(format);
    const { json_object, json_other, text, empty, too_large } = this.#kinds;
    const fitting: Record<string, number> = {
      json: unstructured ? json_object + json_other : json_object,
      raw_string: json_object + json_other + text + empty,
      ...this.#binary,
    };
    const total = this.#total();
    const skipped = type === 'raw_string' ? 0 : empty;
    const misfits = total - too_large - skipped - (fitting[type] ?? total - skipped);
    const what = type === 'json' && !unstructured ? 'JSON objects' : type;
    const json = type === 'json' || asked ? undefined : this.#shapes.get('json');
    const same = type === 'json' && unstructured && !asked ? sameInSql(this.#shape('json')) : undefined;
    const csv = type === 'raw_string' && !asked ? this.#csv.note() : undefined;
    const envelope = type === 'json' && !asked ? envelopeNote(this.#shape('json')) : undefined;
    return [
      ...(same ? [caseNote(same)] : []),
      ...(misfits > 0 ? [`${misfits} of ${total} messages are not ${what} and would be bad data`] : []),
      ...(skipped > 0
        ? [
            `${empty} of ${total} messages are empty, as deletions of retained messages are: skip_empty skips them`,
          ]
        : []),
      ...(json && json.present > 0 ? [`${json_object} of ${total} messages are JSON objects`] : []),
      ...(this.#framed > 0
        ? [`In ${this.#framed} of ${total} messages each line is a JSON object, so each line is a row`]
        : []),
      ...[...this.#oddities].map(([oddity, count]) => `${count} of ${total} messages ${oddity}`),
      ...(csv ? [csv] : []),
      ...(envelope ? [envelope] : []),
      ...(type === 'sparkplug_b' && !asked
        ? ['The topics and payloads are those of Sparkplug B; each metric becomes a row']
        : []),
      ...((type === 'cbor' || type === 'msgpack') && !asked ? [`The messages are maps of ${type}`] : []),
      ...(too_large > 0 ? [`${too_large} messages of more than 1 MiB were not inspected`] : []),
    ];
  }
}

const caseNote = ([one, other]: [string, string]): string =>
  `The properties ${one} and ${other} differ in case only, which SQL takes for one name. So the message is one json column: ` +
  `(value ->> '${one}') and (value ->> '${other}') read them`;

/** The columns that some message does not fit. */
function failingColumns(schema: ConnectionSchema, payloads: readonly Buffer[]): Set<string> {
  const codec = codecFor(expandSchema(schema));
  const failed = new Set<string>();
  for (const payload of payloads)
    readRows(codec, payload, (error) => {
      if (!(error instanceof PenstockError)) throw error;
      for (const { path } of error.errors)
        failed.add((path.split('/')[1] ?? '').replaceAll('~1', '/').replaceAll('~0', '~'));
    });
  return failed;
}

/** The columns of Sparkplug that show every metric. */
const sparkplugFields: Field[] = [
  { name: 'name', type: 'string' },
  { name: 'alias', type: 'uint64' },
  { name: 'timestamp', type: 'timestamp', unit: 'millisecond' },
  { name: 'datatype', type: 'string' },
  { name: 'is_null', type: 'bool' },
  { name: 'value', type: 'json' },
];

function isUsable(schema: ConnectionSchema): boolean {
  if (!Value.Check(WireFormat, schema.format)) return false;
  try {
    return validateSchema(expandSchema(schema)).length === 0;
  } catch (error) {
    if (error instanceof PenstockError && error.code === 'invalid_schema') return false;
    throw error;
  }
}

const isUnstructured = (format: Format): boolean =>
  ('unstructured' in format && format.unstructured === true) ||
  ('into_unstructured_json' in format && format.into_unstructured_json === true);

const whyUnusable = ({ type, compression }: { type: string; compression?: unknown }): string => {
  const compressed = compression === 'gzip' ? ' compressed with gzip' : '';
  return type === 'json' && compressed === ''
    ? 'No field could be proposed: no JSON object had a property'
    : `The messages look like ${type}${compressed}, which no table can read`;
};
