import { beforeAll, describe, expect, test } from 'vitest';
import { databases } from '../support/databases.ts';
import { created, createPipeline, createTables, profileBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

const nowhere = 'mqtt://127.0.0.1:1';
const inline = `CREATE TABLE more (device TEXT) WITH (connector = 'mqtt', connection_profile = 'named', topic = 'x',
  type = 'sink', format = 'json');`;

describe.each(databases)('an export of one kind on $provider', ({ open }) => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ open });
    const { request } = service;
    await createTables(request, nowhere);
    for (const name of ['named', 'unused'])
      await created(request, '/connection_profiles', profileBody(nowhere, { name }));
    const body = { name: 'silent', connector: 'blackhole', config: {}, labels: { app: 'silent' } };
    await created(request, '/connection_tables', body);
    await createPipeline(request, 'INSERT INTO alerts SELECT * FROM readings', 'stored');
    await createPipeline(request, `${inline} INSERT INTO more SELECT device FROM readings`, 'both');
    await createPipeline(request, 'INSERT INTO silent SELECT device FROM readings', 'no profile');
  });

  const exported = async (query: string) => (await service.request.get(`/api/v1/export?${query}`)).body;
  const names = async (query: string) =>
    Object.fromEntries(
      Object.entries((await exported(query)) as Record<string, { name: string }[]>).map(([kind, objects]) => [
        kind,
        objects.map(({ name }) => name),
      ]),
    );
  const bundle = (connection_profiles: string[], connection_tables: string[], pipelines: string[] = []) => ({
    ...{ connection_profiles, connection_tables, pipelines },
  });

  test.each([
    ['kind=pipelines&name=stored', bundle(['plant'], ['alerts', 'readings'], ['stored'])],
    ['kind=pipelines&name=both', bundle(['named', 'plant'], ['readings'], ['both'])],
    ['kind=pipelines&name=no%20profile', bundle(['plant'], ['readings', 'silent'], ['no profile'])],
    ['kind=connection_tables&name=alerts', bundle(['plant'], ['alerts'])],
    ['kind=connection_tables&name=silent', bundle([], ['silent'])],
    ['kind=connection_profiles&name=unused', bundle(['unused'], [])],
    ['kind=connection_tables&label_selector=app', bundle([], ['silent'])],
    ['kind=connection_tables', bundle(['plant'], ['alerts', 'readings', 'silent'])],
    ['kind=connection_profiles', bundle(['named', 'plant', 'unused'], [])],
    [
      'kind=pipelines',
      bundle(['named', 'plant'], ['alerts', 'readings', 'silent'], ['both', 'no profile', 'stored']),
    ],
  ])('%s has what it needs and nothing else', async (query, expected) => {
    expect(await names(query)).toEqual(expected);
  });

  test('can be applied to an empty database', async () => {
    const elsewhere = await startService();
    for (const name of ['both', 'stored']) {
      const one = await exported(`kind=pipelines&name=${name}`);
      await elsewhere.request.post('/api/v1/apply').send(one).expect(200);
    }
    const { body } = await elsewhere.request.get('/api/v1/pipelines');
    expect(body.data.map(({ name }: { name: string }) => name)).toEqual(['stored', 'both']);
  });

  test('refuses a name without a kind, and one that does not exist', async () => {
    expect(await exported('name=stored')).toMatchObject({ status: 400, errors: [{ path: '/kind' }] });
    expect(await exported('kind=jobs')).toMatchObject({ status: 400, errors: [{ path: '/kind' }] });
    for (const query of ['kind=connection_tables&name=stored', 'kind=pipelines&name=both&label_selector=app'])
      expect(await exported(query)).toMatchObject({ status: 404, code: 'not_found' });
  });
});
