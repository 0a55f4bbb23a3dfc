import type { Row } from '../../../formats/format.ts';
import { type MqttTable, sinkOf } from '../config/table.ts';
import { badRow, Template } from '../config/template.ts';
import { checkTopicName } from '../config/topic.ts';
import { lengthBytes, type PublishHead, writeLength } from './packet-writer.ts';

/** Encodes the topics and properties of the messages of one sink table; constant parts only once. */
export class PublishHeads {
  readonly #topic: Template;
  readonly #properties: PropertyTemplates | undefined;
  readonly #constantTopic: Buffer | undefined;
  readonly #constantProperties: Buffer | undefined;
  readonly #constant: PublishHead | undefined;

  constructor(table: MqttTable, version: 4 | 5) {
    this.#topic = new Template(table.topic, '/topic');
    this.#constantTopic = this.#topic.constant ? Buffer.from(table.topic) : undefined;
    this.#properties = version === 5 ? new PropertyTemplates(table) : undefined;
    if (this.#properties === undefined) this.#constantProperties = empty;
    else if (this.#properties.constant) this.#constantProperties = this.#properties.encode({});
    if (this.#constantTopic !== undefined && this.#constantProperties !== undefined)
      this.#constant = { topic: this.#constantTopic, properties: this.#constantProperties };
  }

  /** Throws `bad_row` if the columns give no valid topic or property. */
  of(row: Row): PublishHead {
    return (
      this.#constant ?? {
        topic: this.#constantTopic ?? Buffer.from(topicFor(this.#topic, row)),
        properties: this.#constantProperties ?? this.#properties?.encode(row) ?? empty,
      }
    );
  }
}

const empty = Buffer.alloc(0);

function topicFor(template: Template, row: Row): string {
  const topic = template.text(row, refuseLevels);
  if (topic === undefined) throw badRow(template.path, 'A column of the topic is null');
  const wrong = checkTopicName(topic);
  if (wrong !== null) throw badRow(template.path, `The topic ${wrong}`);
  return topic;
}

function refuseLevels(text: string): string | null {
  if (text === '' || text.startsWith('/') || text.endsWith('/') || text.includes('//'))
    return 'gives the topic an empty level';
  if (text.includes('+') || text.includes('#')) return 'gives the topic a wildcard character';
  return text.includes('\0') ? 'gives the topic a NUL character' : null;
}

const maxBytes = 65_535;
const maxExpirySecs = 4_294_967_295;

/** The properties of a table. One with a column that is null is omitted. */
class PropertyTemplates {
  readonly constant: boolean;
  readonly #expirySecs: Template | undefined;
  readonly #contentType: Template | undefined;
  readonly #responseTopic: Template | undefined;
  readonly #correlationData: Template | undefined;
  readonly #userProperties: { name: string; value: Template }[];

  constructor(table: MqttTable) {
    const { expirySecs, contentType, responseTopic, correlationData, userProperties } = sinkOf(table) ?? {};
    const template = (text: string | number | undefined, name: string) =>
      text === undefined || text === '' ? undefined : new Template(String(text), `/type/${name}`);
    this.#expirySecs = template(expirySecs, 'expirySecs');
    this.#contentType = template(contentType, 'contentType');
    this.#responseTopic = template(responseTopic, 'responseTopic');
    this.#correlationData = template(correlationData, 'correlationData');
    this.#userProperties = Object.entries(userProperties ?? {}).map(([name, text]) => ({
      name,
      value: new Template(text, '/type/userProperties'),
    }));
    this.constant = [
      this.#expirySecs,
      this.#contentType,
      this.#responseTopic,
      this.#correlationData,
      ...this.#userProperties.map(({ value }) => value),
    ].every((each) => each?.constant ?? true);
  }

  /** Encodes the properties (MQTT 5, section 3.3.2.3), prefixed with their length. */
  encode(row: Row): Buffer {
    const parts: Buffer[] = [];
    const expirySecs = this.#expiry(row);
    if (expirySecs !== undefined) {
      const bytes = Buffer.of(0x02, 0, 0, 0, 0);
      bytes.writeUInt32BE(expirySecs, 1);
      parts.push(bytes);
    }
    push(parts, 0x03, shortText(this.#contentType, row));
    const responseTopic = this.#responseTopic;
    if (responseTopic?.text(row) !== undefined) push(parts, 0x08, topicFor(responseTopic, row));
    push(parts, 0x09, this.#correlation(row));
    for (const { name, value } of this.#userProperties) push(parts, 0x26, name, shortText(value, row));
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const prefix = Buffer.alloc(lengthBytes(length));
    writeLength(prefix, 0, length);
    return Buffer.concat([prefix, ...parts]);
  }

  #expiry(row: Row): number | undefined {
    const text = this.#expirySecs?.text(row);
    if (this.#expirySecs === undefined || text === undefined) return undefined;
    if (/^\d{1,10}$/.test(text) && Number(text) <= maxExpirySecs) return Number(text);
    throw badRow(this.#expirySecs.path, `expirySecs must be a whole number from 0 to ${maxExpirySecs}`);
  }

  #correlation(row: Row): Buffer | string | undefined {
    const template = this.#correlationData;
    const bytes = template?.bare(row);
    if (template === undefined || !Buffer.isBuffer(bytes)) return shortText(template, row);
    if (bytes.length <= maxBytes) return bytes;
    throw badRow(template.path, 'correlationData must not be longer than 65,535 bytes');
  }
}

function shortText(template: Template | undefined, row: Row): string | undefined {
  const text = template?.text(row);
  if (template === undefined || text === undefined) return undefined;
  if (Buffer.byteLength(text) <= maxBytes && text.isWellFormed() && !text.includes('\0')) return text;
  throw badRow(template.path, 'The property must be well-formed text without NUL, of at most 65,535 bytes');
}

/** Appends a property with its values, each prefixed with its length; nothing if a value is undefined. */
function push(parts: Buffer[], id: number, ...values: (string | Buffer | undefined)[]): void {
  if (values.includes(undefined)) return;
  parts.push(Buffer.of(id));
  for (const value of values as (string | Buffer)[]) {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(bytes.length);
    parts.push(length, bytes);
  }
}
