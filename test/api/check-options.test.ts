import { createPrivateKey } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../support/at-end.ts';
import { makeAuthority, makeClient, makeServer } from '../support/certificates.ts';
import { FaultyServer } from '../support/faulty-server.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient, unique } from '../support/mqtt.ts';
import { created, profileBody, tableBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

const mask = '********';

/** Passes if `check` does with one of these times. On a busy machine the first may be too short for what comes before. */
async function inSomeTime(
  [ms = 0, ...longer]: number[],
  check: (ms: number) => Promise<void>,
): Promise<void> {
  try {
    await check(ms);
  } catch (error) {
    if (longer.length === 0) throw error;
    await inSomeTime(longer, check);
  }
}

describe('the test of something stored', () => {
  let broker: Mosquitto;
  let service: Service;
  beforeAll(async () => {
    broker = await Mosquitto.start({ users: { ada: 'right', bob: 'other' } });
  });
  beforeEach(async () => {
    service = await startService({ variables: { LF: 'right\n', CRLF: 'right\r\n', SPACE: ' right' } });
  });

  const post = (path: string, body?: object) => {
    const request = service.request.post(`/api/v1${path}`).set('accept', 'application/json');
    return body === undefined ? request : request.send(body);
  };
  const stored = async () => {
    const config = { url: broker.url, username: 'ada', password: 'right' };
    return (await created(service.request, '/connection_profiles', profileBody('', { config }))).id;
  };
  const outcome = async (path: string, body?: object) => {
    const answer = await post(path, body);
    expect(answer.status, answer.text).toBe(200);
    return [answer.body.outcome, answer.body.code];
  };

  test.each([
    ['{{ LF }}', 'warning', 'The value of LF ends in a line break'],
    ['{{ CRLF }}', 'warning', 'The value of CRLF ends in a line break'],
    ['{{ SPACE }}', 'failed', 'The value of SPACE begins or ends with white space'],
    ['right\n', 'failed', '/password ends in a line break'],
  ])('says what is odd about the end of the password %j', async (password, result, said) => {
    const config = { url: broker.url, username: 'ada', password };
    const { body, text } = await post('/connection_profiles/test', profileBody('', { config }));
    expect(body.steps[0]).toMatchObject({
      name: 'secrets',
      outcome: 'warning',
      message: expect.stringContaining(said),
    });
    expect(body.outcome).toBe(result);
    expect(text).not.toContain('right');
  });

  test('tests changes without storing them, and keeps an omitted or masked secret', async () => {
    const id = await stored();
    const path = `/connection_profiles/${id}/test`;
    expect(await outcome(path)).toEqual(['ok', null]);
    expect(await outcome(path, {})).toEqual(['ok', null]);
    expect(await outcome(path, { config: { protocolVersion: '3.1.1' } })).toEqual(['ok', null]);
    expect(await outcome(path, { config: { password: mask } })).toEqual(['ok', null]);
    expect(await outcome(path, { config: { password: 'wrong' } })).toEqual(['failed', 'mqtt_not_authorized']);
    expect(await outcome(path, { config: { username: 'bob', password: 'other' } })).toEqual(['ok', null]);
    const nobody = { username: null, password: null };
    expect(await outcome(path, { config: nobody })).toEqual(['failed', 'mqtt_not_authorized']);
    const { body } = await service.request.get(`/api/v1/connection_profiles/${id}`);
    expect(body.config).toEqual({ url: broker.url, username: 'ada', password: mask });
  });

  test('accepts the media type of merge patches too', async () => {
    const path = `/api/v1/connection_profiles/${await stored()}/test`;
    const patch = JSON.stringify({ config: { password: 'wrong' } });
    const answer = await service.request
      .post(path)
      .set('accept', 'application/json')
      .set('content-type', 'application/merge-patch+json')
      .send(patch);
    expect(answer.body).toMatchObject({ outcome: 'failed', code: 'mqtt_not_authorized' });
  });

  test.each([
    [{ config: { speed: 1 } }, 'invalid_config', '/config/speed'],
    [{ config: { url: null } }, 'invalid_config', '/config/url'],
    [{ config: { url: 'http://h' } }, 'invalid_config', '/config/url'],
    [{ config: { tls: { ca: 'x' } } }, 'invalid_config', '/config/tls'],
    [{ config: null }, 'invalid_request', '/config'],
    [{ colour: 'red' }, 'invalid_request', '/colour'],
    [{ connector: 'kinesis' }, 'invalid_request', '/connector'],
    [{ timeout_ms: 60_001 }, 'invalid_request', '/timeout_ms'],
    [{ step_timeout_ms: '5' }, 'invalid_request', '/step_timeout_ms'],
    [{ probe: 'loud' }, 'invalid_request', '/probe'],
  ])('refuses %j like a create', async (patch, code, path) => {
    const { status, body } = await post(`/connection_profiles/${await stored()}/test`, patch);
    expect(status).toBe(400);
    expect(body).toMatchObject({ code, errors: [{ path }] });
  });

  test('refuses the mask where no secret is stored', async () => {
    const profile = await created(service.request, '/connection_profiles', profileBody(broker.url));
    const patch = { config: { username: 'ada', password: mask } };
    const { body } = await post(`/connection_profiles/${profile.id}/test`, patch);
    expect(body).toMatchObject({ code: 'invalid_config', errors: [{ path: '/config/password' }] });
  });

  test('tests changes of a table, its schema and its profile', async () => {
    const id = await stored();
    const topic = `check/${unique()}`;
    const client = await plainClient(broker.url, { username: 'ada', password: 'right' });
    await client.publishAsync(topic, '{"device": "d", "seq": 1}', { qos: 1, retain: true });
    await client.endAsync();
    const table = await created(
      service.request,
      '/connection_tables',
      tableBody('t', id, { topic, type: {} }),
    );
    const path = `/connection_tables/${table.id}/test`;
    expect(await outcome(path)).toEqual(['ok', null]);
    const quiet = { config: { topic: `${topic}/other` } };
    await inSomeTime([500, 5_000, 50_000], async (step_timeout_ms) =>
      expect(await outcome(path, { ...quiet, step_timeout_ms })).toEqual(['warning', 'mqtt_no_message']),
    );
    const other = { schema: { fields: [{ name: 'absent', type: 'string', required: true }] } };
    expect(await outcome(path, other)).toEqual(['failed', 'bad_data']);
    expect(await outcome(path, { schema: { bad_data: null } })).toEqual(['ok', null]);
    const wrong = await post(path, { schema: { fields: [{ name: 'x', type: 'colour' }] } });
    expect(wrong.status).toBe(400);
    const hash = await post(path, { config: { topic: 'a#' } });
    expect(hash.body).toMatchObject({ code: 'invalid_config', errors: [{ path: '/config/topic' }] });
    const nowhere = await post(path, { connection_profile_id: 'cp_nowhere' });
    expect(nowhere.body).toMatchObject({ errors: [{ path: '/connection_profile_id' }] });
    expect((await service.request.get(`/api/v1/connection_tables/${table.id}`)).body).toEqual(table);
  });

  test('publishes nothing if the request says so', async () => {
    const id = await stored();
    const body = tableBody('s', id, { topic: `check/${unique()}`, type: { retain: true } });
    const last = async (path: string, sent: object) => (await post(path, sent)).body.steps.at(-1);
    const skipped = { name: 'publish', outcome: 'skipped' };
    expect(await last('/connection_tables/test', { ...body, probe: 'none' })).toMatchObject(skipped);
    const table = await created(service.request, '/connection_tables', body);
    expect(await last(`/connection_tables/${table.id}/test`, { probe: 'none' })).toMatchObject(skipped);
    expect(await last(`/connection_profiles/${id}/test`, { probe: 'none' })).toMatchObject({
      name: 'first_message',
      outcome: 'skipped',
    });
  });

  test('ends at the deadline of a step, and at that of the whole', async () => {
    const silent = await FaultyServer.start((socket) => socket.resume());
    const body = profileBody(silent.url);
    await inSomeTime([200, 2_000, 20_000], async (step_timeout_ms) => {
      const step = await post('/connection_profiles/test', { ...body, step_timeout_ms, timeout_ms: 60_000 });
      expect(step.body).toMatchObject({
        code: 'mqtt_not_answered',
        message: `The server did not respond to CONNECT of MQTT 5 or 3.1.1 within ${step_timeout_ms} ms`,
        details: { step: 'mqtt_connect' },
      });
    });
    const whole = await post('/connection_profiles/test', { ...body, timeout_ms: 300 });
    expect(whole.body).toMatchObject({
      code: 'connection_timeout',
      message: 'The test did not finish within 300 ms',
      hint: expect.stringContaining('timeout_ms'),
    });
  });
});

describe('a certificate that is given by its path', () => {
  test('is read for each test, and its key and passphrase are never shown', async () => {
    const folder = temporaryFolder('certificates');
    const ca = await makeAuthority();
    const tls = { ca: ca.cert, ...(await makeServer(ca)) };
    const broker = await Mosquitto.start({ tls, config: ['require_certificate true'] });
    const service = await startService({ certDir: folder });
    const { cert, key } = await makeClient(ca);
    const passphrase = 'passphrase-canary';
    const lock = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase } as const;
    const config = {
      url: `mqtts://localhost:${broker.port}`,
      tls: { ca: 'ca.pem', cert, key: 'client/key.pem', passphrase },
    };
    const profile = await created(service.request, '/connection_profiles', profileBody('', { config }));
    expect(profile.config).toEqual({ ...config, tls: { ...config.tls, key: mask, passphrase: mask } });
    const post = () =>
      service.request
        .post(`/api/v1/connection_profiles/${profile.id}/test`)
        .set('accept', 'application/json');
    const missing = await post();
    expect([missing.status, missing.body.code]).toEqual([400, 'certificate_unreadable']);
    expect(missing.body.errors.map(({ path }: { path: string }) => path)).toEqual(['/tls/ca', '/tls/key']);
    mkdirSync(join(folder, 'client'));
    writeFileSync(join(folder, 'ca.pem'), ca.cert);
    writeFileSync(join(folder, 'client', 'key.pem'), createPrivateKey(key).export(lock));
    expect((await post()).body).toMatchObject({ outcome: 'ok' });
    expect(service.logged()).not.toContain(passphrase);
    await service.close();
    await broker.stop();
  });
});

describe('the topics of a profile', () => {
  test('are those of retained and of live messages', async () => {
    const broker = await Mosquitto.start();
    const service = await startService();
    const client = await plainClient(broker.url);
    await client.publishAsync('plant/oven', 'hot', { qos: 1, retain: true });
    await client.publishAsync('office/door', 'open', { qos: 1, retain: true });
    const profile = await created(service.request, '/connection_profiles', profileBody(broker.url));
    const topics = async () =>
      (await service.request.get(`/api/v1/connection_profiles/${profile.id}/autocomplete`)).body;
    // It collects them for two seconds, in which a busy machine may not even connect.
    const all = { values: { topic: ['office/door', 'plant/oven'] } };
    await expect.poll(topics, { timeout: 60_000 }).toEqual(all);
    await broker.kill();
    const gone = await service.request.get(`/api/v1/connection_profiles/${profile.id}/autocomplete`);
    expect([gone.status, gone.body.code]).toEqual([400, 'connection_refused']);
    const nobody = await service.request.get('/api/v1/connection_profiles/cp_nowhere/autocomplete');
    expect(nobody.status).toBe(404);
  });
});
