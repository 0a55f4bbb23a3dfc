import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { makeAuthority, makeServer } from '../../../test/support/certificates.ts';
import { targets } from '../../../test/support/mqtt.ts';
import { SchemaRegistry } from '../../../test/support/schema-registry.ts';
import { asPenstockError, type PenstockError } from '../../errors.ts';
import { expandSchema } from '../../formats/codec.ts';
import type { RegisteredSchema } from '../../formats/registered.ts';
import { formatOf } from '../../formats/registry.ts';
import type { ConnectionSchema, Format } from '../../formats/schema/schema.ts';
import { TargetRules } from '../../security/targets.ts';
import type { CheckStep } from '../connector.ts';
import { kafka } from '../kafka/index.ts';
import { mqtt } from '../mqtt/index.ts';
import { nats } from '../nats/index.ts';
import { redis } from '../redis/index.ts';
import { registryStep } from './check.ts';
import { RegistryClient } from './client.ts';
import { Kept } from './kept.ts';
import { validateRegistry } from './profile.ts';
import { CachedSchemas } from './schemas.ts';
import { subjectOf, withSchemaId } from './subject.ts';

const { signal } = new AbortController();
const record = (name: string, ...fields: object[]) => ({ type: 'record', name, fields });
const field = (name: string, type: unknown) => ({ name, type });

const clientOf = (server: SchemaRegistry, more: object = {}) =>
  new RegistryClient({ profile: { endpoint: server.url, ...more }, targets }, signal);

async function failure(promise: Promise<unknown> | undefined): Promise<PenstockError> {
  try {
    await promise;
  } catch (error) {
    return asPenstockError(error);
  }
  throw new Error('it did not fail');
}

describe('schemas by their ids', () => {
  test('are asked for once, with those that they refer to', async () => {
    const server = await SchemaRegistry.start();
    server.add('plant/Hall', record('plant.Hall', field('name', 'string')));
    const hall = { name: 'plant.Hall', subject: 'plant/Hall', version: 1 };
    server.add('plant.Place', record('plant.Place', field('hall', 'plant.Hall')), undefined, [hall]);
    const place = { name: 'plant.Place', subject: 'plant.Place', version: 1 };
    const id = server.add('a', record('A', field('place', 'plant.Place')), undefined, [place, hall]);
    const schemas = new CachedSchemas(clientOf(server));
    await Promise.all([schemas.load(new Set([id])), schemas.load(new Set([id, 99]))]);
    expect(schemas.get(id)).toMatchObject({ type: 'AVRO' });
    expect(Object.keys((schemas.get(id) as { references: object }).references)).toEqual([
      'plant.Hall',
      'plant.Place',
    ]);
    expect(schemas.get(99)).toMatchObject({
      code: 'bad_data',
      message: 'The payload has the schema id 99, which the registry does not have',
    });
    expect(schemas.load(new Set([id, 99]))).toBeUndefined();
    expect(schemas.get(98)).toBeUndefined();
    expect(server.requests.toSorted()).toEqual(
      [
        `GET /schemas/ids/${id}`,
        'GET /schemas/ids/99',
        'GET /subjects/plant%2FHall/versions/1?deleted=true',
        'GET /subjects/plant.Place/versions/1?deleted=true',
      ].toSorted(),
    );
    await schemas.close();
  });

  test('that refer to each other, or to what is not there, end', async () => {
    const server = await SchemaRegistry.start();
    const self = { name: 'R', subject: 'r', version: 1 };
    const id = server.add('r', record('R', field('r', 'R')), undefined, [self]);
    const broken = server.add('b', record('B'), undefined, [{ name: 'X', subject: 'x', version: 1 }]);
    const schemas = new CachedSchemas(clientOf(server));
    await schemas.load(new Set([id, broken]));
    expect(schemas.get(id)).toMatchObject({ references: { R: expect.any(String) } });
    expect(schemas.get(broken)).toMatchObject({
      code: 'bad_data',
      message: expect.stringContaining('refers to X'),
    });
    await schemas.close();
  });

  test.each([
    ['is down', 500, '{}', 'schema_registry_unavailable', true],
    ['asks to wait', 429, '{"error_code":42901,"message":"slow down"}', 'schema_registry_unavailable', true],
    [
      'refuses the login',
      403,
      '{"error_code":403,"message":"denied"}',
      'schema_registry_unauthorized',
      false,
    ],
    ['is hidden by a proxy', 404, '<html>', 'schema_registry_unavailable', true],
    ['is hidden by one that refuses', 400, 'Bad Request', 'schema_registry_unavailable', true],
    ['responds with nonsense', 200, '{"schema":7}', 'schema_registry_unavailable', true],
    ['responds with HTML', 200, '<html>', 'schema_registry_unavailable', true],
  ] as const)('are not bad data when the registry %s', async (_name, status, text, code, passing) => {
    const server = await SchemaRegistry.start();
    server.instead = () => ({ status, text });
    const schemas = new CachedSchemas(clientOf(server));
    expect(await failure(schemas.load(new Set([1])))).toMatchObject({ code, passing });
    expect(schemas.get(1)).toBeUndefined();
    await schemas.close();
  });

  test('are not bad data when the registry is gone, and a forbidden address is not asked', async () => {
    const server = await SchemaRegistry.start();
    const id = server.add('a', record('A'));
    await server.down();
    const schemas = new CachedSchemas(clientOf(server));
    expect(await failure(schemas.load(new Set([id])))).toMatchObject({
      code: 'schema_registry_unavailable',
      message: expect.stringContaining(server.url),
      facts: { code: 'connection_refused' },
    });
    await server.up();
    await schemas.load(new Set([id]));
    expect(schemas.get(id)).toMatchObject({ type: 'AVRO' });
    await schemas.close();
    const rules = new TargetRules(['!127.0.0.0/8']);
    const forbidden = new RegistryClient({ profile: { endpoint: server.url }, targets: rules }, signal);
    expect(await failure(forbidden.types())).toMatchObject({ code: 'target_not_allowed', passing: false });
  });

  test('are not bad data when a proxy redirects to its login, and what a registry refuses has a hint', async () => {
    const server = await SchemaRegistry.start();
    const client = clientOf(server);
    server.instead = () => ({ status: 302, headers: { location: 'http://login.example/' }, text: '' });
    expect(await failure(client.schema(1))).toMatchObject({
      code: 'schema_registry_unavailable',
      passing: true,
    });
    const written = { name: 'A', schema: '{', references: [] };
    server.instead = () => ({ status: 422, text: '{"error_code":42201,"message":"Invalid schema"}' });
    expect(await failure(client.register('AVRO', 'a', written))).toMatchObject({
      code: 'schema_registry_refused',
      hint: expect.stringContaining('Change the schema of the table'),
    });
    await client.close();
  });

  test('that are too large are bad data', async () => {
    const server = await SchemaRegistry.start();
    server.instead = () => ({ status: 200, text: JSON.stringify({ schema: 'x'.repeat(5 * 1024 * 1024) }) });
    const schemas = new CachedSchemas(clientOf(server));
    await schemas.load(new Set([1]));
    expect(schemas.get(1)).toMatchObject({ code: 'bad_data', message: expect.stringContaining('too large') });
    await schemas.close();
  });
});

describe('schemas are kept', () => {
  const [a, b, c] = ['A', 'B', 'C'].map((name) => record(name));

  test('for the next attempt, also if some could not be loaded', async () => {
    const server = await SchemaRegistry.start();
    const hall = { name: 'Hall', subject: 'hall', version: 1 };
    server.add('hall', record('Hall'));
    const ids = [server.add('a', a as object), server.add('b', b as object, undefined, [hall])];
    ids.push(server.add('c', c as object));
    let refused = `/schemas/ids/${ids[2]}`;
    const busy = { status: 429, text: '{"error_code":42901,"message":"slow down"}' };
    server.instead = ({ url }) => (url === refused ? busy : undefined) as never;
    const load = (some: readonly number[]) => new CachedSchemas(clientOf(server)).load(new Set(some));
    expect(await failure(load(ids))).toMatchObject({ passing: true });
    // The request that was under way may not have ended.
    await load(ids.slice(0, 2));
    const before = server.requests.length;
    refused = '';
    await load(ids);
    expect(server.requests.slice(before)).toEqual([`GET /schemas/ids/${ids[2]}`]);
    await server.down();
    expect(load(ids)).toBeUndefined();
    const other = new CachedSchemas(clientOf(server, { apiKey: 'other' }));
    expect(await failure(other.load(new Set(ids)))).toMatchObject({ code: 'schema_registry_unavailable' });
  });

  test('while messages have them, whatever is loaded meanwhile', async () => {
    const server = await SchemaRegistry.start();
    const ids = [a, b, c].map((schema, index) => server.add(`s${index}`, schema as object));
    const [one = 0, two = 0, three = 0] = ids;
    const schemas = new CachedSchemas(clientOf(server), new Kept(1));
    await schemas.load(new Set([one]));
    await schemas.load(new Set([one, two]));
    await schemas.load(new Set([three, 99]));
    expect([...ids, 99].map((id) => schemas.get(id))).not.toContain(undefined);
    await schemas.close();
  });

  test('and loaded with the next batch if they are missed when it is decoded', async () => {
    const server = await SchemaRegistry.start();
    const id = server.add('a', a as object);
    expect(new CachedSchemas(clientOf(server)).get(id)).toBeUndefined();
    const next = new CachedSchemas(clientOf(server));
    await next.load(new Set());
    expect(next.get(id)).toMatchObject({ type: 'AVRO' });
    await next.close();
  });

  test('up to a number and a length, those used last', () => {
    const kept = new Kept<string>(2, 10);
    for (const key of ['a', 'b']) kept.put(key, key, 4);
    kept.get('a');
    kept.put('c', 'c', 4);
    expect(['a', 'b', 'c'].map((key) => kept.get(key))).toEqual(['a', undefined, 'c']);
    kept.put('a', 'long', 10);
    expect(['a', 'c'].map((key) => kept.get(key))).toEqual(['long', undefined]);
  });
});

test('a time limit of a caller is a registry that does not respond', async () => {
  const server = await SchemaRegistry.start();
  const limit = AbortSignal.timeout(1);
  await new Promise((resolve) => limit.addEventListener('abort', resolve));
  const client = new RegistryClient({ profile: { endpoint: server.url }, targets }, limit);
  expect(await failure(client.schema(1))).toMatchObject({
    code: 'schema_registry_unavailable',
    message: expect.stringContaining('did not respond in time'),
  });
});

describe('with TLS and a login', () => {
  let server: SchemaRegistry;
  let ca: string;

  beforeAll(async () => {
    const authority = await makeAuthority();
    ca = authority.cert;
    server = await SchemaRegistry.start(await makeServer(authority));
    server.login = 'key:secret';
  });

  test.each([
    [{ apiKey: 'key', apiSecret: 'secret' }, undefined],
    [{ apiKey: 'key', apiSecret: 'wrong' }, 'schema_registry_unauthorized'],
    [{}, 'schema_registry_unauthorized'],
  ])('%j', async (login, code) => {
    const client = clientOf(server, { ...login, tls: { ca } });
    if (code === undefined) expect(await client.types()).toContain('AVRO');
    else expect(await failure(client.types())).toMatchObject({ code });
    await client.close();
  });

  test('a certificate that is not trusted is refused', async () => {
    const client = clientOf(server);
    expect(await failure(client.types())).toMatchObject({ code: 'tls_unknown_issuer', passing: false });
    await client.close();
  });
});

const fields = [{ name: 'device', type: 'string' as const }];
const avro = (more: object = {}): Format =>
  ({ type: 'avro', confluent_schema_registry: true, ...more }) as Format;

const sink = (server: SchemaRegistry) => ({
  connector: kafka as never,
  profile: { schemaRegistryEnum: { endpoint: server.url } },
  targets,
  config: { topic: 't', type: { commit_mode: 'at_least_once' } },
});

describe('the id of a sink', () => {
  /** Lets what was asked for a minute ago be asked for again. */
  function later(): void {
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + 120_000);
    onTestFinished(() => void vi.restoreAllMocks());
  }

  const idOf = async (
    server: SchemaRegistry,
    format: Format,
    more: Partial<ConnectionSchema> = { fields },
  ) => {
    const found = await withSchemaId(sink(server), expandSchema({ format, ...more }), signal);
    return (found.format as { schema_id?: number }).schema_id;
  };

  test('is that of its schema, which is registered once', async () => {
    const server = await SchemaRegistry.start();
    server.add('other', record('Other'));
    expect(await idOf(server, avro())).toBe(2);
    expect(await idOf(server, avro())).toBe(2);
    expect(server.requests.filter((one) => one === 'POST /subjects/t-value/versions')).toHaveLength(1);
    expect(await idOf(server, avro({ subject_strategy: 'record' }))).toBe(2);
    expect(await idOf(server, avro({ subject_strategy: 'topic_record' }))).toBe(2);
    expect(await idOf(server, avro({ subject: 'own' }))).toBe(2);
    expect(server.subjects()).toEqual(['other', 't-value', 'row', 't-row', 'own']);
    const before = server.requests.length;
    expect(await idOf(server, avro({ schema_id: 17 }))).toBe(17);
    expect(server.requests).toHaveLength(before);
  });

  test('of Protobuf comes with what it imports', async () => {
    const server = await SchemaRegistry.start();
    const dependencies = { 'a/b.proto': 'syntax = "proto3"; message B { int32 x = 1; }' };
    const schema = 'syntax = "proto3"; import "a/b.proto"; message A { B b = 1; }';
    const definition = { type: 'protobuf_schema', schema, dependencies } as const;
    const format = { type: 'protobuf', confluent_schema_registry: true } as const;
    expect(await idOf(server, format, { definition })).toBe(2);
    expect(server.subjects()).toEqual(['a/b.proto', 't-value']);
    expect(await idOf(server, { ...format, register_schema: false }, { definition })).toBe(2);
  });

  test('of files that import each other in layers takes a few requests for each, over several attempts', async () => {
    const server = await SchemaRegistry.start();
    const layers = [0, 1, 2, 3];
    const file = (imported: readonly string[], message: string) =>
      `syntax = "proto3"; ${imported.map((name) => `import "${name}";`).join(' ')} message ${message} { int32 x = 1; }`;
    const dependencies = Object.fromEntries(
      layers.flatMap((layer) =>
        ['a', 'b'].map((side) => [
          `${side}${layer}.proto`,
          file(layer === 3 ? [] : [`a${layer + 1}.proto`, `b${layer + 1}.proto`], `${side}${layer}`),
        ]),
      ),
    );
    const schema = file(['a0.proto', 'b0.proto'], 'Top');
    const definition = { type: 'protobuf_schema', schema, dependencies } as const;
    const format = { type: 'protobuf', confluent_schema_registry: true, message_name: 'Top' } as const;
    let allowed = 0;
    server.instead = () =>
      (allowed-- > 0 ? undefined : { status: 429, text: '{"error_code":42901}' }) as never;
    let id: number | undefined;
    for (let attempt = 0; id === undefined && attempt < 10; attempt += 1) {
      allowed = 6;
      id = await idOf(server, format, { definition }).catch(() => undefined);
    }
    expect(id).toBe(9);
    const registered = server.requests.filter((one) => one.includes('.proto/versions'));
    expect(new Set(registered).size).toBe(8);
    expect(registered.length).toBeLessThan(16);
  });

  test('is kept while the registry is down', async () => {
    const server = await SchemaRegistry.start();
    expect(await idOf(server, avro())).toBe(1);
    const before = server.requests.length;
    expect(await idOf(server, avro())).toBe(1);
    expect(server.requests).toHaveLength(before);
    await server.down();
    later();
    expect(await idOf(server, avro())).toBe(1);
    expect(await failure(idOf(server, avro({ subject: 'other' })))).toMatchObject({ passing: true });
  });

  test('is that of the latest schema if the definition was taken from it, with what it refers to', async () => {
    const server = await SchemaRegistry.start();
    server.add('hall', record('plant.Hall', field('name', 'string')));
    const hall = { name: 'plant.Hall', subject: 'hall', version: 1 };
    const id = server.add('t-value', record('A', field('hall', 'plant.Hall')), undefined, [hall]);
    const client = clientOf(server);
    const found = (await client.latest('t-value')) as RegisteredSchema;
    await client.close();
    const definition = formatOf(avro())?.registry?.definitionOf(found);
    expect(definition?.schema).not.toBe(found.schema);
    expect(await idOf(server, avro({ register_schema: false }), { definition })).toBe(id);
    expect(await idOf(server, avro(), { definition })).toBe(id);
    expect(server.subjects()).toEqual(['hall', 't-value']);
    server.add('t-value', record('B', field('gone', 'X')), undefined, [{ ...hall, subject: 'gone' }]);
    later();
    expect(await failure(idOf(server, avro({ register_schema: false }), { definition }))).toMatchObject({
      code: 'schema_not_registered',
    });
  });

  test('is refused if the schema may not be registered, or is not allowed', async () => {
    const server = await SchemaRegistry.start();
    server.add('t-value', record('Other'));
    expect(await failure(idOf(server, avro({ register_schema: false })))).toMatchObject({
      code: 'schema_not_registered',
      passing: false,
    });
    server.closed.add('t-value');
    expect(await failure(idOf(server, avro()))).toMatchObject({
      code: 'schema_incompatible',
      passing: false,
    });
    await server.down();
    expect(await failure(idOf(server, avro()))).toMatchObject({ passing: true });
  });
});

test.each([
  [mqtt, { topic: 'plant/a', type: {} }, { subject: 'plant/a-value' }],
  [mqtt, { topic: 'plant/+', type: {} }, 'has no fixed topic'],
  [mqtt, { topic: 'plant/{{ device }}', type: { retain: false } }, 'has no fixed topic'],
  [nats, { connectorType: { sourceType: { subject: 'a.b' } } }, { subject: 'a.b-value' }],
  [nats, { connectorType: { sourceType: { subject: 'a.*' } } }, 'has no fixed topic'],
  [nats, { connectorType: { sourceType: { stream: 's', filterSubjects: ['x'] } } }, { subject: 'x-value' }],
  [redis, { connectorType: { stream: 's', consumerGroup: 'g' } }, { subject: 's-value' }],
  [redis, { connectorType: { target: { listPrefix: 'l', listKeyColumn: 'k' } } }, 'has no fixed topic'],
  [kafka, { topic: 't', type: { offset: 'latest' }, value_subject: 's' }, { subject: 's' }],
])('%o %j has a subject, or none', (connector, config, expected) => {
  const found = subjectOf({ connector: connector as never, config }, avro() as never, undefined);
  expect(found).toEqual(typeof expected === 'string' ? expect.stringContaining(expected) : expected);
});

test.each([
  [{ endpoint: 'http://r:8081/api' }, []],
  [{ endpoint: '{{ REGISTRY }}' }, []],
  [{ endpoint: 'registry:8081' }, ['/r/endpoint']],
  [{ endpoint: 'https://a:b@r' }, ['/r/endpoint']],
  [{ endpoint: 'http://r', apiSecret: 's' }, ['/r/apiKey']],
  [{ endpoint: 'http://r', tls: { ca: 'ca.pem' } }, ['/r/tls']],
  [{ endpoint: 'https://r', tls: { ca: 'ca.pem', cert: 'a.pem' } }, ['/r/tls/key']],
])('a registry %j is checked', (registry, expected) => {
  const paths: string[] = [];
  validateRegistry(registry, '/r', (path) => void paths.push(path));
  expect(paths).toEqual(expected);
});

describe('the step of a test', () => {
  const stepOf = async (
    server: SchemaRegistry,
    format: Format | undefined,
    config: unknown,
  ): Promise<CheckStep> => {
    const steps: CheckStep[] = [];
    const context = { report: (step: CheckStep) => void steps.push(step), signal, stepTimeoutMs: 30_000 };
    const schema = format && expandSchema({ format, fields });
    await registryStep(context, { ...sink(server), config, schema });
    return steps[0] as CheckStep;
  };
  const source = { topic: 't', type: { offset: 'latest' } };
  const written = { topic: 't', type: { commit_mode: 'at_least_once' } };

  test('says what a table finds', async () => {
    const server = await SchemaRegistry.start();
    expect(await stepOf(server, undefined, undefined)).toMatchObject({
      outcome: 'ok',
      name: 'schema_registry',
    });
    expect(await stepOf(server, { type: 'avro' }, written)).toBeUndefined();
    expect(await stepOf(server, avro(), source)).toMatchObject({
      outcome: 'warning',
      code: 'schema_not_registered',
    });
    expect(await stepOf(server, avro(), written)).toMatchObject({
      outcome: 'ok',
      message: expect.stringContaining('will be registered'),
    });
    const id = server.add('t-value', record('Other'));
    expect(await stepOf(server, avro(), source)).toMatchObject({ details: { version: 1, id } });
    server.closed.add('t-value');
    expect(await stepOf(server, avro(), written)).toMatchObject({ code: 'schema_incompatible' });
    expect(await stepOf(server, avro({ register_schema: false }), written)).toMatchObject({
      outcome: 'failed',
      code: 'schema_not_registered',
    });
    expect(await stepOf(server, avro({ schema_id: 9 }), written)).toMatchObject({
      code: 'schema_not_registered',
    });
    const json = { type: 'json', confluent_schema_registry: true } as const;
    expect(await stepOf(server, json, source)).toMatchObject({ outcome: 'failed', code: 'invalid_schema' });
    expect(server.subjects()).toEqual(['t-value']);
    server.instead = () => ({ status: 404, text: '<html>' });
    expect(await stepOf(server, avro(), source)).toMatchObject({
      code: 'schema_registry_refused',
      message: expect.stringContaining('is not a schema registry'),
    });
    await server.down();
    expect(await stepOf(server, avro(), source)).toMatchObject({ code: 'schema_registry_unavailable' });
  });
});
