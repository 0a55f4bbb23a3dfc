import type { PenstockError } from '../../../errors.ts';
import type { Row } from '../../../formats/format.ts';
import type { Outgoing, Refusal } from '../../connector.ts';
import { badRow, Template } from '../../network/template.ts';
import { mqttError } from '../config/errors.ts';
import { type MqttTable, propertyNames, sinkOf } from '../config/table.ts';
import { checkTopicName } from '../config/topic.ts';
import { lengthBytes, type PublishHead, writeLength } from './packet-writer.ts';

/** The state of one `write` call: which of its messages are sent and confirmed. */
export class PendingWrite {
  /** Resolves with the refusals once every message is confirmed or refused. */
  readonly done: Promise<Refusal[]>;
  readonly messages: readonly Outgoing[];
  readonly #refusals: Refusal[] = [];
  readonly #resolve: (refusals: Refusal[]) => void;
  readonly #reject: (error: unknown) => void;
  readonly #over: ((write: PendingWrite, refusals: number) => void) | undefined;
  #next = 0;
  #settled = 0;
  #failed = false;

  /** `over` is called with the number of refusals when `done` settles. */
  constructor(messages: readonly Outgoing[], over?: (write: PendingWrite, refusals: number) => void) {
    const { promise, resolve, reject } = Promise.withResolvers<Refusal[]>();
    this.done = promise;
    this.messages = messages;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#over = over;
  }

  /** Index of the next message to send; -1 if all are sent or the write has failed. */
  take(): number {
    if (this.#failed || this.#next === this.messages.length) return -1;
    this.#next += 1;
    return this.#next - 1;
  }

  fail(error: unknown): void {
    this.#failed = true;
    this.#reject(error);
    this.#over?.(this, 0);
  }

  confirm(): void {
    this.#settled += 1;
    if (this.#settled === this.messages.length) this.finish();
  }

  /** The message will never be delivered; the others continue. */
  refuse(index: number, error: PenstockError): void {
    this.#refusals.push({ index, error });
    this.confirm();
  }

  /** Resolves `done`. Also called from outside at QoS 0, which has no confirmations. */
  finish(): void {
    this.#resolve(this.#refusals.sort((a, b) => a.index - b.index));
    this.#over?.(this, this.#refusals.length);
  }
}

export interface SentMessage {
  readonly packetId: number;
  /** Undefined while the identifier is free. */
  write: PendingWrite | undefined;
  index: number;
  /** QoS 2: whether PUBREL was sent, so that PUBCOMP is due. */
  released: boolean;
  /** Position in the order of sending. */
  order: number;
}

/** Number of identifiers to begin with: there may be thousands of connections, and most never need more. */
const initialSize = 8;

/**
 * The unconfirmed messages of one connection by packet identifier, 1 to `max`. A freed identifier is reused last, so that
 * a late confirmation does not match a new message.
 */
export class InFlightMessages {
  readonly #max: number;
  #sentBefore = 0;
  readonly #sent: SentMessage[] = [];
  /** Ring of free identifiers, the next one at `#head`. */
  #free = new Uint16Array(0);
  #head = 0;
  #length = 0;

  constructor(max: number) {
    this.#max = max;
    this.#growTo(Math.min(initialSize, max));
  }

  get count(): number {
    return this.#sent.length - this.#length;
  }

  get full(): boolean {
    return this.#length === 0 && this.#sent.length === this.#max;
  }

  /** Adds identifiers. Call it only while none is free. */
  #growTo(size: number): void {
    const first = this.#sent.length + 1;
    for (let packetId = first; packetId <= size; packetId++)
      this.#sent.push({ packetId, write: undefined, index: 0, released: false, order: 0 });
    this.#length = size + 1 - first;
    this.#free = new Uint16Array(size);
    this.#free.set(Array.from({ length: this.#length }, (_, index) => first + index));
    this.#head = 0;
  }

  /** Takes a packet identifier for message `index` of `write`. Call it only while not `full`. */
  add(write: PendingWrite, index: number): number {
    if (this.full) throw new RangeError('No packet identifier is free');
    if (this.#length === 0) this.#growTo(Math.min(this.#sent.length * 2, this.#max));
    const packetId = this.#free[this.#head] as number;
    this.#head = (this.#head + 1) % this.#free.length;
    this.#length -= 1;
    const sent = this.#sent[packetId - 1] as SentMessage;
    sent.write = write;
    sent.index = index;
    sent.released = false;
    this.#sentBefore += 1;
    sent.order = this.#sentBefore;
    return packetId;
  }

  /** The message that was sent first, preferably one that the broker does not have. */
  first(): SentMessage | undefined {
    const open = this.#sent.filter(({ write }) => write !== undefined);
    const [first] = open.sort((a, b) => Number(a.released) - Number(b.released) || a.order - b.order);
    return first;
  }

  find(packetId: number): SentMessage | undefined {
    const sent = this.#sent[packetId - 1];
    return sent?.write === undefined ? undefined : sent;
  }

  remove(sent: SentMessage): void {
    sent.write = undefined;
    this.#free[(this.#head + this.#length) % this.#free.length] = sent.packetId;
    this.#length += 1;
  }
}

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

export const tooLarge = (max: number): PenstockError =>
  mqttError('mqtt_packet_too_large', `The message exceeds the maximum packet size of ${max} bytes`, {
    hint: 'Make the messages smaller, or raise the limit: maxPacketSize of the profile or that of the broker.',
  });

/** Throws if a table sets message properties, which MQTT 3.1.1 cannot carry. */
export function refuseProperties(table: MqttTable): void {
  const names = propertyNames(table);
  if (names.length === 0) return;
  const message = `The connection uses MQTT 3.1.1, which does not support ${names.join(', ')}`;
  throw mqttError('mqtt_protocol_refused', message, {
    hint: 'Remove these fields from the table, or use MQTT 5 (protocolVersion auto or 5).',
    errors: names.map((name) => ({ path: `/type/${name}`, message: 'requires MQTT 5' })),
  });
}
