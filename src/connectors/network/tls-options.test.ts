import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { makeAuthority, makeClient, makeServer } from '../../../test/support/certificates.ts';
import { type AnyContext, runContext } from '../../../test/support/connector-conformance/subject.ts';
import { fileFolder } from '../../../test/support/files.ts';
import { endpoint } from '../../../test/support/http-endpoint.ts';
import { created } from '../../../test/support/resources.ts';
import { startS3 } from '../../../test/support/s3.ts';
import { startService } from '../../../test/support/service.ts';
import type { CheckStep, ConnectorDefinition } from '../connector.ts';
import { connectorFor } from '../registry.ts';

/** TLS with a private authority, and with client certificates, of the connectors that speak HTTP. */

const [authority, other] = await Promise.all([makeAuthority(), makeAuthority('another authority')]);
const [server, client, stranger] = await Promise.all([
  makeServer(authority),
  makeClient(authority),
  makeClient(other),
]);
const trusting = { ca: authority.cert };
const mutual = { ...server, ca: authority.cert, requestCert: true };

/** A server for all of them. */
async function start(options: object): Promise<string> {
  const at = await endpoint(options);
  at.reply = ({ headers }, response) => {
    if (!headers.accept?.includes('event-stream')) return { status: 200, text: '{"n":1}' };
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {"n":1}\n\n');
    return 'handled';
  };
  const sockets = new WebSocketServer({ server: at.server });
  sockets.on('connection', (socket) => socket.on('error', () => {}).send('{"n":1}'));
  return at.url;
}

const [plain, strict] = await Promise.all([start(server), start({ ...mutual, rejectUnauthorized: true })]);

const contextOf = (id: string, url: string, rest: object): AnyContext => ({
  ...runContext({ endpoint: id === 'websocket' ? url.replace('http', 'ws') : url, ...rest }),
  schema: { format: { type: 'json' }, fields: [{ name: 'n', type: 'int64' }] },
});

/** The failed step of a test with its code; `ok` without one. */
async function checked(connector: ConnectorDefinition, context: AnyContext): Promise<string> {
  const steps: CheckStep[] = [];
  const report = (step: CheckStep) => void steps.push(step);
  await connector.check?.({ ...context, probe: 'publish', stepTimeoutMs: 30_000, report });
  const failed = steps.find(({ outcome }) => outcome === 'failed');
  return failed ? `${failed.name} ${failed.code}` : 'ok';
}

/** Moves one message. */
async function runs({ openSource, openSink }: ConnectorDefinition, context: AnyContext): Promise<unknown> {
  if (openSink && !openSource) {
    const sink = await openSink(context);
    return sink.write([{ payload: Buffer.from('{}'), row: {} }]).finally(() => sink.close());
  }
  const source = await openSource?.(context);
  try {
    for await (const [first] of source ?? []) return String(first?.payload);
  } finally {
    await source?.close();
  }
  return undefined;
}

const outcome = (promise: Promise<unknown>) => promise.catch(({ code }) => code);

describe.each(['webhook', 'polling_http', 'sse', 'websocket'])('%s', (id) => {
  const connector = connectorFor(id);
  const moved = id === 'webhook' ? [] : '{"n":1}';

  test.each<[string, string, object, string | undefined]>([
    ['a private authority', plain, { tls: trusting }, undefined],
    ['no check of certificates', plain, { insecureSkipVerify: true }, undefined],
    ['an unknown authority', plain, {}, 'tls_unknown_issuer'],
    ['another authority', plain, { tls: { ca: other.cert } }, 'tls_unknown_issuer'],
    ['a client certificate', strict, { tls: { ...trusting, ...client } }, undefined],
    ['no client certificate', strict, { tls: trusting }, 'tls_client_certificate_required'],
  ])('with %s', async (_, url, options, failure) => {
    const context = contextOf(id, url, options);
    expect(await checked(connector, context)).toBe(failure === undefined ? 'ok' : `tls ${failure}`);
    expect(await outcome(runs(connector, context))).toEqual(failure ?? moved);
  });

  test("with another authority's client the test says what is wrong", async () => {
    const context = contextOf(id, strict, { tls: { ...trusting, ...stranger } });
    expect(await checked(connector, context)).toBe('tls tls_failed');
  });

  test.each([
    [{ endpoint: 'X://a', tls: trusting }, '/tls'],
    [{ endpoint: 'X://a', insecureSkipVerify: true }, '/insecureSkipVerify'],
    [{ endpoint: 'Xs://a', tls: { cert: client.cert } }, '/tls/key'],
    [{ endpoint: 'Xs://a', tls: { ca: authority.cert + authority.key } }, '/tls/ca'],
    [{ endpoint: 'Xs://a', tls: { ca: '', key: '' }, insecureSkipVerify: true }, ''],
  ])('%# is refused at its field', (table, path) => {
    const own = table.endpoint.replace('X', id === 'websocket' ? 'ws' : 'http');
    const errors = connector.validateTable?.({ ...table, endpoint: own } as never, undefined) ?? [];
    expect(errors.map((error) => error.path).join()).toBe(path);
  });
});

describe('an object store', async () => {
  const [store, strictStore] = await Promise.all([
    startS3('plant', server),
    startS3('plant', { ...mutual, rejectUnauthorized: true }),
  ]);
  const filesystem = connectorFor('filesystem');
  let made = 0;
  const contextOf = (more: object): AnyContext => ({
    ...runContext({
      table_type: { type: 'sink', path: `s3://plant/${made++}`, rolling_policy: { inactivity_seconds: 1 } },
    }),
    profile: { ...store.profile, ...more },
    schema: { format: { type: 'json' }, fields: [{ name: 'n', type: 'int64' }] },
  });

  test.each<[object, string | undefined]>([
    [{ tls: trusting }, undefined],
    [{ insecureSkipVerify: true }, undefined],
    [{}, 'tls_unknown_issuer'],
    [{ tls: { ca: other.cert } }, 'tls_unknown_issuer'],
    [{ tls: { ...trusting, ...client } }, undefined],
  ])('%# is reached by https if its certificate is trusted', async (options, failure) => {
    const context = contextOf(options);
    expect(await checked(filesystem, context)).toBe(failure === undefined ? 'ok' : `tls ${failure}`);
    expect(await outcome(runs({ ...filesystem, openSource: undefined } as never, context))).toEqual(
      failure ?? [],
    );
    const offered = filesystem.autocomplete?.({ ...context, signal: context.signal });
    expect(await outcome(offered as never)).toEqual(failure ?? { path: ['s3://plant/'] });
  });

  test('asks for a client certificate', async () => {
    const { endpoint: url } = strictStore.profile;
    expect(await checked(filesystem, contextOf({ endpoint: url, tls: { ...trusting, ...client } }))).toBe(
      'ok',
    );
    const context = contextOf({ endpoint: url, tls: trusting });
    const sink = { ...filesystem, openSource: undefined } as never;
    expect(await outcome(runs(sink, context))).toBe('tls_client_certificate_required');
  });

  test('is refused at the fields of TLS', () => {
    const paths = (profile: object) => filesystem.validateProfile?.(profile as never).map(({ path }) => path);
    expect(paths({ endpoint: 'http://a', tls: trusting })).toEqual(['/tls']);
    expect(paths({ tls: { cert: client.cert } })).toEqual(['/tls/key']);
    expect(paths({ endpoint: 'https://a', tls: trusting })).toEqual([]);
  });
});

test('certificates of a table and of a profile are read from the folder of the operator', async () => {
  const certDir = fileFolder();
  writeFileSync(join(certDir, 'ca.pem'), authority.cert);
  writeFileSync(join(certDir, 'client.pem'), client.cert);
  writeFileSync(join(certDir, 'client.key'), client.key);
  const { request } = await startService({ certDir });
  const tls = { ca: 'ca.pem', cert: 'client.pem', key: 'client.key' };
  const schema = { format: { type: 'json' }, fields: [{ name: 'n', type: 'int64' }] };
  const outcomes = async (body: object) => {
    const sent = request.post('/api/v1/connection_tables/test').set('accept', 'application/json');
    const response = await sent.send({ name: 't', schema, ...body });
    return response.body.steps.map(({ name, outcome: one }: CheckStep) => `${name} ${one}`);
  };
  for (const connector of ['webhook', 'polling_http'])
    expect(await outcomes({ connector, config: { endpoint: strict, tls } })).toContain('tls ok');
  const store = await startS3('plant', { ...mutual, rejectUnauthorized: true });
  const profile = { name: 'store', connector: 'filesystem', config: { ...store.profile, tls } };
  const { id } = await created(request, '/connection_profiles', profile);
  const config = { table_type: { type: 'sink', path: 's3://plant/t' } };
  expect(await outcomes({ connector: 'filesystem', connection_profile_id: id, config })).toContain(
    'write ok',
  );
  const shown = await request.get(`/api/v1/connection_profiles/${id}`);
  expect(shown.body.config.tls).toEqual({ ca: 'ca.pem', cert: 'client.pem', key: '********' });
});
