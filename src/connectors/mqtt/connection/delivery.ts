import type { IPublishPacket } from 'mqtt';
import type { Delivery } from '../../connector.ts';
import type { Qos } from '../config/topic.ts';
import type { AckQueue, Owed } from './ack-queue.ts';

/** One received PUBLISH, and the acknowledgement that the queue owes for it. */
export class MqttDelivery implements Delivery, Owed {
  readonly payload: Buffer;
  readonly receivedAt: number;
  readonly packetId: number;
  readonly qos: Qos;
  settled = false;
  readonly topic: string;
  readonly #packet: IPublishPacket;
  readonly #queue: AckQueue;
  #metadata: Metadata | undefined;

  constructor(topic: string, packet: IPublishPacket, queue: AckQueue) {
    this.payload = packet.payload as Buffer;
    this.receivedAt = performance.timeOrigin + performance.now();
    this.packetId = packet.messageId ?? 0;
    this.qos = packet.qos;
    this.topic = topic;
    this.#packet = packet;
    this.#queue = queue;
  }

  /** Created on first access: most tables have no metadata columns. */
  get metadata(): Readonly<Record<string, unknown>> {
    this.#metadata ??= new Metadata(this.topic, this.#packet, this.receivedAt);
    return this.#metadata as unknown as Readonly<Record<string, unknown>>;
  }

  get retained(): boolean {
    return this.#packet.retain;
  }

  get identifier(): number | undefined {
    return this.qos === 2 ? this.packetId : undefined;
  }

  get bytes(): number {
    return this.payload.length;
  }

  ack(): void {
    this.#queue.settle(this);
  }
}

/** The values of `metadataColumns` (see `table.ts`), read from the packet. */
export class Metadata {
  readonly topic: string;
  readonly #packet: IPublishPacket;
  readonly #receivedAt: number;

  constructor(topic: string, packet: IPublishPacket, receivedAt: number) {
    this.topic = topic;
    this.#packet = packet;
    this.#receivedAt = receivedAt;
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
    return this.#packet.qos === 0 ? null : (this.#packet.messageId ?? null);
  }

  get topic_segments(): string[] {
    return this.topic.split('/');
  }

  get timestamp(): bigint {
    return BigInt(Math.round(this.#receivedAt * 1_000));
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
