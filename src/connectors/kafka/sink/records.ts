import { crc32 } from 'node:zlib';
import { type MessageRecord, murmur2 } from '@platformatic/kafka';
import { PenstockError } from '../../../errors.ts';
import type { Row, Value } from '../../../formats/format.ts';
import type { ConnectionSchema } from '../../../formats/schema/schema.ts';
import type { Outgoing } from '../../connector.ts';
import { given } from '../../network/tls.ts';
import { type KafkaTable, sinkOf } from '../config/table.ts';

/** Makes records of messages: key, headers, time and partition. */

export type OutgoingRecord = MessageRecord & { partition: number };

const perMillisecond = { second: 1_000n, millisecond: 1n, microsecond: 1_000n, nanosecond: 1_000_000n };

const badRow = (path: string, message: string): PenstockError =>
  new PenstockError('bad_row', message, { errors: [{ path, message }] });

export class RecordMaker {
  readonly #topic: string;
  readonly #key: string | undefined;
  readonly #headers: string | undefined;
  readonly #partition: string | undefined;
  readonly #time: { column: string; toMs(value: bigint): bigint } | undefined;
  readonly #byKey: ((key: Buffer) => number) | undefined;
  #turn = 0;

  constructor(table: KafkaTable, schema: ConnectionSchema) {
    const sink = sinkOf(table);
    const chosen = (name: string | undefined) => (given(name) ? name : undefined);
    this.#topic = table.topic;
    this.#key = chosen(sink.key_field);
    this.#headers = chosen(sink.headers_field);
    this.#partition = chosen(sink.partition_field);
    this.#byKey = partitioners[sink.partitioner ?? 'murmur2'];
    const time = chosen(sink.timestamp_field);
    if (time === undefined) return;
    const unit = schema.fields?.find(({ name }) => name === time)?.unit ?? 'millisecond';
    const factor = perMillisecond[unit];
    this.#time = {
      column: time,
      toMs: unit === 'second' ? (value) => value * factor : (value) => value / factor,
    };
  }

  /** Throws `bad_row` if a column has no place in a record. */
  record({ payload, row }: Outgoing, partitions: number): OutgoingRecord {
    const key = this.#key === undefined ? undefined : keyOf(row[this.#key] ?? null);
    const headers = this.#headers === undefined ? undefined : headersOf(row, this.#headers);
    const time = this.#time === undefined ? null : (row[this.#time.column] as bigint | null | undefined);
    const timestamp = time == null ? BigInt(Date.now()) : (this.#time?.toMs(time) ?? 0n);
    if (timestamp < 0n)
      throw badRow(`/${this.#time?.column}`, 'The time of a message in Kafka cannot be before 1970');
    const partition = this.#partitionOf(row, key, partitions);
    return {
      topic: this.#topic,
      partition,
      timestamp,
      value: payload,
      ...(key === undefined ? {} : { key }),
      ...(headers === undefined ? {} : { headers }),
    };
  }

  #partitionOf(row: Row, key: Buffer | undefined, partitions: number): number {
    if (this.#partition !== undefined) {
      const wanted = Number(row[this.#partition] ?? -1);
      if (wanted >= 0 && wanted < partitions) return wanted;
      throw badRow(
        `/${this.#partition}`,
        `The column ${this.#partition} does not name one of the ${partitions} partitions of ${this.#topic}`,
      );
    }
    if (key !== undefined && this.#byKey) return this.#byKey(key) % partitions;
    this.#turn += 1;
    return this.#turn % partitions;
  }
}

const partitioners = {
  murmur2: (key: Buffer) => murmur2(key) & 0x7fffffff,
  crc32: (key: Buffer) => crc32(key),
  round_robin: undefined,
};

function keyOf(value: Value): Buffer | undefined {
  if (value === null) return undefined;
  return Buffer.isBuffer(value) ? value : Buffer.from(String(value));
}

function headersOf(row: Row, column: string): Map<Buffer, Buffer> | undefined {
  const text = row[column];
  if (typeof text !== 'string') return undefined;
  const value: unknown = JSON.parse(text);
  if (value === null) return undefined;
  if (typeof value !== 'object' || Array.isArray(value))
    throw badRow(`/${column}`, `The column ${column} does not hold an object of headers`);
  const headers = Object.entries(value).flatMap(([name, one]) =>
    (Array.isArray(one) ? one : [one]).map(
      (single: unknown) =>
        [
          Buffer.from(name),
          Buffer.from(typeof single === 'string' ? single : JSON.stringify(single)),
        ] as const,
    ),
  );
  return new Map(headers);
}

/** About the size of a record in a batch. */
export const sizeOf = ({ key, value, headers }: OutgoingRecord): number => {
  let bytes = 32 + (value?.length ?? 0) + (key?.length ?? 0);
  for (const [name, one] of (headers ?? []) as Map<Buffer, Buffer>) bytes += 10 + name.length + one.length;
  return bytes;
};
