import { expect, test } from 'vitest';
import { serverError } from './translate.ts';

/** Texts of RabbitMQ 3.10.8, but for the first three, which are those of its source. */
test.each([
  [
    404,
    "NOT_FOUND - failed to perform operation on queue 'q' in vhost '/' due to timeout",
    'rabbitmq_unavailable',
    true,
  ],
  [
    404,
    "NOT_FOUND - queue 'q' in vhost '/' has its master replica on node a, which may be stopping or being demoted",
    'rabbitmq_unavailable',
    true,
  ],
  [
    406,
    "PRECONDITION_FAILED - queue 's' in vhost '/' does not have a running replica on the local node",
    'rabbitmq_unavailable',
    true,
  ],
  [
    403,
    'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.',
    'rabbitmq_login_refused',
    false,
  ],
  [530, 'NOT_ALLOWED - vhost nope not found', 'rabbitmq_vhost_refused', false],
  [
    530,
    "NOT_ALLOWED - access to vhost '/' refused for user 'x': connection limit (1) is reached",
    'rabbitmq_too_many_connections',
    true,
  ],
  [403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", 'rabbitmq_in_use', true],
  [
    405,
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'ex' in vhost '/'.",
    'rabbitmq_in_use',
    true,
  ],
  [
    403,
    "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'x'",
    'rabbitmq_forbidden',
    false,
  ],
  [404, "NOT_FOUND - no queue 'none' in vhost '/'", 'rabbitmq_queue_missing', false],
  [404, "NOT_FOUND - no exchange 'nox' in vhost '/'", 'rabbitmq_exchange_missing', false],
  [
    404,
    "NOT_FOUND - home node 'rabbit@a' of durable queue 'q' in vhost '/' is down or inaccessible",
    'rabbitmq_unavailable',
    true,
  ],
  [
    406,
    'PRECONDITION_FAILED - delivery acknowledgement on channel 2 timed out. Timeout value used: 5000 ms.',
    'rabbitmq_ack_timeout',
    true,
  ],
  [
    406,
    'PRECONDITION_FAILED - message size 1048577 is larger than configured max size 1048576',
    'rabbitmq_message_too_large',
    false,
  ],
  [406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q'", 'rabbitmq_refused', false],
  [
    320,
    "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
    'connection_lost',
    true,
  ],
  [541, 'INTERNAL_ERROR', 'rabbitmq_unavailable', true],
])('%i %s', (status, text, code, passing) => {
  expect(serverError({ status, text })).toMatchObject({ code, passing });
});
