import { createHash } from 'node:crypto';
import { constants, gunzipSync, gzipSync } from 'node:zlib';
import { type FieldError, PenstockError } from '../errors.ts';
import { behindHeader, headerSize, type Registered, validateHeader } from './confluent.ts';
import type { Codec, Row, SchemaIn, WholeMessage } from './format.ts';
import { byLines, skippingEmpty } from './framing.ts';
import type { RegisteredSchema, RegisteredSchemas } from './registered.ts';
import { formatOf, formatTypes } from './registry.ts';
import {
  BadData,
  type ConnectionSchema,
  type Field,
  type FieldTypeName,
  type Format,
  type FormatType,
  isMetadata,
  type ListItem,
  messageFields,
  type SchemaDefinition,
} from './schema/schema.ts';
import { sqlType } from './schema/sql-type.ts';
import { validateTime } from './schema/table-time.ts';
import { badData } from './values/bad.ts';
import { validateZone } from './values/zone.ts';

/** Codecs in use, by a hash of their schema. They keep no state, and there may be thousands of tasks with one schema. */
const shared = new Map<string, WeakRef<Codec>>();
const unused = new FinalizationRegistry((key: string) => {
  if (shared.get(key)?.deref() === undefined) shared.delete(key);
});

/**
 * Returns the codec of a schema, which must be expanded (`expandSchema`). Throws `invalid_schema`, with the same `errors` as
 * `validateSchema`, when it is not valid. Without `schemas` messages whose schema is in a registry cannot be read.
 */
export function codecFor(schema: ConnectionSchema, schemas?: RegisteredSchemas): Codec {
  // A codec that reads the schemas of one registry is of no use for another.
  if (schemas) return newCodec(schema, schemas);
  const key = createHash('sha256').update(JSON.stringify(schema)).digest('base64');
  const known = shared.get(key)?.deref();
  if (known) return known;
  const codec = newCodec(schema);
  shared.set(key, new WeakRef(codec));
  unused.register(codec, key);
  return codec;
}

/** Does the work that depends on the schema alone. */
function newCodec(schema: ConnectionSchema, schemas?: RegisteredSchemas): Codec {
  const errors = validateSchema(schema);
  const { format, framing } = schema;
  const definition = format && formatOf(format);
  if (errors.length > 0 || !definition) {
    const message = errors[0]?.message ?? 'The schema has no known format';
    throw new PenstockError('invalid_schema', message, { errors });
  }
  const codec = definition.codec({ ...schema, format });
  const framed = (one: Codec): Codec =>
    framing && definition.newlines !== 'own' ? byLines(one, framing, definition.newlines === 'values') : one;
  const { reader } = definition.registry ?? {};
  const read = reader && ((writer: RegisteredSchema) => framed(reader({ ...schema, format }, writer)));
  return inMessage(framed(codec), format, schemas && { schemas, reader: read });
}

/** The same, once these messages can be decoded. Rejects if the registry with their schemas cannot be asked. */
export async function readyCodec(
  schema: ConnectionSchema,
  schemas: RegisteredSchemas | undefined,
  payloads: readonly Buffer[],
): Promise<Codec> {
  const codec = codecFor(schema, schemas);
  await codec.prepare?.(payloads);
  return codec;
}

/** Adds the parts that any format may have around it: a header, compression, and messages without content. */
export function inMessage(codec: Codec, format: Format, registered?: Registered): Codec {
  const headed = behindHeader(codec, format, registered);
  const packed = format.compression === 'gzip' ? gzipped(headed) : headed;
  return 'skip_empty' in format && format.skip_empty ? skippingEmpty(packed) : packed;
}

/**
 * Returns the rows of a message that can be read. An error of the whole message, or of one row with its number from 0,
 * goes to `bad`, which may throw.
 */
export function readRows(codec: Codec, payload: Buffer, bad: (error: unknown, row?: number) => void): Row[] {
  const errors: { error: unknown; row?: number }[] = [];
  let rows: Row[] = [];
  try {
    rows = codec.decodeAll?.(payload, (error, row) => errors.push({ error, row })) ?? [codec.decode(payload)];
  } catch (error) {
    errors.push({ error });
  }
  for (const { error, row } of errors) bad(error, row);
  return rows;
}

/** Throws the first error. */
export const rowsOf = (codec: Codec, payload: Buffer): Row[] =>
  codec.decodeAll?.(payload) ?? [codec.decode(payload)];

/** Maximum size of an unpacked message in bytes: a packet of a few kilobytes can hold gigabytes. */
const maxUnpacked = 16 * 1024 * 1024;

function gzipped(codec: Codec): Codec {
  const packed: Codec = {
    decode: (payload) => codec.decode(gunzip(payload)),
    encode: (row) => gzipSync(codec.encode(row)),
  };
  if (codec.decodeAll) {
    const decodeAll = codec.decodeAll.bind(codec);
    packed.decodeAll = (payload, bad) => decodeAll(gunzip(payload), bad);
  }
  if (codec.prepare) {
    const prepare = codec.prepare.bind(codec);
    packed.prepare = (payloads) => prepare(beginningsOf(payloads));
  }
  return packed;
}

/** Compressed bytes that nearly always hold the beginning of a message. */
const beginning = 4096;

/** Unpacks the beginnings of messages. Those that are not gzip are left out: decoding says what is wrong with them. */
function* beginningsOf(payloads: Iterable<Buffer>): Generator<Buffer> {
  for (const payload of payloads) {
    let unpacked = unpackedFrom(payload.subarray(0, beginning));
    // A gzip header may have a long file name, and there may be empty members before the first byte.
    if ((unpacked?.length ?? 0) < headerSize && payload.length > beginning) unpacked = unpackedFrom(payload);
    if (unpacked) yield unpacked;
  }
}

function unpackedFrom(payload: Buffer): Buffer | undefined {
  try {
    return gunzipSync(payload, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: maxUnpacked });
  } catch {
    return undefined;
  }
}

function gunzip(payload: Buffer): Buffer {
  try {
    return gunzipSync(payload, { maxOutputLength: maxUnpacked });
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE')
      throw badData('', `is more than ${maxUnpacked} bytes when it is unpacked`);
    throw badData('', 'is not gzip');
  }
}

/** A metadata column that a connector offers to `metadata_key`. */
export interface KnownMetadata {
  name: string;
  type: FieldTypeName;
  items?: FieldTypeName;
}

const maxDepth = 32;

/**
 * Returns a completed copy of a schema: `fields` derived from its `definition`, or the one field of a format that holds
 * the whole message, with every `required` and `sql_name`. A completed schema stays as it is. Throws `invalid_schema` with
 * the path of what a definition cannot express.
 */
export function expandSchema(schema: ConnectionSchema): ConnectionSchema {
  return { ...schema, fields: fieldsOf(schema).map(expandItem) };
}

function fieldsOf(schema: ConnectionSchema): readonly Field[] {
  const fields = schema.fields ?? [];
  if (!schema.definition) return fields.length > 0 ? fields : wholeMessageField(schema);
  // A definition cannot hold metadata columns: they are kept from the fields.
  return [...derivedFields(schema, schema.definition), ...fields.filter(isMetadata)];
}

function derivedFields({ format, ...schema }: ConnectionSchema, definition: SchemaDefinition): Field[] {
  const language = format && formatOf(format)?.definition;
  if (!format || language?.type !== definition.type) {
    const takes = language ? `takes ${language.type}` : 'takes no definition';
    const subject = format ? `The format ${format.type} ${takes}` : 'The schema has no format';
    const message = `${subject}; leave the definition out or change the format`;
    throw new PenstockError('invalid_schema', message, { errors: [{ path: '/definition', message }] });
  }
  return language.fieldsFrom({ ...schema, format, definition } as SchemaIn<FormatType> & {
    definition: SchemaDefinition;
  });
}

/** A schema whose fields are inferred from a query has none yet, and must not get one here. */
function wholeMessageField({ format, inferred }: ConnectionSchema): readonly Field[] {
  if (!format || inferred) return [];
  const type = formatOf(format)?.wholeMessage?.(format);
  return type ? [{ name: 'value', type, required: true }] : [];
}

function expandItem<T extends ListItem>(item: T): T {
  const expanded: T = { ...item, required: item.required ?? false, sql_name: sqlType(item) };
  if (item.type === 'timestamp') expanded.unit = item.unit ?? 'millisecond';
  if (item.fields) expanded.fields = item.fields.map(expandItem);
  if (item.items) expanded.items = { ...expandItem(item.items), name: item.items.name ?? 'item' };
  return expanded;
}

/**
 * Returns the errors of a schema beyond its JSON Schema. Paths are JSON pointers into the schema, e.g.
 * `/fields/2/precision`. `metadata` are the columns that the connector offers; without it keys are not checked. Call
 * `expandSchema` first for a schema with a `definition`. A sink that takes typed rows (`takesRows`) needs no format.
 */
export function validateSchema(
  schema: ConnectionSchema,
  metadata?: readonly KnownMetadata[],
  takesRows = false,
): FieldError[] {
  const errors: FieldError[] = [];
  const fields = schema.fields ?? [];
  validateFields(fields, '/fields', 1, errors);
  fields.forEach((field, index) => {
    validateMetadataKey(field, `/fields/${index}/metadata_key`, metadata, errors);
  });
  if (takesRows) validateRows(schema, fields, errors);
  else validateFormat(schema, fields, errors);
  validateBadData(schema.bad_data, errors);
  errors.push(...validateTime(schema.time, fields));
  for (const [index, key] of (schema.primary_keys ?? []).entries()) {
    if (!fields.some((field) => field.name === key))
      add(errors, `/primary_keys/${index}`, `There is no field called ${key}`);
  }
  return errors;
}

function add(errors: FieldError[], path: string, message: string): void {
  errors.push({ path, message });
}

/** Bounds that come from SQL have not been checked by the JSON Schema. */
function validateBadData(badData: ConnectionSchema['bad_data'], errors: FieldError[]): void {
  if (!badData) return;
  for (const bound of ['max_count', 'max_bytes', 'when_full'] as const) {
    const value = badData[bound];
    if (value === undefined) continue;
    const path = `/bad_data/${bound}`;
    const { minimum = 0, maximum = 0 } = BadData.properties[bound] as { minimum?: number; maximum?: number };
    if (badData.behavior !== 'dead_letter')
      add(errors, path, `${bound} is for the behavior dead_letter; remove it or change the behavior`);
    else if (typeof value === 'number' && (value < minimum || value > maximum))
      add(errors, path, `${bound} must be between ${minimum} and ${maximum}`);
  }
}

/** Checks the schema of a sink that takes typed rows. */
function validateRows(schema: ConnectionSchema, fields: readonly Field[], errors: FieldError[]): void {
  const { format, framing } = schema;
  if (format && !formatOf(format)?.filesOnly)
    add(errors, '/format', 'The schema must have no format: this connector writes the columns themselves');
  if (framing) add(errors, '/framing', 'Rows that are written as columns have no framing; leave it out');
  validateShape(schema, undefined, fields, errors);
}

/** The format's own check comes last: it may rely on valid fields. */
function validateFormat(schema: ConnectionSchema, fields: readonly Field[], errors: FieldError[]): void {
  const { format } = schema;
  const types = formatTypes.join(', ');
  if (!format) {
    add(errors, '/format', `The schema needs a format: ${types}`);
    return;
  }
  const definition = formatOf(format);
  if (!definition) {
    add(errors, '/format/type', `Messages in ${format.type} are not supported; use one of ${types}`);
    return;
  }
  if (definition.filesOnly) {
    add(errors, '/format/type', `The format ${format.type} is for whole files; messages cannot have it`);
    return;
  }
  errors.push(...validateHeader(format), ...validateZone(format));
  if (schema.framing && !definition.newlines) {
    const message = `The format ${format.type} cannot be framed by newlines: its bytes may contain them`;
    add(errors, '/framing', message);
  }
  if ((schema.framing?.max_line_length ?? 1) < 1)
    add(errors, '/framing/max_line_length', 'max_line_length must be at least 1');
  validateShape(schema, definition.wholeMessage?.(format), fields, errors);
  if (errors.length > 0) return;
  errors.push(...(definition.validate?.({ ...schema, format }) ?? []));
}

function validateFields(fields: readonly Field[], path: string, depth: number, errors: FieldError[]): void {
  const seen = new Set<string>();
  fields.forEach((field, index) => {
    const at = `${path}/${index}`;
    if (seen.has(field.name)) add(errors, `${at}/name`, `Two fields are called ${field.name}`);
    seen.add(field.name);
    validateType(field, at, depth, errors);
  });
}

function validateType(item: ListItem, path: string, depth: number, errors: FieldError[]): void {
  if (depth > maxDepth) {
    add(errors, path, `Fields must not be nested more than ${maxDepth} deep`);
    return;
  }
  validateStray(item, path, errors);
  if (item.type === 'decimal128') validateDecimal(item, path, errors);
  if (item.type === 'struct') validateStruct(item, path, depth, errors);
  if (item.type !== 'list') return;
  if (item.items) validateType(item.items, `${path}/items`, depth + 1, errors);
  else add(errors, `${path}/items`, 'A list needs items: the type of its elements');
}

const owners = {
  unit: 'timestamp',
  precision: 'decimal128',
  scale: 'decimal128',
  fields: 'struct',
  items: 'list',
} as const;

/** Refuses a property of another type, which would otherwise be ignored silently. */
function validateStray(item: ListItem, path: string, errors: FieldError[]): void {
  for (const [property, type] of Object.entries(owners)) {
    if (item[property as keyof typeof owners] === undefined || item.type === type) continue;
    add(errors, `${path}/${property}`, `${property} is only for the type ${type}`);
  }
}

function validateDecimal({ precision, scale }: ListItem, path: string, errors: FieldError[]): void {
  if (precision === undefined)
    add(errors, `${path}/precision`, 'A decimal128 needs a precision: 1 to 38 digits in total');
  if (scale === undefined)
    add(errors, `${path}/scale`, 'A decimal128 needs a scale: the digits after the decimal point');
  else if (precision !== undefined && scale > precision)
    add(errors, `${path}/scale`, `The scale must not exceed the precision, ${precision}`);
}

function validateStruct(item: ListItem, path: string, depth: number, errors: FieldError[]): void {
  const members = item.fields ?? [];
  if (members.length === 0) add(errors, `${path}/fields`, 'A struct needs at least one field');
  validateFields(members, `${path}/fields`, depth + 1, errors);
  members.forEach((member, index) => {
    if (!member.metadata_key) return;
    const at = `${path}/fields/${index}/metadata_key`;
    add(errors, at, 'Metadata can only fill a column, not a member of a struct');
  });
}

function validateMetadataKey(
  field: Field,
  path: string,
  known: readonly KnownMetadata[] | undefined,
  errors: FieldError[],
): void {
  if (!known || !isMetadata(field)) return;
  const column = known.find((candidate) => candidate.name === field.metadata_key);
  if (!column) {
    const names = known.map((candidate) => candidate.name).join(', ');
    const offered = names === '' ? 'it has none' : `it has ${names}`;
    add(errors, path, `The connector has no metadata called ${field.metadata_key}: ${offered}`);
  } else if (column.type !== field.type) {
    const message = `The metadata ${column.name} is of type ${column.type}, so the field cannot be ${field.type}`;
    add(errors, path, message);
  } else if (column.items !== field.items?.type)
    add(errors, path, `The metadata ${column.name} is a list of ${column.items}, so the field must be too`);
}

/** Formats that hold the whole message in one field fix its name and type. */
function validateShape(
  { format, inferred }: ConnectionSchema,
  whole: WholeMessage | undefined,
  fields: readonly Field[],
  errors: FieldError[],
) {
  if (inferred && fields.length === 0) return;
  const payload = messageFields(fields);
  if (whole) {
    const [only] = payload;
    if (payload.length === 1 && only?.name === 'value' && only.type === whole) return;
    const kind = whole === 'json' ? `Unstructured ${format?.type}` : format?.type;
    add(errors, '/fields', `${kind} needs exactly one field besides metadata: value, of type ${whole}`);
  } else if (payload.length === 0) add(errors, '/fields', 'The schema needs at least one field');
}
