import { type DescribedError, errorMaker } from '../../../errors.ts';

/** The error codes of Kafka. Codes for names, networks and TLS belong to the core. */
export const kafkaErrors = {
  kafka_not_spoken: {
    title: 'The server does not speak Kafka on this port',
    passing: true,
    means:
      'The server on this port uses another protocol, or TLS although the profile does not, or it closes the connection at once, as a broker that starts or a proxy without one does. A job tries again.',
    todo: 'Check `bootstrapServers`, and whether the listener uses TLS (`authentication.protocol`).',
  },
  kafka_too_old: {
    title: 'The brokers are too old',
    passing: false,
    means: 'The brokers lack a request that Penstock needs. It needs Kafka 2.7 or later.',
    todo: 'Upgrade the brokers, or use brokers that are newer.',
  },
  kafka_login_refused: {
    title: 'The brokers refuse the login',
    passing: false,
    means: 'The user or the password is wrong, or the listener does not offer the mechanism.',
    todo: 'Correct `authentication` of the profile. The message names the mechanisms that the listener offers.',
  },
  kafka_login_required: {
    title: 'The listener requires a login',
    passing: true,
    means:
      'The broker closed the connection at the first request without a login, as a listener with SASL does. So may a broker that ends, so a job tries again.',
    todo: 'Set `authentication` of the profile, or use a listener without SASL.',
  },
  kafka_forbidden: {
    title: 'The user lacks a permission',
    passing: false,
    means: 'An ACL does not let the user read or write the topic, or use the consumer group.',
    todo: 'Add the ACL in the hint.',
  },
  kafka_advertised_unreachable: {
    title: 'The advertised address of a broker cannot be reached',
    passing: true,
    means:
      'A bootstrap server responds, but it tells clients to use another address for a broker, and that address cannot be reached from here. A broker that is down looks the same, unless `bootstrapServers` has its address.',
    todo: 'Look whether the broker is running. Set `advertised.listeners` of the broker to an address that Penstock can reach, or add a listener for clients outside of its network.',
  },
  kafka_topic_missing: {
    title: 'The topic does not exist',
    passing: false,
    means: 'The cluster has no such topic. Penstock does not create topics.',
    todo: 'Correct the name, or create the topic with the command in the hint.',
  },
  kafka_topic_invalid: {
    title: 'The cluster refuses the name of the topic',
    passing: false,
    means: 'The name of the topic is not valid in Kafka.',
    todo: 'Correct the name of the topic.',
  },
  kafka_topic_recreated: {
    title: 'The topic was deleted and created again',
    passing: true,
    means:
      'The topic has the same name and another identity. What was in the former topic is gone. The source begins at the start of the new one, and the sink goes on.',
    todo: 'Nothing, if it was meant.',
  },
  kafka_messages_deleted: {
    title: 'Messages were deleted before they were read',
    passing: true,
    means:
      'The retention of the topic has removed messages that the source had not read. It goes on at the oldest message that is left.',
    todo: 'Raise `retention.ms` or `retention.bytes` of the topic, or let the pipeline keep up.',
  },
  kafka_offset_beyond_end: {
    title: 'The offset is beyond the end of the partition',
    passing: true,
    means:
      'The partition ends before the offset that was read last: a broker has lost messages, such as after an unclean leader election. The source goes on at the end of the partition.',
    todo: 'Look at the logs of the brokers. Set `unclean.leader.election.enable` to false.',
  },
  kafka_group_in_use: {
    title: 'The consumer group has members',
    passing: false,
    means:
      'Another program is a member of the consumer group, so the brokers refuse offsets of Penstock, which assigns partitions itself.',
    todo: 'Set another `group_id`, or stop the other program.',
  },
  kafka_group_offsets_missing: {
    title: 'The consumer group has no offsets',
    passing: false,
    means:
      'The table begins at the offsets of the group (`offset` is `group`), and it has none for a partition. Partitions that are newer than the first start need none.',
    todo: 'Correct `group_id`, or set `offset` to `earliest` or `latest`.',
  },
  kafka_offsets_expired: {
    title: 'The offsets of the consumer group are gone',
    passing: true,
    means:
      'The group had offsets and has none any more: they expire (`offsets.retention.minutes`), or someone deleted them. The source goes on at the position that Penstock has stored.',
    todo: 'Nothing is lost. Raise `offsets.retention.minutes` if pipelines are stopped for long.',
  },
  kafka_message_refused: {
    title: 'The brokers refuse a message',
    passing: false,
    means:
      'A message is larger than `max.message.bytes` of the topic, has no key although the topic is compacted, or has a time that the topic does not accept. `bad_data` of the table decides about it, and the others are written.',
    todo: 'Correct the query, or the configuration of the topic.',
  },
  kafka_not_in_sync: {
    title: 'Too few replicas are in sync',
    passing: true,
    means: 'The partition has fewer replicas in sync than `min.insync.replicas`. A job tries again.',
    todo: 'Start the brokers that are missing.',
  },
  kafka_unavailable: {
    title: 'The brokers cannot process the request now',
    passing: true,
    means: 'A leader changes, a broker starts or stops, or a quota is reached. A job tries again.',
    todo: 'Look at the logs of the brokers if it lasts.',
  },
  kafka_producer_fenced: {
    title: 'The brokers no longer know the producer',
    passing: true,
    means:
      'The brokers have forgotten the producer, received its messages out of order, or given up its transaction; or another task has taken over. The job begins with a new one. Messages in flight may arrive twice, unless `commit_mode` is `exactly_once`.',
    todo: 'Nothing, if it is rare.',
  },
  kafka_other_cluster: {
    title: 'Source and sink are at different clusters',
    passing: false,
    means:
      'With `commit_mode` `exactly_once` a transaction holds the messages of the sink and the offsets of the source. So both must be at the same cluster, and its brokers must report a cluster id.',
    todo: 'Set `commit_mode` of the sink to `at_least_once`, or read a topic of the same cluster.',
  },
  kafka_refused: {
    title: 'The brokers refuse a request',
    passing: false,
    means:
      'The brokers refuse a request for a reason that repeating does not change. The message has its name.',
    todo: 'Look at the logs of the brokers.',
  },
  kafka_not_readable: {
    title: 'Messages of the topic cannot be read',
    passing: false,
    means: 'A batch of messages is damaged, or compressed by a method that is not supported.',
    todo: 'Look at the producer of the topic.',
  },
} as const satisfies Record<string, DescribedError>;

export const kafkaError = errorMaker(kafkaErrors);
