import { beforeAll, expect, test } from 'vitest';
import { BrokerClients } from '../support/broker-clients.ts';
import { FaultyLink } from '../support/faulty-link.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient } from '../support/mqtt.ts';
import { Penstock } from '../support/penstock.ts';
import { created, jobOf, profileBody, tableBody } from '../support/resources.ts';
import { Traffic } from '../support/traffic.ts';
import { until } from '../support/until.ts';

const clients = new BrokerClients();
let broker: Mosquitto;
let link: FaultyLink;
let penstock: Penstock;
beforeAll(async () => {
  broker = await Mosquitto.start({ quiet: true, config: ['max_queued_messages 0'], logged: clients.read });
  link = await FaultyLink.start(broker.port, () => () => {});
  penstock = await Penstock.start();
}, 300_000);

test('a session that is found by another address after a crash is kept, and not drained at the same time', async () => {
  const { request } = penstock;
  const { url } = broker;
  const ofSource = await created(request, '/connection_profiles', profileBody(url, { name: 'source' }));
  const ofSink = await created(request, '/connection_profiles', profileBody(url, { name: 'sink' }));
  await created(request, '/connection_tables', tableBody('in', ofSource.id, { topic: 'in', type: {} }));
  const out = { topic: 'out', type: { retain: false } };
  await created(request, '/connection_tables', tableBody('out', ofSink.id, out));
  const query = 'INSERT INTO out SELECT * FROM "in"';
  const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
  const is = (state: string) => async () => (await jobOf(request, id)).state === state;
  await until('it runs', is('Running'));
  const traffic = await Traffic.open({ url, topic: 'in' }, { url, topic: 'out' }, 1);
  await traffic.publish(100);

  // The session at the new address is recorded, but has not been opened yet.
  link.refuse();
  const edit = { config: { url: link.url } };
  await request.patch(`/api/v1/connection_profiles/${ofSource.id}`).send(edit).expect(200);
  await until('it cannot connect', is('Recovering'));
  await penstock.kill('SIGKILL');
  await traffic.publish(300);
  await link.heal();
  await penstock.resume();

  await until('it runs again', is('Running'), 60_000);
  await traffic.publish(300);
  await until('all arrive', () => traffic.arrived === traffic.sent, 60_000).catch(() => {});
  expect(traffic.missing.slice(0, 10)).toEqual([]);
  expect(clients.offences).toEqual([]);
  expect(penstock.log).not.toContain('session drained');
});

test('messages queued at the former broker arrive, although the new one already has the session', async () => {
  const other = await Mosquitto.start({ quiet: true });
  const { request } = penstock;
  const { url } = broker;
  const ofSource = await created(request, '/connection_profiles', profileBody(url, { name: 'from' }));
  const ofSink = await created(request, '/connection_profiles', profileBody(url, { name: 'to' }));
  await created(request, '/connection_tables', tableBody('from', ofSource.id, { topic: 'from', type: {} }));
  const to = { topic: 'to', type: { retain: false } };
  await created(request, '/connection_tables', tableBody('to', ofSink.id, to));
  const query = 'INSERT INTO "to" SELECT * FROM "from"';
  const { id } = await created(request, '/pipelines', { name: 'moves', query, parallelism: 1 });
  const is = (state: string) => async () => (await jobOf(request, id)).state === state;
  await until('it runs', is('Running'));
  const { id: job } = await jobOf(request, id);
  const [clientId = ''] = clients.with(job).filter((name) => name.includes('_source_'));
  await request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' }).expect(200);
  await until('it is stopped', is('Stopped'));
  const traffic = await Traffic.open({ url, topic: 'from' }, { url, topic: 'to' }, 1);
  await traffic.publish(200);

  // The state after a crash between the first connection to a broker and its record.
  const properties = { sessionExpiryInterval: 3600 };
  const before = await plainClient(other.url, { clientId, clean: false, properties });
  await before.endAsync();
  await request
    .patch(`/api/v1/connection_profiles/${ofSource.id}`)
    .send({ config: { url: other.url } })
    .expect(200);
  await request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'none' }).expect(200);
  await until('all arrive', () => traffic.arrived === traffic.sent, 60_000).catch(() => {});
  expect(traffic.missing.slice(0, 10)).toEqual([]);
  await until('the former session is gone', () => penstock.log.includes('session drained and removed'));
  const next = await plainClient(other.url);
  await next.publishAsync('from', JSON.stringify({ device: 'd', seq: 200, celsius: 1 }), { qos: 1 });
  await until('the new one is read', () => traffic.arrived === 201, 60_000);
});
