import { describe, expect, test } from 'vitest';
import { describe as described, type NatsProfile, parseServers, validateProfile } from './profile.ts';
import { checkFilter, checkSubject, checkSubjectTemplate, covers, overlaps } from './subject.ts';
import { columnsOf, type NatsTable, pace, shared, tasksOf, validateTable } from './table.ts';

describe('servers', () => {
  test.each([
    ['nats-1:4222,nats-2', ['nats-1:4222 false', 'nats-2:4222 false']],
    [' tls://a:1 , nats://b:80 ', ['a:1 true', 'b:80 false']],
    ['[::1]:5, ::1, 10.0.0.1', ['[::1]:5 false', '[::1]:4222 false', '10.0.0.1:4222 false']],
  ])('%s', (text, expected) => {
    const found = parseServers(text);
    expect(typeof found === 'string' ? found : found.map(({ name, tls }) => `${name} ${tls}`)).toEqual(
      expected,
    );
  });

  test.each(['', ',', 'ws://a', 'http://a', 'a:b', 'a:0', 'me:secret@a:4222', 'a/b', 'a b', 'a:99999'])(
    '%s is refused',
    (text) => {
      const found = parseServers(text);
      expect(typeof found).toBe('string');
      expect(found).not.toContain('secret');
    },
  );
});

const seed = `SU${'A'.repeat(56)}`;
test.each<[Partial<NatsProfile>, string]>([
  [{}, ''],
  [{ servers: '{{ NATS }}' }, ''],
  [{ servers: 'ws://a' }, '/servers'],
  [{ tlsFirst: true }, '/tlsFirst'],
  [{ servers: 'tls://a', tlsFirst: true }, ''],
  [{ tls: { cert: 'a.pem' } }, '/tls/key'],
  [{ authentication: { nkeySeed: seed } }, ''],
  [{ authentication: { nkeySeed: '{{ SEED }}' } }, ''],
  [{ authentication: { nkeySeed: 'SAAB' } }, '/authentication/nkeySeed'],
  [{ authentication: { jwt: 'x', nkeySeed: 'x' } }, '/authentication/nkeySeed'],
  [{ authentication: { creds: 'user.creds' } }, ''],
  [{ authentication: { creds: '-----BEGIN NATS USER JWT-----\nx\n' } }, '/authentication/creds'],
  [{ inboxPrefix: 'a..b' }, '/inboxPrefix'],
])('a profile is refused at its wrong fields (%#)', (profile, paths) => {
  const errors = validateProfile({ servers: 'a', authentication: {}, ...profile });
  expect(errors.map(({ path }) => path).join(' ')).toBe(paths);
});

test('a profile is described without a login', () => {
  expect(described({ servers: 'me:x@a:1,b', authentication: {} })).toBe('a:1,b');
});

describe('subjects', () => {
  test.each(['a', 'a.b', '$JS.x', 'a*', 'ä.b'])('%s can be published to', (subject) => {
    expect(checkSubject(subject)).toBeNull();
  });

  test.each(['', '.', 'a.', '.a', 'a..b', 'a b', 'a.*', 'a.>', '>', 'a\r\nPUB'])('%j cannot', (subject) => {
    expect(checkSubject(subject)).not.toBeNull();
  });

  test.each([['a.*.b'], ['a.>'], ['>'], ['*']])('%s can be read', (subject) => {
    expect(checkFilter(subject)).toBeNull();
  });

  test.each([['a.>.b'], ['>.a'], ['a..>'], ['']])('%j cannot be read', (subject) => {
    expect(checkFilter(subject)).not.toBeNull();
  });

  test.each([
    ['alerts.{{ device }}', true],
    ['{{ a }}.{{b}}', true],
    ['alerts.{{ device', false],
    ['alerts.{{ device }}.>', false],
    ['al erts.{{ device }}', false],
  ])('%s as a template', (text, isValid) => {
    expect(checkSubjectTemplate(text) === null).toBe(isValid);
  });

  test.each([
    ['a.>', 'a.b.c', true],
    ['a.>', 'a', false],
    ['a.*', 'a.b', true],
    ['a.*', 'a.>', false],
    ['a.*', 'a.*', true],
    ['a.b', 'a.c', false],
    ['>', 'a', true],
  ])('%s covers %s: %s', (filter, subject, expected) => {
    expect(covers(filter, subject)).toBe(expected);
  });

  test.each([
    ['a.*', '*.b', true],
    ['a.>', 'a', false],
    ['a.>', '*.b.c', true],
    ['a.b', 'a.c', false],
    ['a', 'a.b', false],
  ])('%s overlaps %s: %s', (one, other, expected) => {
    expect([overlaps(one, other), overlaps(other, one)]).toEqual([expected, expected]);
  });
});

const stream = (more: object): NatsTable => ({ connectorType: { sourceType: { stream: 'S', ...more } } });
const sink = (more: object): NatsTable => ({ connectorType: { sinkType: { subject: 'a', ...more } } });

test.each<[NatsTable, string]>([
  [stream({ filterSubjects: ['a.>', ''] }), ''],
  [stream({ filterSubjects: ['a b'] }), 'sourceType/filterSubjects'],
  [stream({ rateLimit: 0 }), 'sourceType/rateLimit'],
  [stream({ startTime: 'tomorrow' }), 'sourceType/startTime'],
  [stream({ startTime: '2026-01-01T00:00:00Z', startSequence: 1 }), 'sourceType/startTime'],
  [{ connectorType: { sourceType: { subject: 'a.>.b' } } }, 'sourceType/subject'],
  [{ connectorType: { sourceType: { subject: 'a', queueGroup: 'a b' } } }, 'sourceType/queueGroup'],
  [sink({ subject: 'a.{{ b }}' }), ''],
  [sink({ subject: 'a.*' }), 'sinkType/subject'],
  [sink({ stream: 'S', messageId: '{{ }}' }), 'sinkType/messageId'],
  [sink({ headers: { 'a b': 'x' } }), 'sinkType/headers'],
  [sink({ headers: { 'Nats-Msg-Id': 'x' } }), 'sinkType/headers'],
])('a table is refused at its wrong fields (%#)', (table, path) => {
  expect(validateTable(table).map((error) => error.path)).toEqual(
    path === '' ? [] : [`/connectorType/${path}`],
  );
});

test('the columns of templates are known', () => {
  const table = sink({ stream: 'S', subject: 'a.{{ b }}', messageId: '{{ c }}', headers: { d: '{{ e }}' } });
  expect(columnsOf(table).map(({ column }) => column)).toEqual(['b', 'c', 'e']);
});

test('a rate limit is the pace, and tasks share a table', () => {
  expect([pace(stream({ rateLimit: 5 })), pace(stream({ rateLimit: -1 }))]).toEqual([
    { messagesPerSecond: 5 },
    {},
  ]);
  expect([tasksOf(stream({})), tasksOf(shared(stream({}), 0, 3))]).toEqual([1, 3]);
});
