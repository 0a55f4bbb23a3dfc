import { protocolErrors, protocolErrorsCodesById } from '@platformatic/kafka';
import type { PenstockError } from '../../../errors.ts';
import { kafkaError, type kafkaErrors } from '../config/errors.ts';

/** The errors in responses of brokers. */

/** The name of an error in Kafka's documentation, such as `TOPIC_AUTHORIZATION_FAILED`. */
export const errorNamed = (code: number): string =>
  protocolErrorsCodesById[code] ?? (code === 0 ? 'NONE' : `error ${code}`);

export const reply = {
  offsetOutOfRange: 1,
  corruptMessage: 2,
  unknownTopic: 3,
  notLeader: 6,
  requestTimedOut: 7,
  messageTooLarge: 10,
  recordListTooLarge: 18,
  notEnoughReplicas: 19,
  notEnoughReplicasAfterAppend: 20,
  invalidTimestamp: 32,
  unsupportedVersion: 35,
  duplicateSequence: 46,
  invalidRecord: 87,
  unknownTopicId: 100,
  inconsistentTopicId: 103,
} as const;

type Code = keyof typeof kafkaErrors;

const codes: Readonly<Record<string, Code>> = {
  UNKNOWN_TOPIC_ID: 'kafka_topic_recreated',
  INCONSISTENT_TOPIC_ID: 'kafka_topic_recreated',
  INVALID_TOPIC_EXCEPTION: 'kafka_topic_invalid',
  TOPIC_AUTHORIZATION_FAILED: 'kafka_forbidden',
  GROUP_AUTHORIZATION_FAILED: 'kafka_forbidden',
  CLUSTER_AUTHORIZATION_FAILED: 'kafka_forbidden',
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 'kafka_forbidden',
  SASL_AUTHENTICATION_FAILED: 'kafka_login_refused',
  UNSUPPORTED_VERSION: 'kafka_too_old',
  UNKNOWN_MEMBER_ID: 'kafka_group_in_use',
  ILLEGAL_GENERATION: 'kafka_group_in_use',
  STALE_MEMBER_EPOCH: 'kafka_group_in_use',
  GROUP_ID_NOT_FOUND: 'kafka_group_in_use',
  NOT_ENOUGH_REPLICAS: 'kafka_not_in_sync',
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: 'kafka_not_in_sync',
  OUT_OF_ORDER_SEQUENCE_NUMBER: 'kafka_producer_fenced',
  INVALID_PRODUCER_EPOCH: 'kafka_producer_fenced',
  UNKNOWN_PRODUCER_ID: 'kafka_producer_fenced',
  INVALID_PRODUCER_ID_MAPPING: 'kafka_producer_fenced',
  PRODUCER_FENCED: 'kafka_producer_fenced',
  INVALID_TXN_STATE: 'kafka_producer_fenced',
  TRANSACTION_COORDINATOR_FENCED: 'kafka_producer_fenced',
  TRANSACTIONAL_ID_NOT_FOUND: 'kafka_producer_fenced',
  TRANSACTION_ABORTABLE: 'kafka_producer_fenced',
  CORRUPT_MESSAGE: 'kafka_not_readable',
  UNSUPPORTED_COMPRESSION_TYPE: 'kafka_not_readable',
  MESSAGE_TOO_LARGE: 'kafka_message_refused',
  RECORD_LIST_TOO_LARGE: 'kafka_message_refused',
  INVALID_TIMESTAMP: 'kafka_message_refused',
  INVALID_RECORD: 'kafka_message_refused',
  THROTTLING_QUOTA_EXCEEDED: 'kafka_unavailable',
  KAFKA_STORAGE_ERROR: 'kafka_unavailable',
  UNKNOWN_SERVER_ERROR: 'kafka_unavailable',
  BROKER_NOT_AVAILABLE: 'kafka_unavailable',
  OPERATION_NOT_ATTEMPTED: 'kafka_unavailable',
};

const hints: Readonly<Record<string, string>> = {
  INVALID_TRANSACTION_TIMEOUT: 'Raise transaction.max.timeout.ms of the brokers to at least 60000.',
};

/**
 * Translates an error of a response. `what` was asked for, as a sentence without its end. `hint` is for a lack of permissions. An unknown
 * topic passes: only `describe` finds out whether it is missing, and other brokers may hear of a new topic later. So does an error
 * that is not known, as in Kafka's own clients.
 */
export function refusal(code: number, what: string, hint?: string): PenstockError {
  const name = errorNamed(code);
  const fallback = (protocolErrors[name]?.canRetry ?? true) ? 'kafka_unavailable' : 'kafka_refused';
  const kind = codes[name] ?? fallback;
  const advice = kind === 'kafka_forbidden' ? hint : hints[name];
  return kafkaError(kind, `${what}: ${name}`, {
    ...(advice === undefined ? {} : { hint: advice }),
    facts: { error: name },
  });
}
