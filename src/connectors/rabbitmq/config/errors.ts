import { type DescribedError, errorMaker } from '../../../errors.ts';

/** The error codes of RabbitMQ. Codes for names, networks and TLS belong to the core. */
export const rabbitmqErrors = {
  rabbitmq_not_spoken: {
    title: 'The server does not speak AMQP 0-9-1 on this port',
    passing: false,
    means: 'The server on this port uses another protocol.',
    todo:
      'Check the host and the port. AMQP is usually on 5672, and on 5671 with TLS. 5552 is for the stream protocol, which Penstock does ' +
      'not use, 15672 for management, 1883 for MQTT.',
  },
  rabbitmq_login_refused: {
    title: 'The server refuses the login',
    passing: false,
    means: 'The user or the password is wrong, or the server has no such way to log in.',
    todo:
      'Correct `username` and `password` of the profile. The user guest may log in from the machine of the server only. The log of the ' +
      'server names the reason.',
  },
  rabbitmq_vhost_refused: {
    title: 'The virtual host cannot be used',
    passing: false,
    means: 'The server has no such virtual host, or the user may not use it.',
    todo: 'Correct `virtual_host` of the profile, or give the user permissions for it with `rabbitmqctl set_permissions`.',
  },
  rabbitmq_too_many_connections: {
    title: 'The server accepts no more connections',
    passing: true,
    means:
      'The limit of connections of the virtual host, the user or the server is reached. A job tries again.',
    todo: 'Raise the limit. Each task of a pipeline uses one connection for its source and one for its sink.',
  },
  rabbitmq_forbidden: {
    title: 'The user lacks a permission',
    passing: false,
    means: 'The user may not read, write or configure something. The message names it.',
    todo: 'Set the permissions of the user in the virtual host. A source needs read, a sink write.',
  },
  rabbitmq_queue_missing: {
    title: 'The queue does not exist',
    passing: false,
    means: 'The virtual host has no queue or stream of this name.',
    todo: 'Declare it, or correct its name in the table.',
  },
  rabbitmq_wrong_kind: {
    title: 'A queue is named as a stream, or a stream as a queue',
    passing: false,
    means:
      'The table names a queue as a stream, or a stream as a queue. A stream does not record how far a reader has come, as a queue does.',
    todo: 'Name a stream in `stream` of the table. Name a queue in `queue` of a source, or in `routing_key` of a sink.',
  },
  rabbitmq_exchange_missing: {
    title: 'The exchange does not exist',
    passing: false,
    means: 'The virtual host has no exchange of this name.',
    todo: 'Declare it, or correct its name in the table.',
  },
  rabbitmq_unavailable: {
    title: 'The queue is not available now',
    passing: true,
    means:
      'The node that has the queue is down, the queue has no leader, the server is starting or stopping, or no queue is bound to the exchange of a ' +
      'sink. A job tries again, and a sink waits for a queue for 5 minutes.',
    todo: 'If it lasts, look at the log of the server, and at the bindings of the exchange.',
  },
  rabbitmq_in_use: {
    title: 'Another client uses the queue exclusively',
    passing: true,
    means:
      'Another connection has declared the queue as exclusive, or is its exclusive consumer. A job tries again.',
    todo: 'End the other client. For one reader at a time use a single active consumer instead.',
  },
  rabbitmq_consumer_cancelled: {
    title: 'The server ended the consumer',
    passing: true,
    means: 'The queue was deleted while it was read, or it moves to another node. The job connects again.',
    todo: 'If somebody deleted the queue, the next attempt fails with `rabbitmq_queue_missing`: declare it.',
  },
  rabbitmq_ack_timeout: {
    title: 'A message was held for too long without an acknowledgement',
    passing: true,
    means:
      'The server ends a consumer that has not acknowledged a message within `consumer_timeout`, 30 minutes by default. The job connects ' +
      'again, and the messages come again.',
    todo: 'Find out why the sink does not confirm messages, or raise `consumer_timeout` of the server or of the queue.',
  },
  rabbitmq_delivery_limit: {
    title: 'The queue drops a message after a number of deliveries',
    passing: false,
    means:
      'A quorum queue removes a message that came back more often than its delivery limit, 20 times by default since RabbitMQ 4.0. Without ' +
      'a dead letter exchange the message is lost. Each lost connection of a job counts for the messages that it held.',
    todo: 'Set a dead letter exchange for the queue, and raise the delivery limit or turn it off (-1).',
  },
  rabbitmq_messages_removed: {
    title: 'Messages were removed before they were read',
    passing: false,
    means:
      'The stream does not have the offsets that would be read next. Its retention is too short, or it was deleted. Offsets without ' +
      'messages count as well: see `rabbitmq_offsets_skipped`.',
    todo: 'Raise `max-age` and `max-length-bytes` of the stream for the longest absence of a pipeline.',
  },
  rabbitmq_offsets_skipped: {
    title: 'The server skipped offsets of the stream',
    passing: false,
    means:
      'The server left out offsets while the stream was read. Batches that a client of the stream protocol has compressed cannot be read ' +
      'by AMQP 0-9-1. Retention removes messages that are read too late. The server also stores the offsets of other consumers in the ' +
      'stream; then no message is missing. The job warns at most once a minute.',
    todo: 'Turn off compression in the publishers, or raise `max-age` and `max-length-bytes` of the stream. Nothing, if consumers store their offsets in it.',
  },
  rabbitmq_stream_replaced: {
    title: 'The stream was deleted and declared again',
    passing: true,
    means:
      'The stream has fewer messages than the source has read: somebody deleted it and declared it again. The job connects again, and ' +
      'reads it from its first message.',
    todo: 'Nothing, if this was on purpose. Messages of the former stream that had not been read are lost.',
  },
  rabbitmq_unroutable: {
    title: 'No queue takes the message',
    passing: false,
    means:
      'No binding of the exchange matches the routing key, or there is no such queue, so the message would be lost.',
    todo: 'Bind a queue, correct the routing key, or set `allow_unroutable` if nobody needs to receive the messages.',
  },
  rabbitmq_rejected: {
    title: 'The server rejected a message',
    passing: true,
    means:
      'The server sent a nack: a queue is full and rejects new messages (`overflow: reject-publish`), or has failed. A job tries again.',
    todo: 'Raise the limit of the queue, or read it faster.',
  },
  rabbitmq_blocked: {
    title: 'The server takes no messages for lack of memory or disk space',
    passing: true,
    means: 'A memory or disk alarm is set. The sink waits until it is over, and goes on by itself.',
    todo: 'Free disk space or memory at the server. rabbitmq-diagnostics alarms shows what is missing.',
  },
  rabbitmq_not_answered: {
    title: 'The server did not respond to a request',
    passing: true,
    means: 'The connection is open, but the server confirmed nothing in time. A job tries again.',
    todo: 'Check the load of the server and its disk.',
  },
  rabbitmq_message_too_large: {
    title: 'A message is larger than allowed',
    passing: false,
    means:
      'A message exceeds `max_message_size` of the server, 16 MiB by default since RabbitMQ 4.0 and 128 MiB before. A source reads up to 128 MiB.',
    todo: 'Raise the limit, or send smaller messages.',
  },
  rabbitmq_cannot_watch: {
    title: 'The messages of a queue cannot be looked at',
    passing: false,
    means:
      'A tail or preview of a queue would take messages from its readers. Penstock needs an exchange to get copies from.',
    todo: 'Name the exchange that the queue is bound to in `watch_exchange` of the table, and its key in `watch_key`.',
  },
  rabbitmq_refused: {
    title: 'The server refuses the request',
    passing: false,
    means: 'The server refuses for a reason that repeating does not change. The message has its text.',
    todo: 'Look at the arguments of the queue, and at the log of the server.',
  },
} as const satisfies Record<string, DescribedError>;

export const rabbitmqError = errorMaker(rabbitmqErrors);

export const wrongKind = (name: string, isStream: boolean) =>
  isStream
    ? rabbitmqError('rabbitmq_wrong_kind', `${name} is a stream, not a queue`, {
        hint: 'Name it in stream of the table, with an offset.',
      })
    : rabbitmqError('rabbitmq_wrong_kind', `${name} is a queue, not a stream`, {
        hint: 'Name it in queue of a source, or in routing_key of a sink, instead of stream.',
      });
