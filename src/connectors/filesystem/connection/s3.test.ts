import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { atEnd } from '../../../../test/support/at-end.ts';
import { testCheck } from '../../../../test/support/connector-conformance/check.ts';
import { testSink } from '../../../../test/support/connector-conformance/sink.ts';
import { testSource } from '../../../../test/support/connector-conformance/source.ts';
import {
  type Context,
  failureOf,
  runContext,
} from '../../../../test/support/connector-conformance/subject.ts';
import { startS3 } from '../../../../test/support/s3.ts';
import { TargetRules } from '../../../security/targets.ts';
import type { RunContext, Sink } from '../../connector.ts';
import { filesystem } from '../index.ts';
import { s3Client } from './s3-client.ts';
import { S3Storage } from './s3-storage.ts';

const store = await startS3('plant');
const { profile, port } = store;
const sdk = await import('@aws-sdk/client-s3');
// Its sockets close at once: other tests wait until none is left.
const client = new sdk.S3Client({
  endpoint: `http://127.0.0.1:${port}`,
  region: 'us-east-1',
  forcePathStyle: true,
  credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' },
  requestHandler: { httpAgent: { keepAlive: false } },
});
let made = 0;

type S3Context = RunContext<typeof profile, { table_type: { path: string } }>;

function context(type: 'source' | 'sink', more: object = {}): Context {
  const path = `s3://plant/t${made++}`;
  const policy = type === 'sink' ? { rolling_policy: { inactivity_seconds: 1 } } : {};
  const own = runContext({ table_type: { type, path, ...policy, ...more } });
  return {
    ...own,
    profile,
    schema: { format: { type: 'raw_string' }, fields: [{ name: 'value', type: 'string' }] },
  };
}

const prefixOf = (own: Context): string =>
  (own as S3Context).table.table_type.path.slice('s3://plant/'.length);

async function objects(own: Context): Promise<string[]> {
  const listed = await client.send(
    new sdk.ListObjectsV2Command({ Bucket: 'plant', Prefix: `${prefixOf(own)}/` }),
  );
  return (listed.Contents ?? []).map(({ Key = '' }) => Key).sort();
}

async function textOf(Key: string): Promise<string> {
  const { Body } = await client.send(new sdk.GetObjectCommand({ Bucket: 'plant', Key }));
  return (await Body?.transformToString()) ?? '';
}

const put = (own: Context, name: string, Body: string) =>
  client.send(new sdk.PutObjectCommand({ Bucket: 'plant', Key: `${prefixOf(own)}/${name}`, Body }));

testSink({ connector: filesystem as never, context: () => context('sink'), dials: true });

const sources = new Map<unknown, Context>();
testSource({
  connector: {
    ...filesystem,
    // The objects are there before the source reads them.
    async openSource(own: Context) {
      const lines = Array.from({ length: 20 }, (_, n) => `m${n}`);
      if (!sources.has(own.table)) await put(own, 'a', lines.join('\n'));
      sources.set(own.table, own);
      return filesystem.openSource?.(own as never);
    },
  } as never,
  context: () => context('source'),
  dials: true,
  keeps: false,
  send: async () => {},
});

testCheck({
  connector: filesystem as never,
  context: () => context('sink'),
  dials: true,
  traces: async () =>
    (await client.send(new sdk.ListObjectsV2Command({ Bucket: 'plant' }))).Contents?.length ?? 0,
});

test('sends a large object in parts, and aborts what fails', async () => {
  const own = context('sink') as never as RunContext<typeof profile, unknown>;
  const place = { bucket: 'plant', prefix: 'large' };
  const multipart = { minimum_multipart_size: 1, target_part_size_bytes: 5 * 1024 * 1024 };
  const storage = await S3Storage.open(own as never, place, multipart, { mark: '.m', end: 'aa' });
  const data = [Buffer.alloc(6 * 1024 * 1024, 'a'), Buffer.alloc(6 * 1024 * 1024, 'b')];
  expect(await storage.put('x', 'big.json', data, false)).toBe(true);
  const text = await textOf('large/x/big.json');
  expect([text.length, text.at(0), text.at(-1)]).toEqual([12 * 1024 * 1024, 'a', 'b']);
  expect(await storage.names('x')).toEqual(['big.json']);
  await storage.close();
});

test.each([
  ['serial', false],
  ['uuid', false],
  ['ulid', false],
  ['serial', true],
  ['uuid_v7', true],
])('a crash leaves nothing, with names by %s, listed by whole keys: %s', async (strategy, wholeKeys) => {
  store.listsWholeKeys = wholeKeys;
  const file_naming = { strategy, prefix: 'a' };
  const own = context('sink', { file_naming, multipart: { minimum_multipart_size: 1 } });
  const open = (of: object) => filesystem.openSink?.(of as never) as Promise<Sink>;
  const write = (sink: Sink) => {
    const written = sink.write([{ payload: Buffer.from('a'), row: {} }]);
    sink.flush?.();
    return written;
  };
  const crashed = await open(own);
  store.cuts = ({ method, url = '' }) => /partNumber/.test(url) || method === 'DELETE';
  onTestFinished(() => {
    store.cuts = () => false;
  });
  expect(await failureOf(write(crashed))).toMatchObject({ passing: true });
  await crashed.close();
  store.cuts = () => false;
  const [left = ''] = store.uploads();
  expect(left).toMatch(new RegExp(`^${prefixOf(own)}/a-.*\\.txt$`));
  // Neither another job nor another task takes it away.
  for (const other of [{ jobId: 'job_2' }, { taskIndex: 1 }])
    await (await open({ ...own, identity: { ...own.identity, ...other } })).close();
  expect(store.uploads()).toEqual([left]);
  const sink = await open(own);
  expect([store.uploads(), await objects(own)]).toEqual([[], []]);
  await write(sink);
  await sink.close();
  expect([store.uploads(), (await objects(own)).length]).toEqual([[], 1]);
});

/** A store that responds as it is told. */
async function scripted(respond: (url: string, method: string) => [status: number, body: string]) {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const { url = '', method = '' } = request;
    requests.push(`${method} ${url}`);
    request.resume().on('end', () => {
      const [status, body] = respond(url, method);
      response.writeHead(status, { 'content-type': 'application/xml' }).end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(async () => {
    server.closeAllConnections();
    server.close();
  });
  const { port: own } = server.address() as AddressInfo;
  return { requests, profile: { ...profile, endpoint: `http://127.0.0.1:${own}` } };
}

const errorBody = (code: string): string => `<Error><Code>${code}</Code><Message>no</Message></Error>`;

test('aborts the uploads that a crash of the task left, and those of nobody else', async () => {
  const uploads = ['t/1-aabb.json', 't/2-ccdd.json']
    .map((key) => `<Upload><Key>${key}</Key><UploadId>u-${key.slice(2, 3)}</UploadId></Upload>`)
    .join('');
  const fake = await scripted((_, method) =>
    method === 'GET'
      ? [200, `<ListMultipartUploadsResult>${uploads}</ListMultipartUploadsResult>`]
      : [204, ''],
  );
  const own = { ...context('sink'), profile: fake.profile };
  const storage = await S3Storage.open(
    own as never,
    { bucket: 'plant', prefix: 't' },
    {},
    { mark: '.m', end: 'aabb' },
  );
  await storage.close();
  const aborted = fake.requests.filter((request) => request.startsWith('DELETE'));
  expect(aborted).toEqual([expect.stringContaining('/t/1-aabb.json?uploadId=u-1')]);
});

test.each([
  [403, 'AccessDenied', 's3_access_denied', false],
  [403, 'SignatureDoesNotMatch', 's3_access_denied', false],
  [404, 'NoSuchBucket', 's3_bucket_missing', false],
  [503, 'SlowDown', 's3_throttled', true],
  [500, 'InternalError', 's3_failed', true],
])('translates %i %s, after one request', async (status, code, expected, passing) => {
  const fake = await scripted((_, method) => (method === 'GET' ? [200, '<A/>'] : [status, errorBody(code)]));
  const own = { ...context('sink'), profile: fake.profile };
  const sink = (await filesystem.openSink?.(own as never)) as Sink;
  const written = sink.write([{ payload: Buffer.from('a'), row: {} }]);
  sink.flush?.();
  expect(await failureOf(written)).toMatchObject({ code: expected, passing });
  expect(fake.requests.filter((request) => request.startsWith('PUT')).length).toBe(1);
  await sink.close();
});

test('asks the targets for a name and for an address, before each connection', async () => {
  for (const host of ['localhost', '127.0.0.1']) {
    const own = {
      ...context('sink'),
      profile: { ...profile, endpoint: `http://${host}:${port}` },
      targets: new TargetRules(['!127.0.0.0/8', '!::1']),
    };
    const opened = filesystem.openSink?.(own as never) as Promise<Sink>;
    expect(await failureOf(opened)).toMatchObject({ code: 'target_not_allowed', passing: false });
  }
});

// The names are in the same order whether or not a slash counts: s3rver lists folders before files.
test("uses the machine's own credentials only if an operator lends them", async () => {
  const keyless = { ...profile, access_key_id: '', secret_access_key: '' };
  expect(await failureOf(s3Client({ profile: keyless, targets: new TargetRules([]) }))).toMatchObject({
    code: 's3_credentials_missing',
  });
  (await s3Client({ profile: keyless, targets: new TargetRules(['169.254.169.254']) })).destroy();
});

test('reads objects in order, from the position on', async () => {
  const own = context('source', { regex_pattern: '\\.txt$' });
  await put(own, 'c/2.txt', 'c\nd\n');
  await put(own, 'a.txt', 'a\nb');
  await put(own, 'b.txt', 'x\n');
  await put(own, 'skipped', 'y\n');
  const read = async (stored: unknown): Promise<string[]> => {
    const position = { stored, commit() {} };
    const source = await filesystem.openSource?.({ ...own, position } as never);
    const found: string[] = [];
    for await (const batch of source ?? []) found.push(...batch.map(({ payload }) => String(payload)));
    await source?.close();
    return found;
  };
  expect(await read(undefined)).toEqual(['a', 'b', 'x', 'c', 'd']);
  expect(await read({ file: 'b.txt', offset: 2, line: 1 })).toEqual(['c', 'd']);
  expect(await read({ file: 'c/2.txt', offset: 2, line: 1 })).toEqual(['d']);
  expect(await objects(own)).toHaveLength(4);
});
