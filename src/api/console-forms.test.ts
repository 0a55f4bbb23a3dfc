import Ajv from 'ajv/dist/2019.js';
import addFormats from 'ajv-formats';
import { describe, expect, test } from 'vitest';
import { connectors } from '../connectors/catalog.ts';
import { connectorFor } from '../connectors/registry.ts';
import { checkProfileConfig, checkTableConfig } from '../definitions/config-checks.ts';
import { toWire } from './connectors.ts';

/**
 * Stands for the forms of Arroyo's console, as its sources of August 2026 have them: their validator, its keywords and
 * formats, and what each widget sends when nobody touches it.
 */
const validator = () => {
  const ajv = new Ajv.default({ logger: false });
  ajv.addKeyword('sensitive');
  for (const format of ['var-str', 'autocomplete', 'uint64']) ajv.addFormat(format, () => true);
  addFormats.default(ajv);
  return ajv;
};

interface FormSchema {
  type?: string;
  title?: string;
  enum?: string[];
  default?: unknown;
  maxLength?: number;
  minimum?: number;
  properties?: Record<string, FormSchema>;
  additionalProperties?: FormSchema | boolean;
  items?: FormSchema;
  oneOf?: FormSchema[];
  required?: string[];
  sensitive?: string[];
}

/** The value of a form whose widgets are left alone; `choose` picks an alternative. */
function untouched(schema: FormSchema, choose: string | undefined): unknown {
  if (schema.enum) return schema.default ?? schema.enum[0];
  if (schema.type === 'boolean') return false;
  const alternative = schema.oneOf?.find(({ title }) => title === choose) ?? schema.oneOf?.[0];
  if (alternative) return untouched(alternative, choose) ?? {};
  if (!schema.properties) return undefined;
  const entries = Object.entries(schema.properties).map(([name, inner]) => [name, untouched(inner, choose)]);
  const given = entries.filter(([, value]) => value !== undefined);
  return given.length > 0 ? Object.fromEntries(given) : undefined;
}

type Widget = [path: string, schema: FormSchema, parent: FormSchema];

const widgets = (schema: FormSchema, at = ''): Widget[] =>
  Object.entries(schema.properties ?? {}).flatMap(([name, inner]): Widget[] => [
    [`${at}${name}`, inner, schema],
    ...widgets(inner, `${at}${name}/`),
    ...(inner.oneOf ?? []).flatMap((each) => widgets(each, `${at}${name}/${each.title}/`)),
  ]);

const forms = connectors.flatMap((connector) => {
  const { connection_config, table_config } = toWire(connector);
  const texts = { profile: connection_config, table: table_config };
  return Object.entries(texts).flatMap(([part, text]) =>
    text === null ? [] : [{ id: connector.id, part, schema: JSON.parse(text) as FormSchema }],
  );
});

const ofNats: Record<string, object> = {
  Credentials: { username: 'ada', password: 'x' },
  Jwt: { jwt: 'x', nkeySeed: `SU${'A'.repeat(56)}` },
  Token: { token: 'x' },
  NKey: { nkeySeed: `SU${'A'.repeat(56)}` },
  Creds: { creds: 'user.creds' },
};

/** The fields that a user has to fill in, by the alternative that was chosen if they depend on it. */
const filled: Record<string, object | ((choice: string | undefined) => object)> = {
  'nats profile': (choice) => ({ servers: 'nats:4222', authentication: ofNats[choice ?? ''] ?? {} }),
  'nats table': (choice) => ({
    connectorType:
      choice === 'Sink'
        ? { sinkType: { subject: 'a' } }
        : { sourceType: choice === 'NATS Core' ? { subject: 'a' } : { stream: 'S' } },
  }),
  'mqtt profile': { url: 'mqtt://broker' },
  'mqtt table': { topic: 'a' },
  'impulse table': { event_rate: 10 },
  'kafka profile': { bootstrapServers: 'broker:9092' },
  'kafka profile (SASL)': {
    bootstrapServers: 'broker:9092',
    authentication: { username: 'plant', password: 'secret' },
  },
  'kafka table': { topic: 'a' },
  'confluent profile': { bootstrapServers: 'broker:9092', key: 'plant', secret: 'secret' },
  'confluent table': { topic: 'a' },
  'postgres profile': { host: 'db.example', user: 'penstock' },
  'postgres table': { table: 'readings' },
  'redis profile': { connection: { address: 'redis://localhost:6379' } },
  'redis profile (Clustered)': { connection: { addresses: ['redis://localhost:6379'] } },
  'redis table': { connectorType: { target: { keyPrefix: 'k:' } } },
  'redis table (List Table)': { connectorType: { target: { listPrefix: 'k:', operation: 'Append' } } },
  'redis table (Hash Table)': {
    connectorType: { target: { hashKeyPrefix: 'k:', hashFieldColumn: 'device' } },
  },
  'redis table (Stream Table)': { connectorType: { target: { streamPrefix: 'k:', entry: 'payload' } } },
  'redis table (Source)': { connectorType: { stream: 'readings', consumerGroup: 'penstock' } },
  'rabbitmq table': { stream: 's' },
  'rabbitmq table (Queue)': { type: { queue: 'q' } },
  'filesystem table': { table_type: { path: 'readings' } },
  'single_file table': { path: 'out.json' },
  'polling_http table': { endpoint: 'https://example.com/out' },
  'sse table': { endpoint: 'https://example.com/events' },
  'websocket table': { endpoint: 'wss://example.com/stream' },
  'webhook table': { endpoint: 'https://example.com/in' },
};

/** Adds fields, also to an object within. */
const fill = (config: object, fields: object): object => ({
  ...config,
  ...Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      const given = (config as Record<string, unknown> | undefined)?.[name];
      return [name, typeof given === 'object' ? { ...given, ...value } : value];
    }),
  ),
});

const profiles = connectors.filter((connector) => toWire(connector).connection_config !== null);

test('a connector that nobody chooses is hidden', () => {
  expect(connectors.filter((connector) => toWire(connector).hidden).map(({ id }) => id)).toEqual(['preview']);
});

test('a profile is asked for where one is needed', () => {
  expect(profiles.map(({ id }) => id)).toEqual([
    'mqtt',
    'kafka',
    'confluent',
    'nats',
    'rabbitmq',
    'postgres',
    'redis',
    'filesystem',
  ]);
});

describe.each(forms)('the form of a $id $part', ({ id, part, schema }) => {
  const choices = [
    undefined,
    ...widgets(schema).flatMap(([, { oneOf }]) => (oneOf ?? []).map(({ title }) => title)),
  ];
  const check =
    part === 'profile'
      ? checkProfileConfig
      : (name: string, config: unknown) => checkTableConfig(name, config, {});

  test('has keywords and formats that its validator knows', () => {
    expect(() => validator().compile(schema)).not.toThrow();
  });

  test.each(choices)('gives a valid configuration when its widgets are left alone (%s)', (choice) => {
    const needed = filled[`${id} ${part} (${choice})`] ?? filled[`${id} ${part}`] ?? {};
    const fields = typeof needed === 'function' ? needed(choice) : needed;
    const registry = choice === 'Confluent Schema Registry' && {
      schemaRegistryEnum: { endpoint: 'http://r' },
    };
    const sent = fill(untouched(schema, choice) as object, { ...fields, ...registry });
    expect(validator().validate(schema, sent)).toBe(true);
    // The console adds these two.
    expect(validator().validate(schema, { ...sent, name: 'plant', __meta: { type: {} } })).toBe(true);
    expect(() => check(id, sent)).not.toThrow();
  });

  test('has a title for each widget, and a default of false for each switch', () => {
    for (const [path, widget] of widgets(schema)) {
      expect([path, widget.title]).toEqual([path, expect.any(String)]);
      expect([path, widget.type === 'boolean' ? (widget.default ?? false) : false]).toEqual([path, false]);
      if (widget.items) expect([path, widget.items.title]).toEqual([path, expect.any(String)]);
    }
  });

  test('takes whole numbers in each input for numbers', () => {
    for (const [path, { minimum = 0 }] of widgets(schema))
      expect([path, Math.abs(minimum % 1)]).toEqual([path, 0]);
  });

  test('hides what is secret, and shows a line for what is one', () => {
    const { sensitive = [] } = connectorFor(id)[part as 'profile' | 'table'] as FormSchema;
    const found = widgets(schema).filter(([path, , parent]) =>
      parent.sensitive?.includes(path.split('/').at(-1) ?? ''),
    );
    // Alternatives may share a secret.
    const paths = found.map(([path]) => path.replace(/\/[A-Z][\w ]*\//, '/'));
    expect([...new Set(paths)].sort()).toEqual([...sensitive].sort());
    // The console draws an area of several lines, which cannot be hidden, from 100 characters on.
    const areas = widgets(schema).filter(([, { maxLength = 0 }]) => maxLength >= 100);
    const files = /(^|\/)(tls\/(ca|cert|key)|tls_config\/(root|client)_\w+_path|creds)$/;
    expect(areas.map(([path]) => path).filter((path) => !files.test(path))).toEqual([]);
  });
});

test('an mqtts profile whose widgets are left alone verifies the certificate and has no last will', () => {
  const [form] = forms;
  const sent = {
    ...(untouched((form as { schema: FormSchema }).schema, undefined) as object),
    url: 'mqtts://broker',
  };
  expect(sent).toMatchObject({ insecureSkipVerify: false, will: { retain: false, qos: 'AtMostOnce' } });
  expect(() => checkProfileConfig('mqtt', sent)).not.toThrow();
});

test.each([
  [{ rejectUnauthorized: false }, /rejectUnauthorized is now insecureSkipVerify, with the opposite meaning/],
  [{ rejectUnauthorized: true }, /rejectUnauthorized is now insecureSkipVerify/],
  [{ rejectUnauthorised: true }, /is not a known field/],
])('a profile with %j is refused with what to write', (fields, message) => {
  expect(() => checkProfileConfig('mqtt', { url: 'mqtts://broker', ...fields })).toThrow(message);
});
