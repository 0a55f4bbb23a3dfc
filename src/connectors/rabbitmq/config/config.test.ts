import { describe, expect, test } from 'vitest';
import { startService } from '../../../../test/support/service.ts';
import { checkProfileConfig, checkTableConfig } from '../../../definitions/config-checks.ts';
import { compileQuery } from '../../../sql/compile.ts';
import type { RabbitmqProfile } from './profile.ts';
import { parseHosts } from './profile.ts';

describe("Arroyo's options", () => {
  const query = (source: string, sink: string) => `
    CREATE TABLE a (value TEXT) WITH (connector = 'rabbitmq', host = 'rabbit', username = 'ada', password = 'secret',
      virtual_host = 'plant', port = 5671, tls_config.enabled = true, load_balancer_mode = true, type = 'source',
      ${source}, format = 'json');
    CREATE TABLE b (value TEXT) WITH (connector = 'rabbitmq', type = 'sink', ${sink}, format = 'json');
    INSERT INTO b SELECT value FROM a;`;

  test.each([
    ["stream = 's', source.offset = 'first'", { stream: 's', type: { offset: 'first' } }],
    ["stream = 's'", { stream: 's', type: { offset: 'last' } }],
    ["queue = 'q', consumer_priority = 2", { type: { queue: 'q', consumer_priority: 2 } }],
  ])('a source with %s', async (options, config) => {
    const { catalog } = await startService();
    const { inserts } = await compileQuery(query(options, "routing_key = 'out'"), catalog);
    expect(inserts[0]?.source).toMatchObject({
      config,
      profile: {
        host: 'rabbit',
        username: 'ada',
        password: 'secret',
        virtual_host: 'plant',
        port: 5671,
        tls_config: { enabled: true },
        load_balancer_mode: true,
      },
    });
  });

  test.each([
    ["stream = 's'", { stream: 's', type: {} }],
    [
      "exchange = 'e', routing_key = 'k.{{ value }}', allow_unroutable = true",
      { type: { exchange: 'e', routing_key: 'k.{{ value }}', allow_unroutable: true } },
    ],
  ])('a sink with %s', async (options, config) => {
    const { catalog } = await startService();
    const { inserts } = await compileQuery(query("queue = 'q'", options), catalog);
    expect(inserts[0]?.sink).toMatchObject({ config });
  });
});

test.each([
  [{ type: { offset: 'first' } }, '/stream'],
  [{ stream: 's', type: { queue: 'q' } }, '/stream'],
  [{ type: { queue: 'q', watch_key: 'a' } }, '/type/watch_key'],
  [{ type: { queue: 'é'.repeat(128) } }, '/type/queue'],
  [{ type: {} }, '/type/routing_key'],
  [{ stream: 's', type: { exchange: 'e' } }, '/type/exchange'],
  [{ stream: 's', type: { allow_unroutable: true } }, '/type/allow_unroutable'],
  [{ type: { routing_key: 'q', headers: JSON.parse('{"__proto__":"a"}') } }, '/type/headers'],
  [{ type: { routing_key: '{{ a' } }, '/type/routing_key'],
  [{ type: { routing_key: 'q', headers: { CC: 'other' } } }, '/type/headers'],
  [{ type: { routing_key: 'q', headers: { a: '{{' } } }, '/type/headers'],
])('the table %j is refused at %s', (config, path) => {
  const found = () => checkTableConfig('rabbitmq', config, {});
  expect(found).toThrow(
    expect.objectContaining({ errors: [expect.objectContaining({ path: `/config${path}` })] }),
  );
});

test.each([
  [{ host: 'amqp://rabbit:5672' }, '/host'],
  [{ host: 'rabbit,,other' }, '/host'],
  [{ host: 'rabbit:99999' }, '/host'],
  [{ tls_config: { trust_certificates: true } }, '/tls_config/enabled'],
  [{ tls_config: { enabled: true, client_certificates_path: 'c.pem' } }, '/tls_config/client_keys_path'],
  [{ external_login: true }, '/external_login'],
])('the profile %j is refused at %s', (config, path) => {
  const found = () => checkProfileConfig('rabbitmq', config);
  expect(found).toThrow(
    expect.objectContaining({
      errors: expect.arrayContaining([expect.objectContaining({ path: `/config${path}` })]),
    }),
  );
});

test.each<[RabbitmqProfile, string]>([
  [{}, 'localhost:5672'],
  [{ tls_config: { enabled: true } }, 'localhost:5671 tls'],
  [{ host: 'a, b:1, ::1, [::2]:3', port: 9 }, 'a:9 b:1 ::1:9 ::2:3'],
  [{ host: '', port: 0 }, 'localhost:5672'],
])('the profile %j leads to %s', (profile, expected) => {
  const found = parseHosts(profile);
  if (typeof found === 'string') throw new Error(found);
  expect(found.map(({ host, port, tls }) => `${host}:${port}${tls ? ' tls' : ''}`).join(' ')).toBe(expected);
});
