import { expect, test } from 'vitest';
import { mqttError } from '../connectors/mqtt/config/errors.ts';
import { PenstockError } from '../errors.ts';
import { fromPlain, toPlain } from './link.ts';

test('an error is the same in the other thread, whatever its cause', () => {
  const below = new TypeError('the lowest');
  const cause = Object.assign(new Error('below', { cause: below }), { handler: () => undefined });
  const details = {
    hint: 'do this',
    errors: [{ path: '/a', message: 'is wrong' }],
    facts: { reasonCode: 135 },
    cause,
  };
  const error = mqttError('mqtt_publish_refused', 'The broker says no', details);
  const other = fromPlain(structuredClone(toPlain(error)));
  expect(other).toBeInstanceOf(PenstockError);
  const { code, message, hint, errors, facts, passing, stack } = error;
  expect(other).toMatchObject({ code, message, hint, errors, facts, passing, stack });
  expect((other.cause as Error).message).toBe('below');
  expect(((other.cause as Error).cause as Error).stack).toBe(below.stack);
});

test('an unexpected error becomes internal and keeps the original as its cause', () => {
  const other = fromPlain(structuredClone(toPlain(new RangeError('odd'))));
  expect([other.code, other.passing, (other.cause as Error).message]).toEqual(['internal', true, 'odd']);
});
