import { expect, test } from 'vitest';
import { apiError } from './translate.ts';

test.each([
  [10005, 400, 'no suitable peers for placement'],
  [10006, 500, 'JetStream not in clustered mode'],
  [10007, 500, 'JetStream cluster not assigned to this server'],
  [10008, 503, 'JetStream system temporarily unavailable'],
  [10009, 500, 'JetStream cluster can not handle request'],
  [10041, 500, 'not current leader'],
  [10118, 500, 'stream is offline'],
  [10119, 500, 'consumer is offline'],
  [10158, 409, 'duplicate message id is in process'],
  [10167, 429, 'too many requests'],
  [10202, 400, 'cluster member change is in progress'],
])('a cluster that responds with %i is tried again', (err_code, code, description) => {
  expect(apiError({ err_code, code, description })).toMatchObject({
    code: 'nats_unavailable',
    passing: true,
    facts: { status: code, errorCode: err_code },
  });
});

test.each([
  [10003, 400, 'bad request'],
  [10026, 400, 'maximum consumers limit reached'],
  [10074, 500, 'replicas > 1 not supported in non-clustered mode'],
])('a request that is refused with %i is not repeated', (err_code, code, description) => {
  expect(apiError({ err_code, code, description })).toMatchObject({ code: 'nats_refused', passing: false });
});
