import { execFile } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { Client, Foreign } from '../examples/typed-client/client.ts';
import { clientTypes } from '../scripts/docs/client-types.ts';
import { whyMissing } from '../scripts/servers.ts';
import { temporaryFolder } from './support/at-end.ts';
import { databases, execute } from './support/databases.ts';
import { Endpoint } from './support/http-endpoint.ts';
import { plainClient } from './support/mqtt.ts';
import { program } from './support/penstock.ts';
import { useProcessRig } from './support/rig.ts';
import { skipping } from './support/skipping.ts';
import { until } from './support/until.ts';

const examples = join(import.meta.dirname, '../examples');
const folder = temporaryFolder('examples');
const rig = useProcessRig();

const run = (command: string, args: string[], env: Record<string, string> = {}) =>
  promisify(execFile)(command, args, { cwd: folder, timeout: 110_000, env: { ...process.env, ...env } });

const bundles = readdirSync(examples).filter(
  (name) => /\.yaml$/.test(name) && name !== 'github-actions.yaml',
);

test.each(bundles)('the bundle %s can be applied', async (name) => {
  const { body } = await rig.penstock.request
    .post('/api/v1/apply?dry_run=true')
    .set('content-type', 'application/yaml')
    .send(readFileSync(join(examples, name), 'utf8'));
  expect(body.changes?.map(({ action }: { action: string }) => action) ?? body).toContain('created');
});

test('the types of the typed client are those of the document', () => {
  const document = JSON.parse(readFileSync(join(examples, '../openapi/openapi.json'), 'utf8'));
  expect(readFileSync(join(examples, 'typed-client/types.ts'), 'utf8')).toBe(clientTypes(document));
});

test('the typed client tests, makes, runs and removes a pipeline', async () => {
  const { stdout } = await run(process.execPath, [
    join(examples, 'typed-client/tour.ts'),
    rig.broker.url,
    rig.penstock.address,
  ]);
  expect(stdout).toMatch(/^resolve: ok/m);
  expect(stdout).toMatch(/^summary: ok \(Successfully connected/m);
  expect(stdout).toMatch(/is Running\n[\s\S]*is Stopped\nRemoved\.\n$/);
  for (const kind of ['connection_profiles', 'connection_tables', 'pipelines']) {
    const { body } = await rig.penstock.request.get(`/api/v1/${kind}`);
    expect(body.data).toEqual([]);
  }
});

test('the typed client reads what a proxy makes of a response', async () => {
  const proxy = await new Endpoint().start();
  const client = new Client(proxy.url);
  const answer = (status: number, type: string, text: string) => {
    proxy.reply = () => ({ status, headers: { 'content-type': type }, text });
  };
  for (const [status, type, text] of [
    [502, 'text/html', '<h1>Bad Gateway</h1>'],
    [401, 'application/json', '{"message":"Unauthorized"}'],
    [200, 'text/html; charset=utf-8', '<form>Log in</form>'],
  ] as const) {
    answer(status, type, text);
    const error = await client.call('listWorkers', {}).catch((raised: unknown) => raised);
    expect(error).toBeInstanceOf(Foreign);
    expect(error).toMatchObject({ status, message: expect.stringContaining(`status ${status}`) });
  }
  // Frames and characters are split anywhere, and lines end as the proxy likes.
  const bytes = Buffer.from(
    ': connected\r\n\r\ndata: {"name":"ö😀"}\r\n\r\ndata: {"name":"b"}\n\ndata: {"na',
  );
  proxy.reply = async (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const byte of bytes) await new Promise((sent) => response.write(Buffer.of(byte), sent));
    response.end();
    return 'handled' as never;
  };
  const seen: unknown[] = [];
  for await (const event of client.follow('getOverview', {})) seen.push(event);
  expect(seen).toEqual([{ name: 'ö😀' }, { name: 'b' }]);
});

test('the typed client reports refusals', async () => {
  const failed = await run(process.execPath, [
    join(examples, 'typed-client/tour.ts'),
    'mqtt://127.0.0.1:1',
    rig.penstock.address,
  ]).catch((error: { code: number; stdout: string }) => error);
  expect(failed).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/^summary: failed \(.*no process listens/m),
  });
});

test('the bundle for PostgreSQL stores readings, each once', async () => {
  const database = await databases[1].create();
  const bundle = readFileSync(join(examples, 'postgres.yaml'), 'utf8')
    .replace('mqtt://localhost:1883', rig.broker.url)
    .replace('postgresql://penstock@localhost:5432/plant', database.url);
  const { body } = await rig.penstock.request
    .post('/api/v1/apply')
    .set('content-type', 'application/yaml')
    .send(bundle);
  expect(body.errors ?? []).toEqual([]);
  await until('the job runs', async () => {
    const { data } = (await rig.penstock.request.get('/api/v1/jobs')).body;
    return data.some(({ state }: { state: string }) => state === 'Running');
  });
  const client = await plainClient(rig.broker.url);
  const reading = '{"device": "oven-1", "taken_at": "2026-01-31T12:00:00Z", "celsius": 95.5}';
  for (const _ of [1, 2]) await client.publishAsync('plant/oven-1/readings', reading, { qos: 1 });
  const rows = () => execute(database.url, 'SELECT device, taken_at, celsius FROM readings').catch(() => []);
  await until('the row', async () => (await rows()).length > 0);
  expect(await rows()).toEqual([
    { device: 'oven-1', taken_at: new Date('2026-01-31T12:00:00Z'), celsius: 95.5 },
  ]);
});

const noTerraform = whyMissing('Terraform');

test.skipIf(noTerraform !== undefined)(
  skipping(
    'Terraform applies the bundle, has nothing to do the second time, and applies what is changed',
    noTerraform,
  ),
  async () => {
    cpSync(join(examples, 'terraform'), join(folder, 'terraform'), { recursive: true });
    const bundle = join(folder, 'bundle.yaml');
    const text = readFileSync(join(examples, 'overheating.yaml'), 'utf8');
    writeFileSync(bundle, text);
    const terraform = (...args: string[]) =>
      run('terraform', ['-chdir=terraform', ...args], {
        CHECKPOINT_DISABLE: '1',
        TF_IN_AUTOMATION: '1',
        TF_VAR_server: rig.penstock.address,
        TF_VAR_bundle: bundle,
        TF_VAR_penstock: `'${process.execPath}' '${program}'`,
      });
    const apply = async () => (await terraform('apply', '-auto-approve', '-no-color')).stdout;
    const topic = async () =>
      (await rig.penstock.request.get('/api/v1/connection_tables/by-name/overheating_readings')).body.config
        ?.topic;

    await terraform('init', '-no-color');
    expect(await apply()).toContain('Resources: 1 added');
    expect(await topic()).toBe('plant/+/readings');
    // With -detailed-exitcode a pending change would be an exit code other than 0.
    await terraform('plan', '-detailed-exitcode', '-no-color');
    expect(await apply()).toContain('Resources: 0 added, 0 changed, 0 destroyed');

    writeFileSync(bundle, text.replace('topic: plant/+/readings', 'topic: plant/+/celsius'));
    expect(await apply()).toContain('Resources: 1 added, 0 changed, 1 destroyed');
    expect(await topic()).toBe('plant/+/celsius');
  },
  600_000,
);
