import type { IPublishPacket } from 'mqtt';
import type { Delivery } from '../../connector.ts';
import type { Qos } from '../config/topic.ts';
import type { AckQueue, Owed } from './ack-queue.ts';

/** A received PUBLISH. */
export interface Published {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
  /** 0 at QoS 0. */
  readonly packetId: number;
  readonly properties: IPublishPacket['properties'] | undefined;
  /** Unix milliseconds, the same for all messages of a chunk. */
  readonly receivedAt: number;
}

/** The same with the acknowledgement that a queue owes for it. One object, because thousands are in flight. */
export class MqttDelivery implements Delivery, Owed, Published {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly packetId: number;
  readonly properties: IPublishPacket['properties'] | undefined;
  readonly receivedAt: number;
  settled = false;
  #queue: AckQueue | undefined;
  #metadata: Metadata | undefined;

  constructor(
    topic: string,
    payload: Buffer,
    qos: Qos,
    retain: boolean,
    dup: boolean,
    packetId: number,
    properties: IPublishPacket['properties'] | undefined,
    receivedAt: number,
  ) {
    this.topic = topic;
    this.payload = payload;
    this.qos = qos;
    this.retain = retain;
    this.dup = dup;
    this.packetId = packetId;
    this.properties = properties;
    this.receivedAt = receivedAt;
  }

  get bytes(): number {
    return this.payload.length;
  }

  owedBy(queue: AckQueue): void {
    this.#queue = queue;
    queue.push(this);
  }

  /** Created on first access: most tables have no metadata columns. */
  get metadata(): Readonly<Record<string, unknown>> {
    this.#metadata ??= new Metadata(this);
    return this.#metadata as unknown as Readonly<Record<string, unknown>>;
  }

  get identifier(): number | undefined {
    return this.qos === 2 ? this.packetId : undefined;
  }

  ack(): void {
    this.#queue?.settle(this);
  }
}

/** The values of `metadataColumns` (see `table.ts`), read from the packet. */
export class Metadata {
  readonly topic: string;
  readonly #packet: Published;

  constructor(packet: Published) {
    this.topic = packet.topic;
    this.#packet = packet;
  }

  get qos(): number {
    return this.#packet.qos;
  }

  get retain(): boolean {
    return this.#packet.retain;
  }

  get dup(): boolean {
    return this.#packet.dup;
  }

  get message_id(): number | null {
    return this.#packet.qos === 0 ? null : this.#packet.packetId;
  }

  get topic_segments(): string[] {
    return this.topic.split('/');
  }

  get timestamp(): bigint {
    return BigInt(Math.round(this.#packet.receivedAt * 1_000));
  }

  get content_type(): string | null {
    return this.#packet.properties?.contentType ?? null;
  }

  get response_topic(): string | null {
    return this.#packet.properties?.responseTopic ?? null;
  }

  get correlation_data(): Buffer | null {
    return this.#packet.properties?.correlationData ?? null;
  }

  get expiry_secs(): bigint | null {
    const seconds = this.#packet.properties?.messageExpiryInterval;
    return seconds === undefined ? null : BigInt(seconds);
  }

  get user_properties(): string | null {
    const properties = this.#packet.properties?.userProperties;
    return properties === undefined ? null : JSON.stringify(properties);
  }
}
