import { type DescribedError, errorMaker } from '../../../errors.ts';

/** The error codes of NATS. Codes for names, networks and TLS belong to the core. */
export const natsErrors = {
  nats_not_spoken: {
    title: 'The server does not speak NATS on this port',
    passing: false,
    means: 'The server on this port uses another protocol.',
    todo: 'Check the host and the port. NATS usually listens on 4222; 8222 is for monitoring and 6222 for routes.',
  },
  nats_login_refused: {
    title: 'The server refuses the login',
    passing: false,
    means:
      'The user, password, token, key or JWT is wrong or has expired, or the server asks for another kind of login.',
    todo: 'Correct `authentication` of the profile. The log of the server names the reason.',
  },
  nats_too_many_connections: {
    title: 'The server accepts no more connections',
    passing: true,
    means: 'The limit of connections of the server or of the account is reached. A job tries again.',
    todo: 'Raise `max_connections`. Each task of a pipeline uses one connection for its source and one for its sink.',
  },
  nats_forbidden: {
    title: 'The user lacks a permission',
    passing: false,
    means:
      'The permissions of the user do not allow to publish or subscribe to a subject. The message names it.',
    todo: 'Add the subject to the permissions of the user.',
  },
  nats_jetstream_disabled: {
    title: 'JetStream is not available',
    passing: true,
    means:
      'The server has no JetStream, the account of the user may not use it, or the link to the server that has it is down. A job tries again.',
    todo: 'Enable JetStream on the server and for the account, or correct `domain` of the profile.',
  },
  nats_unavailable: {
    title: 'JetStream cannot process the request now',
    passing: true,
    means:
      'JetStream starts, elects a leader, or lacks disk space or memory. To a user who may not ask for the stream (`STREAM.INFO`), a ' +
      'subject that no stream has looks the same. A job tries again.',
    todo: 'If it lasts, look at the log of the server and at the subjects of the stream.',
  },
  nats_not_answered: {
    title: 'The server did not respond to a request',
    passing: true,
    means: 'The connection is open, but the server confirmed nothing in time. A job tries again.',
    todo: 'Check the load of the server, and whether the user may subscribe to its inbox (`inboxPrefix`).',
  },
  nats_stream_missing: {
    title: 'The stream does not exist',
    passing: false,
    means: 'The account has no stream of this name.',
    todo: 'Create the stream, or correct its name in the table.',
  },
  nats_subject_uncovered: {
    title: 'The stream does not have the subject',
    passing: false,
    means:
      'No subject of the stream matches the subject of the table or of a row, so the server would not store the message.',
    todo: 'Add the subject to the stream, or correct the subject of the table.',
  },
  nats_stream_full: {
    title: 'The stream is full',
    passing: true,
    means:
      'The stream has reached a limit and discards new messages (`discard: new`), or the account has no storage left. A job tries again.',
    todo: 'Raise the limit of the stream, or delete messages from it.',
  },
  nats_message_too_large: {
    title: 'A message is larger than allowed',
    passing: false,
    means:
      'A message with its headers exceeds `max_payload` of the server or `max_msg_size` of the stream, or `maxBytes` of the table of a ' +
      'source, which cannot read it then.',
    todo: 'Raise the limit, or send smaller messages.',
  },
  nats_consumer_deleted: {
    title: 'The consumer was deleted',
    passing: true,
    means:
      'Somebody deleted the stream or the consumer of a source while it was read. The job connects again.',
    todo: 'Leave the consumers of Penstock to it: it removes them with their pipelines.',
  },
  nats_consumer_lost: {
    title: 'The server has lost the consumer of a source',
    passing: true,
    means:
      'The server no longer has the durable consumer, which keeps how far a source has read. The source begins again by `deliverPolicy`: ' +
      'messages may come again, and with New those from while it was away are lost.',
    todo: 'Check who deletes consumers, and `inactiveThreshold` of the table. A server must keep its storage across restarts.',
  },
  nats_messages_removed: {
    title: 'Messages were removed before they were read',
    passing: false,
    means:
      'The stream removed messages that the source had not read, by a limit of age, number or size, or somebody deleted them.',
    todo: 'Raise the limits of the stream for the longest absence of a pipeline, or use the discard policy new.',
  },
  nats_consumer_fixed: {
    title: 'The consumer cannot be changed as wanted',
    passing: false,
    means: 'The server does not change the acknowledgement or replay policy of a consumer that exists.',
    todo: 'Restore the former value, or create the pipeline anew.',
  },
  nats_unsupported: {
    title: 'The server is too old for this option',
    passing: false,
    means: 'The option needs a newer nats-server. The message says which.',
    todo: 'Update the server, or remove the option.',
  },
  nats_refused: {
    title: 'The server refuses the request',
    passing: false,
    means:
      'JetStream refuses a request for a reason that repeating does not change. The message has its text and code.',
    todo: 'Look at the limits of the stream, the account and the server.',
  },
} as const satisfies Record<string, DescribedError>;

export const natsError = errorMaker(natsErrors);
