import { describe, expect, test } from 'vitest';
import { databases } from '../support/databases.ts';
import { created, createPipeline, createTables, profileBody } from '../support/resources.ts';
import { startService } from '../support/service.ts';

const nowhere = 'mqtt://127.0.0.1:1';
const inline = `CREATE TABLE other (device TEXT) WITH (connector = 'mqtt', connection_profile = 'named', topic = 'x',
  type = 'sink', format = 'json');`;

describe.each(databases)('dependents on $provider', ({ open }) => {
  test('are the tables of an object, and the pipelines that use it, through tables and through queries', async () => {
    const { request } = await startService({ open });
    const { profile, readings, alerts } = await createTables(request, nowhere);
    const named = await created(request, '/connection_profiles', profileBody(nowhere, { name: 'named' }));
    const stored = 'INSERT INTO alerts SELECT * FROM readings;';
    const both = `${inline} INSERT INTO other SELECT device FROM readings;`;
    const ids = [await createPipeline(request, stored, 'b'), await createPipeline(request, both, 'a')];
    await request.patch(`/api/v1/pipelines/${ids[1]}`).send({ stop: 'immediate' }).expect(200);
    const of = async (path: string) => (await request.get(`/api/v1${path}/dependents`).expect(200)).body;
    const state = async (id: string | undefined) =>
      (await request.get(`/api/v1/pipelines/${id}/jobs`)).body.data[0].state;
    const b = { id: ids[0], name: 'b', state: await state(ids[0]) };
    const a = { id: ids[1], name: 'a', state: await state(ids[1]) };
    const tables = [
      { id: alerts, name: 'alerts' },
      { id: readings, name: 'readings' },
    ];
    expect(await of(`/connection_profiles/${profile}`)).toEqual({
      connection_tables: tables,
      pipelines: [a, b],
    });
    expect(await of(`/connection_profiles/${named.id}`)).toEqual({ connection_tables: [], pipelines: [a] });
    expect(await of(`/connection_tables/${readings}`)).toEqual({ connection_tables: [], pipelines: [a, b] });
    expect(await of(`/connection_tables/${alerts}`)).toEqual({ connection_tables: [], pipelines: [b] });
    for (const path of ['/connection_profiles/cp_none', '/connection_tables/ct_none'])
      expect((await request.get(`/api/v1${path}/dependents`)).body).toMatchObject({
        status: 404,
        code: 'not_found',
      });
  });
});
