import { randomBytes } from 'node:crypto';
import type supertest from 'supertest';
import type { Db } from '../../src/store/db.ts';
import { created, createPipeline, profileBody, tableBody } from './resources.ts';
import type { Service } from './service.ts';

const nowhere = 'mqtt://127.0.0.1:1';

type Client = ReturnType<typeof supertest>;

/** Unique names. */
export const unique = (name: string): string => `${name}_${randomBytes(4).toString('hex')}`;

export interface Plant {
  profile: string;
  readings: string;
  alerts: string;
  names: { profile: string; readings: string; alerts: string; pipeline: string };
  query: string;
}

/** A profile with a password, a source table and a sink table, with unique names. */
export async function plant(client: Client, url = nowhere): Promise<Plant> {
  const names = {
    profile: unique('plant'),
    readings: unique('readings'),
    alerts: unique('alerts'),
    pipeline: unique('hot'),
  };
  const config = { url, username: 'me', password: 'first-canary' };
  const profile = await created(
    client,
    '/connection_profiles',
    profileBody(url, { name: names.profile, config }),
  );
  const source = tableBody(names.readings, profile.id, { topic: 'plant/+/readings', type: {} });
  const readings = await created(client, '/connection_tables', source);
  const sink = tableBody(names.alerts, profile.id, { topic: 'plant/alerts', type: { retain: false } });
  const alerts = await created(client, '/connection_tables', sink);
  const query = `INSERT INTO ${names.alerts} SELECT device, seq, celsius FROM ${names.readings} WHERE celsius > 90`;
  return { profile: profile.id, readings: readings.id, alerts: alerts.id, names, query };
}

/** A query that reaches its broker through a stored profile without any stored table. */
export const inlineQuery = (profile: string): string => `
  CREATE TABLE a (device TEXT) WITH (connector = 'mqtt', connection_profile = '${profile}', topic = 'a', type = 'source', format = 'json');
  CREATE TABLE b (device TEXT) WITH (connector = 'mqtt', connection_profile = '${profile}', topic = 'b', type = 'sink', format = 'json');
  INSERT INTO b SELECT device FROM a;`;

/** All profiles, tables and pipelines as they are stored: the same when nothing was written. */
export const everythingIn = async (db: Db) => ({
  profiles: await db.connectionProfile.findMany({ orderBy: { id: 'asc' } }),
  tables: await db.connectionTable.findMany({ orderBy: { id: 'asc' } }),
  pipelines: await db.pipeline.findMany({
    orderBy: { id: 'asc' },
    include: { job: true, tables: true, profiles: true },
  }),
});

type Sending = { headers?: Record<string, string>; dryRun?: boolean };

/** Requests about stored objects, and what the database has of them. */
export function objectCalls(service: () => Service) {
  const send = async (
    method: 'get' | 'post' | 'put' | 'patch' | 'delete',
    path: string,
    body?: object,
    { headers = {}, dryRun = false }: Sending = {},
  ) => {
    const request = service()
      .request[method](`/api/v1${path}${dryRun ? '?dry_run=true' : ''}`)
      .set(headers);
    return body ? request.send(body) : request;
  };
  const get = async (path: string) => (await send('get', path)).body;
  const eTag = async (path: string) => (await send('get', path)).headers.etag as string;
  const edits = async (pipeline: string) =>
    (await service().db.job.findUniqueOrThrow({ where: { pipelineId: pipeline } })).editRequests;
  const pipelineOf = ({ query, names }: Plant) => createPipeline(service().request, query, names.pipeline);
  const profileOf = (given: Plant, config: object, more: object = {}) =>
    profileBody(nowhere, {
      name: given.names.profile,
      config: { url: nowhere, username: 'me', ...config },
      ...more,
    });
  const storedPassword = async (id: string) => {
    const row = await service().db.connectionProfile.findUniqueOrThrow({ where: { id } });
    return JSON.parse(row.config).password as unknown;
  };
  const everything = () => everythingIn(service().db);
  return { send, get, eTag, edits, pipelineOf, profileOf, storedPassword, everything };
}
