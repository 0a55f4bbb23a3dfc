import { messageTypeOf } from '../protobuf/definition.ts';
import { fieldsFromMessage } from '../protobuf/fields.ts';
import type { Field, ListItem } from '../schema/schema.ts';

/**
 * Field numbers and types of Eclipse Sparkplug 3.0.0, section 6.4 ("Sparkplug B v1.0 Payloads"). The values of a metric
 * are a oneof there; as optional members protobufjs reads them twice as fast.
 */
const schema = `
  syntax = "proto2";
  package sparkplug_b;
  message Payload {
    optional uint64 timestamp = 1;
    repeated Metric metrics = 2;
    optional uint64 seq = 3;
    optional string uuid = 4;
    optional bytes body = 5;
  }
  message Metric {
    optional string name = 1;
    optional uint64 alias = 2;
    optional uint64 timestamp = 3;
    optional uint32 datatype = 4;
    optional bool is_historical = 5;
    optional bool is_transient = 6;
    optional bool is_null = 7;
    optional MetaData metadata = 8;
    optional PropertySet properties = 9;
    optional uint32 int_value = 10;
    optional uint64 long_value = 11;
    optional float float_value = 12;
    optional double double_value = 13;
    optional bool boolean_value = 14;
    optional string string_value = 15;
    optional bytes bytes_value = 16;
    optional DataSet dataset_value = 17;
    optional Template template_value = 18;
  }
  message MetaData {
    optional bool is_multi_part = 1;
    optional string content_type = 2;
    optional uint64 size = 3;
    optional uint64 seq = 4;
    optional string file_name = 5;
    optional string file_type = 6;
    optional string md5 = 7;
    optional string description = 8;
  }
  message PropertySet {
    repeated string keys = 1;
    repeated PropertyValue values = 2;
  }
  message PropertyValue {
    optional uint32 type = 1;
    optional bool is_null = 2;
    oneof value {
      uint32 int_value = 3;
      uint64 long_value = 4;
      float float_value = 5;
      double double_value = 6;
      bool boolean_value = 7;
      string string_value = 8;
      PropertySet propertyset_value = 9;
      PropertySetList propertysets_value = 10;
    }
  }
  message PropertySetList { repeated PropertySet propertyset = 1; }
  message DataSet {
    optional uint64 num_of_columns = 1;
    repeated string columns = 2;
    repeated uint32 types = 3;
    repeated Row rows = 4;
    message Row { repeated DataSetValue elements = 1; }
    message DataSetValue {
      oneof value {
        uint32 int_value = 1;
        uint64 long_value = 2;
        float float_value = 3;
        double double_value = 4;
        bool boolean_value = 5;
        string string_value = 6;
      }
    }
  }
  message Template {
    optional string version = 1;
    repeated Metric metrics = 2;
    repeated Parameter parameters = 3;
    optional string template_ref = 4;
    optional bool is_definition = 5;
    message Parameter {
      optional string name = 1;
      optional uint32 type = 2;
      oneof value {
        uint32 int_value = 3;
        uint64 long_value = 4;
        float float_value = 5;
        double double_value = 6;
        bool boolean_value = 7;
        string string_value = 8;
      }
    }
  }`;

const typeIn = (text: string, name: string) =>
  messageTypeOf({ type: 'protobuf_schema', schema: text }, `sparkplug_b.${name}`);

const jsonOf = (field: Field): Field =>
  field.type === 'struct' ? { name: field.name, type: 'json', required: false } : field;

function parseTypes() {
  const [payload, metric] = [typeIn(schema, 'Payload'), typeIn(schema, 'Metric')];
  // A payload whose metrics are not read yet, so that each can be read on its own.
  const split = typeIn(schema.replace('repeated Metric metrics', 'repeated bytes metrics'), 'Payload');
  // A payload as a row, with the messages inside a metric as json: a Template may hold itself.
  const metricFields = fieldsFromMessage(metric).map(jsonOf);
  const payloadFields = fieldsFromMessage(payload).map((field) => {
    if (field.name !== 'metrics' || !field.items) return field;
    return { ...field, items: { ...field.items, fields: [...metricFields] } };
  });
  return {
    payload: { type: payload, fields: payloadFields },
    metric: { type: metric, fields: metricFields },
    split: { type: split, fields: fieldsFromMessage(split) },
  };
}

let types: ReturnType<typeof parseTypes> | undefined;

/** Returns the messages with their fields. Parsed on first use: a process without a Sparkplug table starts sooner. */
export function messageTypes(): ReturnType<typeof parseTypes> {
  types ??= parseTypes();
  return types;
}

const milliseconds: ListItem = { type: 'timestamp', unit: 'millisecond' };

/** Columns that a table may have; each metric is a row. */
export const columns: ReadonlyMap<string, ListItem> = new Map<string, ListItem>([
  ['name', { type: 'string' }],
  ['alias', { type: 'uint64' }],
  ['timestamp', milliseconds],
  ['datatype', { type: 'string' }],
  ['is_historical', { type: 'bool' }],
  ['is_transient', { type: 'bool' }],
  ['is_null', { type: 'bool' }],
  ['int_value', { type: 'int64' }],
  ['uint64_value', { type: 'uint64' }],
  ['double_value', { type: 'float64' }],
  ['bool_value', { type: 'bool' }],
  ['string_value', { type: 'string' }],
  ['time_value', milliseconds],
  ['bytes_value', { type: 'bytes' }],
  ['raw_value', { type: 'uint64' }],
  ['value', { type: 'json' }],
  ['properties', { type: 'json' }],
  ['metadata', { type: 'json' }],
  ['payload_timestamp', milliseconds],
  ['payload_seq', { type: 'uint64' }],
  ['payload_uuid', { type: 'string' }],
  ['payload_body', { type: 'bytes' }],
]);

/** The member of the message and the column that hold a datatype, and the bits of an integer. */
export interface Datatype {
  name: string;
  member: string;
  column: string;
  bits?: 8 | 16 | 32 | 64;
  signed?: boolean;
}

/** The member is the one to write: sparkplug-payload for Node reads a UInt32 from no other. */
const integer = (name: string, bits: 8 | 16 | 32 | 64, signed: boolean): Datatype => ({
  name,
  member: bits === 64 || name === 'UInt32' ? 'long_value' : 'int_value',
  column: bits === 64 && !signed ? 'uint64_value' : 'int_value',
  bits,
  signed,
});
const bytes = (name: string): Datatype => ({ name, member: 'bytes_value', column: 'bytes_value' });

/** Datatypes by number, from 1 (section 6.4.16). Arrays are packed into bytes. */
export const datatypes: readonly (Datatype | undefined)[] = [
  undefined,
  integer('Int8', 8, true),
  integer('Int16', 16, true),
  integer('Int32', 32, true),
  integer('Int64', 64, true),
  integer('UInt8', 8, false),
  integer('UInt16', 16, false),
  integer('UInt32', 32, false),
  integer('UInt64', 64, false),
  { name: 'Float', member: 'float_value', column: 'double_value' },
  { name: 'Double', member: 'double_value', column: 'double_value' },
  { name: 'Boolean', member: 'boolean_value', column: 'bool_value' },
  { name: 'String', member: 'string_value', column: 'string_value' },
  { name: 'DateTime', member: 'long_value', column: 'time_value' },
  { name: 'Text', member: 'string_value', column: 'string_value' },
  { name: 'UUID', member: 'string_value', column: 'string_value' },
  { name: 'DataSet', member: 'dataset_value', column: 'value' },
  bytes('Bytes'),
  bytes('File'),
  { name: 'Template', member: 'template_value', column: 'value' },
  undefined,
  undefined,
  ...['Int8', 'Int16', 'Int32', 'Int64', 'UInt8', 'UInt16', 'UInt32', 'UInt64', 'Float', 'Double'].map(
    (name) => bytes(`${name}Array`),
  ),
  ...['Boolean', 'String', 'DateTime'].map((name) => bytes(`${name}Array`)),
];
