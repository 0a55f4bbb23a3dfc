import { beforeAll, describe, expect, test } from 'vitest';
import { type Bundle, bundleOf } from '../support/bundle.ts';
import { databases } from '../support/databases.ts';
import { everythingIn, unique } from '../support/objects.ts';
import { created } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

const url = 'mqtt://127.0.0.1:1';
const mask = '********';
describe.each(databases)('apply on $provider', ({ open }) => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ open });
  });

  const apply = async (bundle: object, query = '') =>
    service.request.post(`/api/v1/apply${query}`).send(bundle);
  const applyYaml = async (text: string, query = '') =>
    service.request.post(`/api/v1/apply${query}`).set('content-type', 'application/yaml').send(text);
  const applied = async (bundle: object, query = '') => {
    const answer = await apply(bundle, query);
    expect(answer.status, answer.text).toBe(200);
    return answer.body;
  };
  const exported = async (selector: string, format = 'json') =>
    service.request.get(`/api/v1/export?format=${format}&label_selector=${encodeURIComponent(selector)}`);
  const everything = () => everythingIn(service.db);
  const jobNamed = async (name: string) => {
    const row = await service.db.pipeline.findUniqueOrThrow({ where: { name }, include: { job: true } });
    return row.job as NonNullable<typeof row.job>;
  };
  /** Stops a job, as a worker would. */
  const rest = async (name: string) =>
    service.db.job.update({
      where: { id: (await jobNamed(name)).id },
      data: { stop: 'graceful', state: 'Stopped' },
    });
  const changesOf = (body: { changes: { name: string; action: string }[] }) =>
    body.changes.map(({ name, action }) => `${action} ${name}`);

  test('creates in dependency order, and the second time changes nothing and restarts nothing', async () => {
    const { app, bundle } = bundleOf();
    const first = await applied(bundle);
    expect(first.applied).toBe(true);
    expect(first.summary).toEqual({ created: 4, updated: 0, unchanged: 0, deleted: 0 });
    expect(changesOf(first)).toEqual([
      `created ${app}`,
      `created ${app}_in`,
      `created ${app}_out`,
      `created ${app}`,
    ]);
    expect(first.changes.every(({ id }: { id: unknown }) => typeof id === 'string')).toBe(true);
    const there = await everything();
    // In another order, and with the fields of each object in another order.
    const backwards = Object.fromEntries(
      Object.entries(bundle)
        .toReversed()
        .map(([kind, items]) => [
          kind,
          (items as object[])
            .toReversed()
            .map((item) => Object.fromEntries(Object.entries(item).toReversed())),
        ]),
    );
    const inOrder = await applied(bundle, '?dry_run=true');
    const second = await applied(backwards, `?plan=${inOrder.plan}`);
    expect(second.summary).toEqual({ created: 0, updated: 0, unchanged: 4, deleted: 0 });
    expect(second.affected_pipelines).toEqual([]);
    expect(await everything()).toEqual(there);
    expect((await jobNamed(app)).editRequests).toBe(0);
  });

  test('returns the differences and the affected pipelines, notifies each job once, and shows no secret', async () => {
    const { app, bundle } = bundleOf();
    await applied(bundle);
    const [profile] = bundle.connection_profiles;
    const [source] = bundle.connection_tables;
    const [pipeline] = bundle.pipelines;
    if (!profile || !source || !pipeline) throw new Error('no bundle');
    profile.config = { url, username: 'you', password: 'second-canary' };
    source.config.topic = 'plant/+/celsius';
    pipeline.labels = { app, 'with/slash': 'x' };
    const plan = await applied(bundle, '?dry_run=true');
    const answer = await applied(bundle);
    expect(answer.plan).toBe(plan.plan);
    expect(answer.changes).toEqual(plan.changes);
    const diffs = Object.fromEntries(
      answer.changes.map(({ kind, name, diff }: { kind: string; name: string; diff: object[] }) => [
        `${kind} ${name}`,
        diff,
      ]),
    );
    expect(diffs).toEqual({
      [`connection_profiles ${app}`]: [
        { path: '/config/password', secret: 'changed' },
        { path: '/config/username', before: 'me', after: 'you' },
      ],
      [`connection_tables ${app}_in`]: [
        { path: '/config/topic', before: 'plant/+/readings', after: 'plant/+/celsius' },
      ],
      [`connection_tables ${app}_out`]: [],
      [`pipelines ${app}`]: [{ path: '/labels/with~1slash', after: 'x' }],
    });
    expect(answer.affected_pipelines).toEqual([{ id: expect.any(String), name: app }]);
    expect((await jobNamed(app)).editRequests).toBe(1);
    expect(JSON.stringify([plan, answer])).not.toContain('canary');
    expect(service.logged()).not.toContain('canary');
    const audited = await service.db.auditRecord.findMany({ where: { action: 'apply' } });
    expect(audited.length).toBeGreaterThan(0);
    expect(
      JSON.stringify(audited, (_key, value) => String(typeof value === 'bigint' ? 0 : value)),
    ).not.toContain('canary');
  });

  test('a secret in a query is shown as a secret', async () => {
    const { app, bundle } = bundleOf();
    const query = (password: string) => `
      CREATE TABLE a (device TEXT) WITH (connector = 'mqtt', url = '${url}', username = 'me', password = '${password}',
        topic = 'a', type = 'source', format = 'json');
      INSERT INTO ${app}_out SELECT device, 1.5 FROM a;`;
    const [pipeline] = bundle.pipelines;
    if (!pipeline) throw new Error('no pipeline');
    pipeline.query = query('first-canary');
    await applied(bundle);
    pipeline.query = query('second-canary');
    const answer = await applied(bundle);
    expect(answer.changes.at(-1).diff).toEqual([{ path: '/query', secret: 'changed' }]);
    pipeline.query = query(mask);
    expect((await applied(bundle)).summary.unchanged).toBe(4);
  });

  test('a bad object in the middle changes nothing, and its error names its place', async () => {
    const { app, bundle } = bundleOf();
    const before = await everything();
    const breaks: [(broken: Bundle) => void, string, RegExp][] = [
      [
        ({ connection_tables: [, sink] }) => Object.assign(sink?.config ?? {}, { topic: 'plant/+' }),
        '/connection_tables/1/config/topic',
        /^The connection table .*_out: /,
      ],
      [
        ({ connection_tables: [source] }) => Object.assign(source ?? {}, { connection_profile: 'nobody' }),
        '/connection_tables/0/connection_profile',
        /no connection profile/,
      ],
      [
        ({ pipelines: [one] }) =>
          Object.assign(one ?? {}, { query: `INSERT INTO ${app}_out SELECT x FROM ${app}_in` }),
        '/pipelines/0/query',
        /^The pipeline app_/,
      ],
      [
        ({ pipelines }) => pipelines.push(structuredClone(pipelines[0] as never)),
        '/pipelines/1/name',
        /duplicate/,
      ],
      [
        ({ pipelines: [one] }) => Object.assign(one ?? {}, { unknown: 1 }),
        '/pipelines/0/unknown',
        /not valid/,
      ],
    ];
    for (const [change, path, detail] of breaks) {
      const broken = structuredClone(bundle);
      change(broken);
      const { status, body } = await apply(broken);
      expect([status, body.errors[0]?.path], JSON.stringify(body)).toEqual([400, path]);
      expect(body.detail).toMatch(detail);
      expect(await everything()).toEqual(before);
    }
  });

  test('a plan changes nothing, and its hash applies exactly that plan', async () => {
    const { app, bundle } = bundleOf();
    const before = await everything();
    const plan = await applied(bundle, '?dry_run=true');
    expect(plan).toMatchObject({ applied: false, summary: { created: 4 } });
    expect(plan.changes.map(({ id }: { id: unknown }) => id)).toEqual([null, null, null, null]);
    expect(await everything()).toEqual(before);
    expect((await applied(bundle, '?dry_run=true')).plan).toBe(plan.plan);
    // Another writer is faster.
    const own = bundle.connection_profiles[0] as Bundle['connection_profiles'][number];
    const { id } = await created(service.request, '/connection_profiles', { ...own, config: { url } });
    const there = await everything();
    const stale = await apply(bundle, `?plan=${plan.plan}`);
    expect([stale.status, stale.body.code]).toEqual([412, 'plan_stale']);
    expect(await everything()).toEqual(there);
    const anew = await applied(bundle, '?dry_run=true');
    expect(anew.plan).not.toBe(plan.plan);
    // The same values in another version also make the plan stale.
    await service.request.patch(`/api/v1/connection_profiles/${id}`).send({ labels: { app: 'x' } });
    await service.request.patch(`/api/v1/connection_profiles/${id}`).send({ labels: own.labels });
    expect((await apply(bundle, `?plan=${anew.plan}`)).status).toBe(412);
    const last = await applied(bundle, '?dry_run=true');
    expect((await applied(bundle, `?plan=${last.plan}`)).plan).toBe(last.plan);
    expect((await jobNamed(app)).stop).toBe('none');
    expect((await apply(bundle, '?plan=short')).status).toBe(400);
  });

  test('a table and the query that reads it change together', async () => {
    const { app, bundle } = bundleOf();
    await applied(bundle);
    const renamed = structuredClone(bundle);
    const [source, sink] = renamed.connection_tables;
    const [pipeline] = renamed.pipelines;
    if (!source || !sink || !pipeline) throw new Error('no bundle');
    for (const table of [source, sink]) table.schema.fields[1] = { name: 'kelvin', type: 'float64' };
    const refused = await apply({ connection_tables: renamed.connection_tables });
    expect([refused.status, refused.body.code]).toEqual([409, 'dependents_broken']);
    expect(refused.body.errors[0].message).toContain(`pipeline ${app}`);
    pipeline.query = pipeline.query.replaceAll('celsius', 'kelvin');
    const answer = await applied(renamed);
    expect(answer.summary).toMatchObject({ updated: 3 });
    expect(answer.affected_pipelines.map(({ name }: { name: string }) => name)).toEqual([app]);
    expect((await jobNamed(app)).editRequests).toBe(1);
    expect((await exported(`app=${app}`)).body.pipelines[0].query).toBe(pipeline.query);
  });

  test('bundles that lock the same objects in another order both succeed', async () => {
    const { app, bundle } = bundleOf();
    const [source, sink] = bundle.connection_tables;
    const [pipeline] = bundle.pipelines;
    if (!source || !sink || !pipeline) throw new Error('no bundle');
    const more = Array.from({ length: 6 }, (_, i) => ({ ...source, name: `${app}_in${i}` }));
    bundle.connection_tables.push(...more);
    // Names and ids are unrelated, so that the tables are locked in every order.
    const pipelines = more.map(({ name }, i) => ({
      ...pipeline,
      name: `${app}_${i}`,
      query: `INSERT INTO ${app}_out SELECT device, celsius FROM ${name} WHERE celsius > 90`,
    }));
    await applied({ ...bundle, pipelines });
    const rounds = Array.from({ length: 5 }, (_, round) => round);
    for (const round of rounds) {
      const queries = pipelines.map((one) => ({ ...one, query: one.query.replace('> 90', `> ${round}`) }));
      const tables = [...more, sink].map((one) => ({ ...one, labels: { round: String(round) } }));
      const answers = await Promise.all([
        apply({ pipelines: queries }),
        apply({ connection_tables: tables }),
        apply({ pipelines: queries.slice(3) }),
        apply({ connection_tables: tables.slice(2) }),
      ]);
      expect(answers.map(({ status, body }) => [status, body.code])).toEqual(
        answers.map(() => [200, undefined]),
      );
    }
  });

  test('bundles and exports are bounded', async () => {
    const many = Array.from({ length: 501 }, (_, i) => ({
      name: `${i}`,
      connector: 'mqtt',
      config: { url },
    }));
    expect((await apply({ connection_profiles: many })).status).toBe(400);
    const { status, body } = await apply({
      connection_profiles: many.slice(1),
      pipelines: [{ name: 'x', query: 'x', parallelism: 1 }],
    });
    expect([status, body.detail]).toEqual([400, expect.stringContaining('has 501 objects')]);
  });

  test('a pipeline that was already invalid does not prevent a change', async () => {
    const { app, bundle } = bundleOf();
    await applied(bundle);
    const broken = `INSERT INTO ${app}_out SELECT nothing FROM ${app}_in`;
    await service.db.pipeline.update({ where: { name: app }, data: { query: broken } });
    const [profile] = bundle.connection_profiles;
    Object.assign(profile?.config ?? {}, { username: 'you' });
    const answer = await applied({ connection_profiles: [profile] });
    expect(answer.summary.updated).toBe(1);
  });

  test('prunes objects with the label that are not in the bundle, and no others', async () => {
    const { app, bundle, selector } = bundleOf();
    const other = bundleOf();
    await applied(bundle);
    await applied(other.bundle);
    const left = { connection_profiles: bundle.connection_profiles, prune: { label_selector: selector } };
    await service.db.job.update({ where: { id: (await jobNamed(app)).id }, data: { state: 'Running' } });
    const running = await apply(left);
    expect([running.status, running.body.code]).toEqual([409, 'pipeline_running']);
    expect(running.body.detail).toContain(`The pipeline ${app}: `);
    await rest(app);
    const plan = await applied(left, '?dry_run=true');
    expect(plan.summary).toEqual({ created: 0, updated: 0, unchanged: 1, deleted: 3 });
    const answer = await applied(left, `?plan=${plan.plan}`);
    expect(changesOf(answer)).toEqual([
      `unchanged ${app}`,
      `deleted ${app}`,
      `deleted ${app}_in`,
      `deleted ${app}_out`,
    ]);
    expect((await applied(left)).summary).toEqual({ created: 0, updated: 0, unchanged: 1, deleted: 0 });
    expect((await exported(other.selector)).body.pipelines).toHaveLength(1);
    for (const label_selector of ['!retired', 'app!=x', ' ', 'app notin (x)']) {
      const { status, body } = await apply({ prune: { label_selector } });
      expect([status, body.errors[0].path], label_selector).toEqual([400, '/prune/label_selector']);
    }
  });

  test('refuses to prune a table that another pipeline uses', async () => {
    const { app, bundle, selector } = bundleOf();
    const { labels: _, ...unlabelled } = bundle.pipelines[0] as Bundle['pipelines'][number];
    await applied({ ...bundle, pipelines: [unlabelled] });
    const before = await everything();
    const { status, body } = await apply({ prune: { label_selector: selector } });
    expect([status, body.code]).toEqual([409, 'connection_table_in_use']);
    expect(body.detail).toContain(app);
    expect(await everything()).toEqual(before);
  });

  test.each(['json', 'yaml'])('an export as %s changes nothing when it is applied', async (format) => {
    const { bundle, selector } = bundleOf();
    await applied(bundle);
    const there = await everything();
    const { status, text, type } = await exported(selector, format);
    expect([status, type]).toEqual([200, `application/${format}`]);
    expect(text).not.toContain('canary');
    expect(text).toContain(mask);
    const answer = await (format === 'yaml' ? applyYaml(text) : apply(JSON.parse(text)));
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body.summary).toEqual({ created: 0, updated: 0, unchanged: 4, deleted: 0 });
    expect(await everything()).toEqual(there);
    // A mask without a stored secret is refused.
    const elsewhere = text.replaceAll(selector.slice(4), unique('app'));
    const refused = await (format === 'yaml' ? applyYaml(elsewhere) : apply(JSON.parse(elsewhere)));
    expect([refused.status, refused.body.code]).toEqual([400, 'invalid_config']);
  });

  test('of two concurrent bundles one wins completely', async () => {
    const { app, bundle } = bundleOf();
    await applied(bundle);
    const variant = (name: string) => {
      const changed = structuredClone(bundle);
      for (const profile of changed.connection_profiles) profile.config.username = name;
      for (const table of changed.connection_tables) table.labels.by = name;
      return changed;
    };
    const names = ['one', 'two', 'three', 'four'];
    const answers = await Promise.all(names.map((name) => apply(variant(name))));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const { body } = await exported(`app=${app}`);
    const last = body.connection_profiles[0].config.username;
    expect(body.connection_tables.map(({ labels }: { labels: { by: string } }) => labels.by)).toEqual([
      last,
      last,
    ]);
    expect((await jobNamed(app)).editRequests).toBe(4);
  });
});
