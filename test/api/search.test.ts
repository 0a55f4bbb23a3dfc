import { beforeAll, describe, expect, test } from 'vitest';
import { databases } from '../support/databases.ts';
import { created, profileBody, tableBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

const nowhere = 'mqtt://127.0.0.1:1';

describe.each(databases)('a search on $provider', ({ open }) => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ open });
    const profiles = {
      'Oven North': { site: 'north', line: 'L1' },
      oven_south: { site: 'south' },
      'ovenXsouth 100%': {},
      'back\\slash': { empty: '' },
      'ÄPFEL und Straße': {},
      ΟΔΟΣ: {},
      'Cafe\u0301': {},
    };
    for (const [name, labels] of Object.entries(profiles)) {
      const config = { url: nowhere, username: 'canary', password: 'canary' };
      await created(service.request, '/connection_profiles', profileBody(nowhere, { name, labels, config }));
    }
  });

  const list = async (path: string, parameters: Record<string, string>) => {
    const { status, body } = await service.request.get(`/api/v1${path}?${new URLSearchParams(parameters)}`);
    expect(status, JSON.stringify(body)).toBe(200);
    return body as { data: { id: string; name: string }[]; hasMore?: boolean };
  };
  const found = async (path: string, search: string, more = {}) =>
    (await list(path, { search, ...more })).data.map(({ name }) => name).sort();

  test.each([
    ['OVEN', ['Oven North', 'ovenXsouth 100%', 'oven_south']],
    ['oven ', ['Oven North']],
    ['n_s', ['oven_south']],
    ['%', ['ovenXsouth 100%']],
    ['k\\s', ['back\\slash']],
    ['backslash', []],
    ['site=', ['Oven North', 'oven_south']],
    ['SITE=N', ['Oven North']],
    ['e=l1', ['Oven North']],
    ['empty=', ['back\\slash']],
    ['north,line', []],
    ['"site"', []],
    ['äpfel UND strasse', ['ÄPFEL und Straße']],
    ['οδοσ', ['ΟΔΟΣ']],
    ['CAFÉ', ['Cafe\u0301']],
    ['canary', []],
    ['127.0.0.1', []],
    ['x'.repeat(200), []],
  ])('for %j finds %j', async (search, expected) => {
    expect(await found('/connection_profiles', search)).toEqual(expected);
  });

  test('finds ids and connectors, and is joined with a selector', async () => {
    const { data } = await list('/connection_profiles', {});
    const [{ id, name }] = data as [{ id: string; name: string }];
    expect(await found('/connection_profiles', id.toUpperCase())).toEqual([name]);
    expect(await found('/connection_profiles', 'Mqtt')).toHaveLength(data.length);
    expect(await found('/connection_profiles', 'oven', { label_selector: 'site!=north' })).toEqual([
      'ovenXsouth 100%',
      'oven_south',
    ]);
  });

  test('is bounded', async () => {
    for (const path of ['/connection_profiles', '/connection_tables', '/pipelines'])
      for (const search of ['', 'x'.repeat(201)]) {
        const { body } = await service.request.get(`/api/v1${path}?search=${search}`);
        expect(body).toMatchObject({ status: 400, errors: [{ path: '/search' }] });
      }
  });

  test('is paged, however few match, and does not look into queries', async () => {
    const { request, db } = service;
    const { id } = await created(request, '/connection_profiles', profileBody(nowhere, { name: 'tables' }));
    const config = { topic: 'canary', type: {} };
    const first = await created(request, '/connection_tables', tableBody('first', id, config));
    const row = await db.connectionTable.findUniqueOrThrow({ where: { id: first.id } });
    const data = Array.from({ length: 1200 }, (_, index) => ({
      ...row,
      id: `ct_${String(index).padStart(10, '0')}`,
      name: `t${index}${index % 400 ? '' : ' RARE'}`,
      createdAt: row.createdAt + BigInt(1 + Math.floor(index / 7)),
    }));
    await db.connectionTable.createMany({ data });
    const seen: string[] = [];
    for (let after: string | undefined, more = true; more; ) {
      const from: Record<string, string> = after === undefined ? {} : { starting_after: after };
      const page = await list('/connection_tables', { search: 'rare', limit: '1', ...from });
      expect(page.data).toHaveLength(1);
      seen.push(...page.data.map(({ name }) => name));
      more = page.hasMore === true;
      after = page.data.at(-1)?.id;
    }
    expect(seen).toEqual(['t800 RARE', 't400 RARE', 't0 RARE']);
    expect(await found('/connection_tables', 'canary')).toEqual([]);

    const sink = tableBody('sink', id, { topic: 'o', type: { retain: false } });
    await created(request, '/connection_tables', sink);
    const query = "INSERT INTO sink SELECT * FROM first WHERE device = 'canary'";
    const body = { name: 'Ovens', query, parallelism: 1, labels: { line: '2' } };
    const pipeline = await created(request, '/pipelines', body);
    for (const search of ['oVEN', pipeline.id, 'line=2'])
      expect(await found('/pipelines', search), search).toEqual(['Ovens']);
    for (const search of ['canary', 'mqtt', 'line=3']) expect(await found('/pipelines', search)).toEqual([]);
  });
});
