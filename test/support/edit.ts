import { randomBytes } from 'node:crypto';
import type supertest from 'supertest';
import { created, profileBody, tableBody } from './resources.ts';

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
export async function plant(client: Client, url = 'mqtt://127.0.0.1:1'): Promise<Plant> {
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
