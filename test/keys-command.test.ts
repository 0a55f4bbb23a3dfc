import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { readCommandLine } from '../src/cli/commands.ts';
import { readKeysCommand } from '../src/cli/keys.ts';
import { temporaryFolder } from './support/at-end.ts';
import { Penstock, program } from './support/penstock.ts';
import { jobOf, profileBody } from './support/resources.ts';
import { until } from './support/until.ts';

let folder: string;
let settings: Record<string, string>;
let penstock: Penstock | undefined;
beforeEach(() => {
  folder = temporaryFolder('keys');
  settings = { PENSTOCK_DATA_DIR: folder, PENSTOCK_DATABASE_URL: `file:${join(folder, 'penstock.db')}` };
});

/** Runs a command to its end. */
function run(args: string[], more: Record<string, string> = {}) {
  const child = spawn(process.execPath, [program, ...args], {
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
      ...settings,
      ...more,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  return new Promise<{ code: number | null; out: string; err: string }>((resolve) =>
    child.once('close', (code) => resolve({ code, out: out.trim(), err })),
  );
}

test('creates, lists and revokes keys during a running service', async () => {
  penstock = await Penstock.start(settings);
  const made = await run(['keys', 'create', 'me', '--role', 'admin']);
  expect(made).toMatchObject({ code: 0, out: expect.stringMatching(/^pk_[\w-]{43}$/) });
  const { address } = penstock;
  const status = async (key: string) =>
    (await fetch(`${address}/api/v1/pipelines`, { headers: { authorization: `Bearer ${key}` } })).status;
  expect(await status(made.out)).toBe(200);
  expect(await status('pk_wrong')).toBe(401);
  expect((await run(['keys', 'create', 'bot', '--role', 'viewer', '--expires-days', '30'])).code).toBe(0);
  const list = await run(['keys', 'list']);
  expect(list.out).toMatch(
    /^bot {2}viewer {2}expires 20\d\d-.* {2}last used never\nme {2}admin {2}expires never/,
  );
  expect((await run(['keys', 'revoke', 'bot'])).out).toBe('bot is revoked.');
  const gone = await run(['keys', 'revoke', 'bot']);
  expect(gone).toMatchObject({ code: 1, err: expect.stringContaining('There is no key called bot') });
});

test.each([
  [[], 'needs 1 or more arguments'],
  [['create'], 'the name is missing'],
  [['create', 'a', '--role', 'king'], '--role must be one of'],
  [['create', 'a', '--role', 'admin', '--expires-days', '0'], '--expires-days'],
  [['list', 'a'], 'too many arguments'],
  [['revoke', 'a', '--role', 'admin'], 'go with create'],
  [['list', '--what'], '--what'],
])('refuses %o', (args, said) => {
  const read = () => {
    const invocation = readCommandLine(['keys', ...args], '0');
    if ('text' in invocation) throw new Error(invocation.text);
    return readKeysCommand(invocation.words, invocation.values);
  };
  expect(read).toThrow(said);
});

test('prints its usage and exits with 2 if the arguments are wrong', async () => {
  expect(await run(['keys', 'what'])).toMatchObject({ code: 2, err: expect.stringContaining('keys rotate') });
});

test('does not listen on other addresses without an admin key', async () => {
  const others = { PENSTOCK_HOST: '0.0.0.0', PENSTOCK_PORT: '0' };
  const refused = await run(['api'], others);
  expect(refused).toMatchObject({ code: 2, err: expect.stringContaining('penstock keys create') });
  expect((await run(['keys', 'create', 'me', '--role', 'admin'])).code).toBe(0);
  penstock = await Penstock.start({ ...settings, PENSTOCK_HOST: '0.0.0.0' });
  expect((await fetch(`${penstock.address}/api/v1/pipelines`)).status).toBe(401);
});

const inlineQuery = `
  CREATE TABLE readings (x TEXT) WITH (connector = 'mqtt', url = 'mqtt://127.0.0.1:1', type = 'source',
    username = 'me', password = 'in the query', topic = 'a', format = 'json');
  CREATE TABLE copies (x TEXT) WITH (connector = 'mqtt', url = 'mqtt://127.0.0.1:1', type = 'sink',
    topic = 'b', format = 'json', 'sink.retain' = 'false');
  INSERT INTO copies SELECT * FROM readings`;

test('rotates the secret key, so that the old one can be removed', async () => {
  const [old, fresh] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')] as const;
  penstock = await Penstock.start({ ...settings, PENSTOCK_SECRET_KEY: old });
  const config = { url: 'mqtt://127.0.0.1:1', username: 'me', password: 'to be kept' };
  const created = await penstock.request
    .post('/api/v1/connection_profiles')
    .send(profileBody('', { config }));
  expect(created.status).toBe(200);
  const pipeline = await penstock.request
    .post('/api/v1/pipelines')
    .send({ name: 'p', query: inlineQuery, parallelism: 1 });
  expect(pipeline.body.query, pipeline.text).toBe(inlineQuery.replace('in the query', '********'));
  await penstock.kill('SIGTERM');
  for (const role of ['api', 'worker']) {
    const wrong = await run([role], { PENSTOCK_SECRET_KEY: fresh });
    expect(wrong).toMatchObject({ code: 1, err: expect.stringContaining('is not the key of this database') });
  }
  const both = { PENSTOCK_SECRET_KEY: `${fresh},${old}` };
  // The profile, the query, and the task if the job had begun.
  expect((await run(['keys', 'rotate'], both)).out).toMatch(
    /^[23] more objects are now sealed with the first key\.$/,
  );
  expect((await run(['keys', 'rotate'], both)).out).toBe('0 more objects are now sealed with the first key.');
  expect((await run(['api'], { PENSTOCK_SECRET_KEY: old })).code).toBe(1);
  const again = await Penstock.start({ ...settings, PENSTOCK_SECRET_KEY: fresh });
  const tested = await again.request
    .post(`/api/v1/connection_profiles/${created.body.id}/test`)
    .set('accept', 'application/json')
    .send({});
  const job = await until('the job to try', async () => {
    const found = await jobOf(again.request, pipeline.body.id);
    return found.state === 'Recovering' && found;
  });
  expect(job.failure_reason?.code).toBe('connection_refused');
  await again.stop();
  expect(tested.body.steps.at(-1)).toMatchObject({ code: null });
  expect(tested.body.code).toBe('connection_refused');
});
