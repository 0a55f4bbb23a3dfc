import { type MsgHdrs, headers as newHeaders } from '@nats-io/transport-node';
import type { PenstockError } from '../../../errors.ts';
import type { Outgoing } from '../../connector.ts';
import { badRow, Template } from '../../network/template.ts';
import { natsError } from '../config/errors.ts';
import { checkSubject } from '../config/subject.ts';
import { type CoreSink, isJetStreamSink, type JetStreamSink } from '../config/table.ts';

/** The subject and the headers of rows, and the calls of `write` that wait for confirmations. */

const place = '/connectorType/sinkType';

export class Addresses {
  readonly #subject: Template;
  readonly #constant: string | undefined;
  readonly #headers: { name: string; value: Template }[];
  readonly #messageId: Template | undefined;

  constructor(sink: CoreSink | JetStreamSink) {
    this.#subject = new Template(sink.subject, `${place}/subject`);
    this.#constant = this.#subject.constant ? sink.subject : undefined;
    const id = isJetStreamSink(sink) ? (sink.messageId ?? '') : '';
    this.#messageId = id === '' ? undefined : new Template(id, `${place}/messageId`);
    this.#headers = Object.entries(sink.headers ?? {}).map(([name, text]) => ({
      name,
      value: new Template(text, `${place}/headers`),
    }));
  }

  /** Throws `bad_row` if a column makes no valid subject. */
  subjectOf({ row }: Outgoing): string {
    if (this.#constant !== undefined) return this.#constant;
    const subject = this.#subject.text(row, (text) => (text === '' ? 'must not be empty' : null));
    if (subject === undefined) throw badRow(this.#subject.path, 'A column of the subject is null');
    const wrong = checkSubject(subject);
    if (wrong !== null) throw badRow(this.#subject.path, `The subject ${wrong}`);
    return subject;
  }

  /** Undefined if there are none. Throws `bad_row`. */
  headersOf({ row }: Outgoing, more?: Readonly<Record<string, string>>): MsgHdrs | undefined {
    if (this.#headers.length === 0 && this.#messageId === undefined && more === undefined) return undefined;
    const found = newHeaders();
    for (const { name, value } of this.#headers) {
      const text = value.text(row, oneLine);
      if (text !== undefined) found.append(name, text);
    }
    if (this.#messageId) {
      const text = this.#messageId.text(row, oneLine);
      if (text === undefined || text === '')
        throw badRow(this.#messageId.path, 'The message ID is null or empty');
      found.set('Nats-Msg-Id', text);
    }
    for (const [name, text] of Object.entries(more ?? {})) found.set(name, text);
    return found;
  }
}

const oneLine = (text: string): string | null =>
  /[\r\n]/.test(text) ? 'must not have line breaks in a header' : null;

export const tooLarge = (bytes: number, limit: number): PenstockError =>
  natsError(
    'nats_message_too_large',
    `A message has ${bytes} bytes with its headers, the server takes ${limit}`,
    {
      hint: 'Raise max_payload of the server.',
      facts: { bytes, limit },
    },
  );
