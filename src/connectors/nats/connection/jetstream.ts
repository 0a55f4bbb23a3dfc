import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
  type JetStreamManager,
  jetstreamManager,
  ReplayPolicy,
  type StreamInfo,
} from '@nats-io/jetstream';
import { type MsgHdrs, nanos } from '@nats-io/transport-node';
import { PenstockError } from '../../../errors.ts';
import { natsError } from '../config/errors.ts';
import type { NatsProfile } from '../config/profile.ts';
import { ackWaitMs, filtersOf, type JetStreamSource } from '../config/table.ts';
import type { Connection } from './client.ts';
import { translated } from './translate.ts';

/** Requests to JetStream: streams, and the durable consumer of a source. */

/** The prefix of the requests: that of a domain behind a leaf node is another one. */
export const apiPrefix = ({ domain }: NatsProfile): string => (domain ? `$JS.${domain}.API` : '$JS.API');

const noMessage = 10037;

export interface StoredMessage {
  payload: Buffer;
  subject: string;
  seq: number;
  time: Date;
  headers: MsgHdrs;
}

export class JetStream {
  readonly #connection: Connection;
  readonly #manager: JetStreamManager;
  readonly #signal: AbortSignal;

  private constructor(connection: Connection, manager: JetStreamManager, signal: AbortSignal) {
    this.#connection = connection;
    this.#manager = manager;
    this.#signal = signal;
  }

  static async of(connection: Connection, profile: NatsProfile, signal: AbortSignal): Promise<JetStream> {
    const options = { checkAPI: false, apiPrefix: apiPrefix(profile), timeout: 10_000 };
    return new JetStream(connection, await jetstreamManager(connection.nc, options), signal);
  }

  /** The same with another signal for its requests. */
  during(signal: AbortSignal): JetStream {
    return new JetStream(this.#connection, this.#manager, signal);
  }

  /** Throws `nats_jetstream_disabled` if the account has none. */
  account() {
    return this.#ask((manager) => manager.getAccountInfo());
  }

  stream(name: string): Promise<StreamInfo> {
    return this.#ask((manager) => manager.streams.info(name)).catch((error: unknown) => {
      throw translated(error).code === 'nats_stream_missing' ? streamMissing(name) : error;
    });
  }

  /** The names of streams, or only of those with a subject in common with `subject`. At most 256. */
  streamNames(subject?: string): Promise<string[]> {
    return this.#ask((manager) => manager.streams.names(subject ?? '').next());
  }

  /** At most 256 streams. */
  streams(): Promise<StreamInfo[]> {
    return this.#ask((manager) => manager.streams.list().next());
  }

  /** The first message from a sequence number on whose subject matches; undefined if there is none. */
  async messageFrom(stream: string, sequence: number, filter: string): Promise<StoredMessage | undefined> {
    const query = { seq: sequence, next_by_subj: filter };
    const found = await this.#ask((manager) => manager.streams.getMessage(stream, query)).catch(
      (error: unknown) => {
        if (error instanceof PenstockError && error.facts.errorCode === noMessage) return null;
        throw error;
      },
    );
    if (!found) return undefined;
    const { data, subject, seq, time, header } = found;
    return { payload: Buffer.from(data), subject, seq, time, headers: header };
  }

  /** Undefined if there is none. */
  consumer(stream: string, name: string): Promise<ConsumerInfo | undefined> {
    return this.#unlessMissing(this.#ask((manager) => manager.consumers.info(stream, name)));
  }

  /** Removes a consumer with how far it was read; does nothing if it or the stream is gone. */
  async removeConsumer(stream: string, name: string): Promise<void> {
    await this.#unlessMissing(this.#ask((manager) => manager.consumers.delete(stream, name)));
  }

  /** Finds the durable consumer of a source and changes it to what its table says now, or creates it. */
  async ensureConsumer(
    source: JetStreamSource,
    name: string,
  ): Promise<{ info: ConsumerInfo; existed: boolean }> {
    const { stream } = source;
    const found = await this.consumer(stream, name);
    if (found) return { info: await this.#changed(source, found), existed: true };
    await this.stream(stream);
    const wanted = {
      durable_name: name,
      ...fixedConfig(source),
      ...startOf(source),
      ...given(changeable(source)),
    };
    try {
      return { info: await this.#ask((manager) => manager.consumers.add(stream, wanted)), existed: false };
    } catch (error) {
      // Another task of the job was faster.
      const other = await this.consumer(stream, name);
      if (other) return { info: other, existed: false };
      throw error;
    }
  }

  async #changed(source: JetStreamSource, found: ConsumerInfo): Promise<ConsumerInfo> {
    const fixed = Object.entries(fixedConfig(source)).find(
      ([name, value]) => found.config[name as keyof ConsumerConfig] !== value,
    );
    if (fixed)
      throw natsError(
        'nats_consumer_fixed',
        `The consumer has the ${fixed[0]} ${found.config[fixed[0] as 'ack_policy']}`,
        {
          hint: 'Restore the former value in the table, or create the pipeline anew.',
        },
      );
    const changes = Object.fromEntries(
      Object.entries(changeable(source)).filter(
        ([name, value]) => !isSame(found.config[name as keyof ConsumerConfig], value),
      ),
    );
    if (Object.keys(changes).length === 0) return found;
    return this.#ask((manager) =>
      manager.consumers.update(source.stream, found.name, changes as Partial<ConsumerConfig>),
    );
  }

  #ask<T>(request: (manager: JetStreamManager) => Promise<T>): Promise<T> {
    return this.#connection.until(request(this.#manager), this.#signal);
  }

  async #unlessMissing<T>(asked: Promise<T>): Promise<T | undefined> {
    try {
      return await asked;
    } catch (error) {
      const { code } = translated(error);
      if (code === 'nats_consumer_deleted' || code === 'nats_stream_missing') return undefined;
      throw error;
    }
  }
}

export const streamMissing = (name: string): PenstockError =>
  natsError('nats_stream_missing', `The account has no stream called ${name}`, {
    hint: `Create it, such as with: nats stream add ${name} --subjects '…'. Names are compared with their case.`,
    facts: { stream: name },
  });

const isSame = (found: unknown, wanted: unknown): boolean =>
  JSON.stringify(found ?? null) === JSON.stringify(wanted ?? null);

/** Without what is undefined, which the library would send as an empty token of a subject. */
const given = (changes: Changes): Partial<ConsumerConfig> =>
  Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));

type Changes = { [name in keyof ConsumerConfig]?: ConsumerConfig[name] | undefined };

/**
 * Of a consumer that exists the server does not change these. `All` becomes explicit too: an acknowledgement of it would include
 * what a crashed task held and the server has not sent again yet.
 */
const fixedConfig = ({ ackPolicy, replayPolicy }: JetStreamSource) => ({
  ack_policy: ackPolicy === 'None' ? AckPolicy.None : AckPolicy.Explicit,
  replay_policy: replayPolicy === 'Original' ? ReplayPolicy.Original : ReplayPolicy.Instant,
});

function startOf({ startSequence, startTime, deliverPolicy }: JetStreamSource): Partial<ConsumerConfig> {
  if (startSequence !== undefined)
    return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: startSequence };
  if (startTime)
    return { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(startTime).toISOString() };
  if (deliverPolicy === 'New') return { deliver_policy: DeliverPolicy.New };
  if (deliverPolicy === 'LastPerSubject') return { deliver_policy: DeliverPolicy.LastPerSubject };
  return { deliver_policy: DeliverPolicy.All };
}

/** The last message of each subject needs a filter. */
const anySubject = ({ deliverPolicy, startSequence, startTime }: JetStreamSource): string | undefined =>
  deliverPolicy === 'LastPerSubject' && startSequence === undefined && !startTime ? '>' : undefined;

function changeable(source: JetStreamSource): Changes {
  const { description, sampleFrequency = 0, numReplicas = 0, inactiveThreshold = 0 } = source;
  const { maxAckPending = -1, maxDeliver = -1, maxWaiting, maxBatch, maxBytes, maxExpires } = source;
  const filters = filtersOf(source);
  return {
    ...(description ? { description } : {}),
    // Undefined removes a former filter.
    filter_subject: filters.length > 1 ? undefined : (filters[0] ?? anySubject(source)),
    filter_subjects: filters.length > 1 ? filters : undefined,
    ...(source.ackPolicy === 'None' ? {} : { ack_wait: nanos(ackWaitMs(source)) }),
    max_deliver: maxDeliver === 0 ? -1 : maxDeliver,
    max_ack_pending: maxAckPending === 0 ? -1 : maxAckPending,
    ...(sampleFrequency > 0 ? { sample_freq: `${sampleFrequency}%` } : {}),
    ...(numReplicas > 0 ? { num_replicas: numReplicas } : {}),
    ...(inactiveThreshold > 0 ? { inactive_threshold: nanos(inactiveThreshold * 1000) } : {}),
    ...(maxWaiting === undefined ? {} : { max_waiting: maxWaiting }),
    ...(maxBatch === undefined ? {} : { max_batch: maxBatch }),
    ...(maxBytes === undefined ? {} : { max_bytes: maxBytes }),
    ...(maxExpires === undefined ? {} : { max_expires: nanos(maxExpires * 1000) }),
  };
}
