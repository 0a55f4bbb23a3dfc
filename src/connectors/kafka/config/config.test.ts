import { Compile } from 'typebox/compile';
import { describe, expect, test } from 'vitest';
import { endpointsOf, KafkaProfile, validateProfile } from './profile.ts';
import { columnsOf, groupOf, KafkaTable, shared, shareOf, validateTable } from './table.ts';

test("takes Arroyo's shapes, and no others", () => {
  const profiles = Compile(KafkaProfile);
  const bootstrapServers = 'localhost:9092';
  const login = { mechanism: 'PLAIN', username: 'a', password: 'b' };
  const good = [
    { bootstrapServers, authentication: {} },
    { bootstrapServers, authentication: {}, schemaRegistryEnum: {}, connectionProperties: {} },
    { bootstrapServers, authentication: { protocol: 'SASL_SSL', ...login } },
    { bootstrapServers, authentication: { protocol: 'SSL' } },
    { bootstrapServers, authentication: {}, schemaRegistryEnum: { endpoint: 'http://r:8081', apiKey: 'k' } },
  ];
  const bad = [
    { bootstrapServers },
    { bootstrapServers, authentication: { protocol: 'SASL_SSL', ...login, mechanism: 'GSSAPI' } },
    { bootstrapServers, authentication: { region: 'eu-central-1' } },
    { bootstrapServers, authentication: {}, schemaRegistryEnum: { apiKey: 'k' } },
  ];
  expect(good.map((one) => profiles.Check(one))).toEqual(good.map(() => true));
  expect(bad.map((one) => profiles.Check(one))).toEqual(bad.map(() => false));
  const tables = Compile(KafkaTable);
  const all = { offset: 'earliest', read_mode: 'read_committed', group_id: 'g', group_id_prefix: 'p' };
  expect(tables.Check({ topic: 'a', type: all, client_configs: {} })).toBe(true);
  const written = { commit_mode: 'exactly_once', key_field: 'k', timestamp_field: 't' };
  expect(tables.Check({ topic: 'a', type: written, value_subject: 'a-value' })).toBe(true);
  expect(tables.Check({ topic: 'a', type: {} })).toBe(false);
});

const profile = (more: object = {}): KafkaProfile => ({
  bootstrapServers: 'broker-1:9092,broker-2:9093',
  authentication: {},
  ...more,
});
const paths = (more: object) => validateProfile(profile(more)).map(({ path }) => path);

describe('a profile', () => {
  test('names several servers', () => {
    expect(endpointsOf(profile({ bootstrapServers: 'a:9092, [::1]:9093' }))).toEqual([
      { host: 'a', port: 9092, tls: false },
      { host: '::1', port: 9093, tls: false },
    ]);
    expect(endpointsOf(profile({ authentication: { protocol: 'SSL' } }))[0]?.tls).toBe(true);
  });

  test.each([
    [{}, []],
    [{ bootstrapServers: 'broker' }, ['/bootstrapServers']],
    [{ bootstrapServers: 'a:1,b:70000' }, ['/bootstrapServers']],
    [{ bootstrapServers: 'kafka://a:1' }, ['/bootstrapServers']],
    [{ bootstrapServers: '{{ BROKERS }}' }, []],
    [{ connectionProperties: { 'client.id': 'plant' } }, []],
    [{ connectionProperties: { 'security.protocol': 'SSL' } }, ['/connectionProperties']],
    [{ connectionProperties: { 'client.id': 'a\nb' } }, ['/connectionProperties']],
    [{ tls: { ca: 'ca.pem' } }, ['/tls']],
    [{ insecureSkipVerify: true }, ['/insecureSkipVerify']],
    [{ authentication: { protocol: 'SSL' }, tls: { ca: 'ca.pem' }, insecureSkipVerify: true }, []],
  ])('is checked: %j', (more, expected) => {
    expect(paths(more)).toEqual(expected);
  });
});

const source = (type: object = {}, more: object = {}): KafkaTable =>
  ({ topic: 'readings', type: { offset: 'latest', ...type }, ...more }) as KafkaTable;
const sink = (type: object = {}, more: object = {}): KafkaTable =>
  ({ topic: 'readings', type: { commit_mode: 'at_least_once', ...type }, ...more }) as KafkaTable;

describe('a table', () => {
  test.each([
    [source(), []],
    [source({}, { topic: 'a b' }), ['/topic']],
    [source({}, { topic: '..' }), ['/topic']],
    [source({}, { client_configs: { 'fetch.min.bytes': '1' } }), ['/client_configs']],
    [source({}, { client_configs: {}, value_subject: '' }), []],
    [source({}, { value_subject: 'readings-value' }), []],
    [sink({ commit_mode: 'exactly_once' }), []],
    [sink({ partition_field: 'p', partitioner: 'crc32' }), ['/type/partitioner']],
  ])('is checked: %j', (table, expected) => {
    expect(validateTable(table).map(({ path }) => path)).toEqual(expected);
  });

  test('names the columns that it uses, with their types', () => {
    const uses = columnsOf(
      sink({ key_field: 'k', timestamp_field: 't', headers_field: '', partition_field: 'p' }),
    );
    expect(uses.map(({ path, column }) => [path, column])).toEqual([
      ['/type/key_field', 'k'],
      ['/type/timestamp_field', 't'],
      ['/type/partition_field', 'p'],
    ]);
    expect(uses[2]?.types).toEqual(['int32', 'int64', 'uint32', 'uint64']);
    expect(columnsOf(source())).toEqual([]);
  });

  test('has a group of its own, or the one that is named', () => {
    const identity = { jobId: 'job_1', operatorId: 'op', taskIndex: 0 };
    expect(groupOf(source(), identity)).toBe('penstock-job_1-op');
    expect(groupOf(source({ group_id_prefix: 'plant', group_id: '' }), identity)).toBe(
      'plant-penstock-job_1-op',
    );
    expect(groupOf(source({ group_id: 'mine', group_id_prefix: 'plant' }), identity)).toBe('mine');
  });

  test('is read in parts', () => {
    expect(shareOf(shared(source(), 1, 3))).toEqual({ index: 1, of: 3 });
    expect(shareOf(source())).toEqual({ index: 0, of: 1 });
  });
});
