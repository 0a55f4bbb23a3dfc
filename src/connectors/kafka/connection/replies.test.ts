import { protocolErrors } from '@platformatic/kafka';
import { expect, test } from 'vitest';
import { refusal } from './replies.ts';

test.each([
  ...['NOT_LEADER_OR_FOLLOWER', 'LEADER_NOT_AVAILABLE', 'UNKNOWN_TOPIC_OR_PARTITION', 'UNKNOWN_TOPIC_ID'],
  ...['COORDINATOR_NOT_AVAILABLE', 'COORDINATOR_LOAD_IN_PROGRESS', 'NOT_COORDINATOR', 'NOT_CONTROLLER'],
  ...[
    'NOT_ENOUGH_REPLICAS',
    'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
    'REPLICA_NOT_AVAILABLE',
    'OFFSET_NOT_AVAILABLE',
  ],
  ...['FENCED_LEADER_EPOCH', 'UNKNOWN_LEADER_EPOCH', 'BROKER_NOT_AVAILABLE', 'LISTENER_NOT_FOUND'],
  ...['KAFKA_STORAGE_ERROR', 'REQUEST_TIMED_OUT', 'NETWORK_EXCEPTION', 'UNKNOWN_SERVER_ERROR'],
  ...[
    'CONCURRENT_TRANSACTIONS',
    'UNSTABLE_OFFSET_COMMIT',
    'OPERATION_NOT_ATTEMPTED',
    'THROTTLING_QUOTA_EXCEEDED',
  ],
  ...['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED', 'UNKNOWN_PRODUCER_ID', 'INVALID_PRODUCER_ID_MAPPING'],
  ...[
    'INVALID_TXN_STATE',
    'TRANSACTION_COORDINATOR_FENCED',
    'TRANSACTION_ABORTABLE',
    'OUT_OF_ORDER_SEQUENCE_NUMBER',
  ],
])('%s passes: a job tries again', (name) => {
  const { code } = protocolErrors[name] as { code: number };
  expect(refusal(code, 'No')).toMatchObject({ passing: true, facts: { error: name } });
});

test('an error that is not known passes too', () => {
  expect(refusal(9_999, 'No')).toMatchObject({ code: 'kafka_unavailable', passing: true });
});

test.each([
  ['TOPIC_AUTHORIZATION_FAILED', 'kafka_forbidden'],
  ['INVALID_TRANSACTION_TIMEOUT', 'kafka_refused'],
  ['UNSUPPORTED_VERSION', 'kafka_too_old'],
])('%s does not pass', (name, kind) => {
  const { code } = protocolErrors[name] as { code: number };
  expect(refusal(code, 'No')).toMatchObject({ code: kind, passing: false });
});
