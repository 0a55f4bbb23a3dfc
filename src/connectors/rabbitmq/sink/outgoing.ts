import type { Options } from 'amqplib';
import type { PenstockError } from '../../../errors.ts';
import type { Outgoing } from '../../connector.ts';
import { badRow, columnsIn, Template } from '../../network/template.ts';
import { rabbitmqError, rabbitmqErrors } from '../config/errors.ts';
import { type SinkTable, type sinkOf, tooLong } from '../config/table.ts';
import type { Said } from '../connection/translate.ts';

/**
 * The routing key and the properties of rows, and the calls of `write` that wait for confirmations. Texts are well-formed, because a
 * message that comes back is found by them.
 */

type Sink = ReturnType<typeof sinkOf>;

export class Addresses {
  readonly #key: Template;
  readonly #messageId: Template | undefined;
  readonly #headers: { name: string; value: Template }[];
  readonly #fixed: Options.Publish;
  readonly #alike: boolean;

  constructor(sink: Sink) {
    const ways = [sink.routing_key, ...Object.values(sink.headers ?? {})];
    this.#alike = ways.every((text) => columnsIn(text).length === 0);
    this.#key = new Template(sink.routing_key, '/type/routing_key');
    this.#messageId = sink.message_id ? new Template(sink.message_id, '/type/message_id') : undefined;
    this.#headers = Object.entries(sink.headers ?? {}).map(([name, text]) => ({
      name,
      value: new Template(text, '/type/headers'),
    }));
    this.#fixed = fixedOptions(sink);
  }

  /** Whether all rows take the same way through the exchange. */
  get alike(): boolean {
    return this.#alike;
  }

  /** Throws `bad_row` if a column makes no valid routing key. */
  keyOf({ row }: Outgoing): string {
    const key = this.#key.text(row)?.toWellFormed();
    if (key === undefined) throw badRow(this.#key.path, 'A column of the routing key is null');
    const wrong = tooLong(key);
    if (wrong !== null) throw badRow(this.#key.path, `The routing key ${wrong}`);
    return key;
  }

  /** Throws `bad_row`. */
  optionsOf({ row }: Outgoing): Options.Publish {
    if (this.#messageId === undefined && this.#headers.length === 0) return this.#fixed;
    const headers: Record<string, string> = {};
    for (const { name, value } of this.#headers) {
      const text = value.text(row)?.toWellFormed();
      if (text !== undefined) headers[name] = text;
    }
    const messageId = this.#messageId?.text(row, tooLong)?.toWellFormed();
    return { ...this.#fixed, headers, ...(messageId === undefined ? {} : { messageId }) };
  }
}

function fixedOptions(sink: SinkTable): Options.Publish {
  const {
    transient,
    allow_unroutable: allowed,
    content_type: contentType,
    priority,
    expiration_ms: ms,
  } = sink;
  return {
    persistent: transient !== true,
    mandatory: allowed !== true,
    ...(contentType ? { contentType } : {}),
    ...(priority === undefined ? {} : { priority }),
    ...(ms === undefined ? {} : { expiration: String(ms) }),
  };
}

export const tooLarge = (bytes: number, limit: number): PenstockError =>
  rabbitmqError('rabbitmq_message_too_large', `A message has ${bytes} bytes, the server takes ${limit}`, {
    hint: 'Raise max_message_size of the server.',
    facts: { bytes, limit },
  });

/** No row is at fault when none would be taken. */
export const takenByNone = ({ exchange }: Sink): PenstockError =>
  rabbitmqError('rabbitmq_unavailable', `No queue takes the messages of the exchange ${exchange} now`, {
    hint:
      'A queue may be starting, or its node may be away. If it lasts for 5 minutes, rows are refused: bind a queue to the exchange, or set ' +
      'allow_unroutable if nobody needs to receive them.',
  });

/** The routing key as in the table: errors must not contain values of a row. */
export const unroutable = ({ exchange, routing_key: key }: Sink): PenstockError =>
  exchange === ''
    ? rabbitmqError('rabbitmq_unroutable', `There is no queue ${key}`, {
        hint: 'Declare it, or correct routing_key.',
      })
    : rabbitmqError(
        'rabbitmq_unroutable',
        `No queue takes messages of the exchange ${exchange} with the key ${key}`,
        {
          hint: 'Bind a queue to the exchange, or set allow_unroutable if nobody needs to receive them.',
        },
      );

export const rejected = ({ exchange, routing_key: key }: Sink): PenstockError =>
  rabbitmqError('rabbitmq_rejected', `The server refuses a message for ${exchange === '' ? key : exchange}`, {
    hint: 'A queue is full and rejects new messages, or has failed. Look at its length and its limits.',
  });

export const blocked = (reason: string): PenstockError =>
  rabbitmqError('rabbitmq_blocked', `The server takes no messages for now: ${reason.slice(0, 200)}`, {
    hint: 'Free disk space or memory at the server. The sink goes on by itself.',
  });

export const topicForbidden = (exchange: string): PenstockError =>
  rabbitmqError('rabbitmq_forbidden', `The user may not write the routing key of a message to ${exchange}`, {
    hint: 'Allow it: rabbitmqctl set_topic_permissions.',
  });

const topicStart = /^ACCESS_REFUSED - (?:\w+ )?access to topic '/;

export const isTopicRefusal = ({ status, text }: Said): boolean => status === 403 && topicStart.test(text);

/** Whether the server speaks of this routing key. It cuts off its text at 255 bytes, also inside a character. */
export function namesTopic({ text }: Said, key: string): boolean {
  const said = Buffer.from(text.replace(topicStart, '').replace(/\ufffd*\.\.\.$/, ''));
  const named = Buffer.from(`${key}' in exchange '`);
  const length = Math.min(said.length, named.length);
  return said.subarray(0, length).equals(named.subarray(0, length));
}

/** The text of the server may have values of a row. */
export const withoutText = ({ code, facts }: PenstockError): PenstockError => {
  const { title } = rabbitmqErrors[code as unknown as keyof typeof rabbitmqErrors];
  return rabbitmqError(code as unknown as keyof typeof rabbitmqErrors, title, { facts });
};

export const headersTooLong = (cause: unknown): PenstockError =>
  rabbitmqError('rabbitmq_message_too_large', 'The headers of a message have more than 64 KiB', {
    hint: 'Remove headers, or shorten their values.',
    cause,
  });
