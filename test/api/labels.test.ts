import { beforeAll, describe, expect, test } from 'vitest';
import { databases } from '../support/databases.ts';
import { created, profileBody, tableBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

const nowhere = 'mqtt://127.0.0.1:1';

describe.each(databases)('labels on $provider', ({ open }) => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ open });
  });

  const list = async (path: string, selector: string, more = '') =>
    (await service.request.get(`/api/v1${path}?label_selector=${encodeURIComponent(selector)}${more}`)).body;
  const names = (data: { name: string }[]) => data.map(({ name }) => name).sort();

  test('a selector returns the profiles whose labels satisfy it', async () => {
    const labelled = {
      none: {},
      north: { site: 'north', line: '1' },
      south: { site: 'south', line: '' },
      // Labels that a case-insensitive comparison, or _ as a wildcard, would confuse.
      North: { site: 'North', Line: '1' },
      odd: { 'a_b/c.d': 'x_y', constructor: 'z' },
      even: { 'aXb/c.d': 'xXy' },
      // A value here is a label there.
      swapped: { north: 'site' },
    };
    for (const [name, labels] of Object.entries(labelled))
      await created(service.request, '/connection_profiles', profileBody(nowhere, { name, labels }));
    const all = Object.keys(labelled);
    const but = (...left: string[]) => all.filter((name) => !left.includes(name)).sort();
    for (const [selector, expected] of [
      ['', all.toSorted()],
      ['site=north', ['north']],
      ['site == north', ['north']],
      ['site=north,line=1', ['north']],
      ['site=north , line=2', []],
      ['site!=north', but('north')],
      ['site', ['North', 'north', 'south']],
      ['!site', but('North', 'north', 'south')],
      ['! site', but('North', 'north', 'south')],
      ['line=', ['south']],
      ['line', ['north', 'south']],
      ['Line', ['North']],
      ['site in (north, south)', ['north', 'south']],
      ['site in (north,south),line=1', ['north']],
      ['site notin (north,south)', but('north', 'south')],
      ['a_b/c.d=x_y', ['odd']],
      ['a_b/c.d', ['odd']],
      ['constructor', ['odd']],
      ['toString', []],
      ['north', ['swapped']],
    ] as const)
      expect(names((await list('/connection_profiles', selector)).data), selector).toEqual(expected);
  });

  test.each([
    '=',
    'a=b=c',
    'a b',
    'a in b',
    'a in (b',
    'a,,b',
    '!',
    'a=-b',
    '-a',
    'a=b,',
    '(a)',
    'x'.repeat(64),
    'a\u0000',
  ])('the selector %j is refused by every list', async (selector) => {
    for (const path of ['/connection_profiles', '/connection_tables', '/pipelines']) {
      const body = await list(path, selector);
      expect(body).toMatchObject({
        status: 400,
        code: 'invalid_request',
        errors: [{ path: '/label_selector' }],
      });
    }
  });

  test('pages of a selected list contain each object once, however few match', async () => {
    const profile = await created(
      service.request,
      '/connection_profiles',
      profileBody(nowhere, { name: 'for tables' }),
    );
    const first = await created(service.request, '/connection_tables', {
      ...tableBody('t', profile.id, { topic: 'a', type: {} }),
      labels: { rare: 'yes', every: 'two' },
    });
    const row = await service.db.connectionTable.findUniqueOrThrow({ where: { id: first.id } });
    const data = Array.from({ length: 700 }, (_, i) => ({
      ...row,
      id: `ct_${String(i).padStart(10, '0')}`,
      name: `t${i}`,
      // Several with the same microsecond, so that ids decide.
      createdAt: row.createdAt + BigInt(1 + Math.floor(i / 7)),
      labels: JSON.stringify({ ...(i % 2 ? {} : { every: 'two' }), ...(i % 230 ? {} : { rare: 'yes' }) }),
    }));
    await service.db.connectionTable.createMany({ data });
    const walk = async (selector: string, limit: number) => {
      const seen: string[] = [];
      for (let after = '', more = true; more; ) {
        const page = await list(
          '/connection_tables',
          selector,
          `&limit=${limit}${after && `&starting_after=${after}`}`,
        );
        expect(page.data.length).toBe(page.hasMore ? limit : page.data.length);
        seen.push(...page.data.map(({ name }: { name: string }) => name));
        more = page.hasMore;
        after = page.data.at(-1)?.id ?? '';
      }
      return seen;
    };
    const newest = data.toSorted((one, other) =>
      one.createdAt === other.createdAt
        ? one.id < other.id
          ? 1
          : -1
        : one.createdAt < other.createdAt
          ? 1
          : -1,
    );
    const picked = (wanted: (i: number) => boolean) =>
      newest.map(({ name }) => name).filter((name) => wanted(Number(name.slice(1))));
    expect(await walk('rare=yes', 1)).toEqual([...picked((i) => i % 230 === 0), 't']);
    expect(await walk('rare', 4)).toEqual([...picked((i) => i % 230 === 0), 't']);
    expect(await walk('every!=two', 100)).toEqual(picked((i) => i % 2 === 1));
    expect(await walk('!every,rare', 10)).toEqual(picked((i) => i % 2 === 1 && i % 230 === 0));
    expect(await walk('nothing', 10)).toEqual([]);
  });

  test('pipelines are selected too', async () => {
    const { id } = await created(
      service.request,
      '/connection_profiles',
      profileBody(nowhere, { name: 'p' }),
    );
    await created(service.request, '/connection_tables', tableBody('i', id, { topic: 'i', type: {} }));
    await created(
      service.request,
      '/connection_tables',
      tableBody('o', id, { topic: 'o', type: { retain: false } }),
    );
    for (const line of ['1', '2']) {
      const body = {
        name: `line ${line}`,
        query: 'INSERT INTO o SELECT * FROM i',
        parallelism: 1,
        labels: { line },
      };
      expect((await created(service.request, '/pipelines', body)).labels).toEqual({ line });
    }
    expect(names((await list('/pipelines', 'line=2')).data)).toEqual(['line 2']);
    expect(names((await list('/pipelines', 'line!=2')).data)).toEqual(['line 1']);
  });
});
