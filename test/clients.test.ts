import { execFile } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { providerFolder, whyMissing } from '../scripts/servers.ts';
import { temporaryFolder } from './support/at-end.ts';
import { freePort } from './support/free-port.ts';
import { useProcessRig } from './support/rig.ts';
import { ServerProcess, whereIs } from './support/server-process.ts';
import { onlyInSoak, skipping } from './support/skipping.ts';
import { until } from './support/until.ts';

/** The examples for tools of others. Each test is skipped without the tool, and runs in the soak only. */

const root = join(import.meta.dirname, '..');
const examples = join(root, 'examples');
const document = join(root, 'openapi/openapi.json');
const folder = temporaryFolder('clients');
const rig = useProcessRig(undefined, { PENSTOCK_VAR_PLANT_PASSWORD: 'hunter2-canary' });

type Env = Record<string, string>;
const run = (command: string, args: string[], { cwd = folder, ...env }: Env & { cwd?: string } = {}) =>
  promisify(execFile)(command, args, {
    cwd,
    timeout: 280_000,
    maxBuffer: 16 << 20,
    env: { ...process.env, ...env },
  });

async function expectEmpty(): Promise<void> {
  for (const kind of ['connection_profiles', 'connection_tables', 'pipelines'])
    expect((await rig.penstock.request.get(`/api/v1/${kind}`)).body.data).toEqual([]);
}

const tour = /^Profile cp_\w+\nUnchanged: true\nRunning\nRemoved\n$/i;

const noPython = onlyInSoak ?? whyMissing('openapi-python-client');
test.skipIf(noPython !== undefined)(
  skipping('a client that openapi-python-client generates does the tour', noPython),
  async () => {
    const client = join(folder, 'python');
    const { stderr } = await run('openapi-python-client', [
      'generate',
      '--path',
      document,
      '--output-path',
      client,
    ]);
    // YAML is the one kind of body that it does not know.
    expect(stderr.match(/^WARNING.*$/gm) ?? []).toEqual([
      'WARNING parsing POST /api/v1/apply within automation.',
    ]);
    const python = join(dirname(whereIs('openapi-python-client') as string), 'python3');
    const args = [join(examples, 'python-client/tour.py'), rig.broker.url, rig.penstock.address];
    expect((await run(python, args, { PYTHONPATH: client })).stdout).toMatch(tour);
    await expectEmpty();
  },
  300_000,
);

const noGo = onlyInSoak ?? whyMissing('oapi-codegen');
test.skipIf(noGo !== undefined)(
  skipping('a client that oapi-codegen generates compiles and does the tour', noGo),
  async () => {
    const cwd = join(folder, 'go');
    cpSync(join(examples, 'go-client'), cwd, { recursive: true });
    await run('mkdir', ['penstock'], { cwd });
    await run('oapi-codegen', ['-config', 'oapi-codegen.yaml', document], { cwd });
    await run('go', ['mod', 'tidy'], { cwd });
    await run('go', ['vet', './...'], { cwd });
    const { stdout } = await run('go', ['run', '.', rig.broker.url, rig.penstock.address], { cwd });
    expect(stdout).toMatch(tour);
    await expectEmpty();
  },
  300_000,
);

const noAnsible = onlyInSoak ?? whyMissing('Ansible');
test.skipIf(noAnsible !== undefined)(
  skipping('Ansible applies the bundle, changes nothing the second time, and plans in check mode', noAnsible),
  async () => {
    const play = async (...more: string[]) => {
      const variables = ['-e', `server=${rig.penstock.address}`, '-e', `broker=${rig.broker.url}`];
      const args = [join(examples, 'ansible/overheating.yml'), '-i', 'localhost,', ...variables, ...more];
      const quiet = { ANSIBLE_NOCOLOR: '1', ANSIBLE_LOCAL_TEMP: folder, ANSIBLE_HOME: folder };
      const { stdout } = await run('ansible-playbook', args, quiet);
      return Number(/changed=(\d+)/.exec(stdout)?.[1]);
    };
    const query = async () =>
      (await rig.penstock.request.get('/api/v1/pipelines/by-name/ansible-overheating')).body.query as string;
    expect(await play('--check')).toBe(1);
    await expectEmpty();
    expect(await play()).toBe(2);
    expect(await play()).toBe(0);
    expect(await play('-e', 'limit=95', '--check')).toBe(1);
    expect(await query()).toContain('> 90');
    expect(await play('-e', 'limit=95')).toBe(2);
    expect(await query()).toContain('> 95');
    const pipeline = await rig.penstock.request.get('/api/v1/pipelines/by-name/ansible-overheating');
    await rig.penstock.request.patch(`/api/v1/pipelines/${pipeline.body.id}`).send({ stop: 'immediate' });
    await expect
      .poll(async () => (await rig.penstock.request.delete(`/api/v1/pipelines/${pipeline.body.id}`)).status, {
        timeout: 30_000,
      })
      .toBe(200);
    for (const kind of ['connection_tables', 'connection_profiles'])
      for (const { id } of (await rig.penstock.request.get(`/api/v1/${kind}`)).body.data)
        await rig.penstock.request.delete(`/api/v1/${kind}/${id}`).expect(200);
  },
  300_000,
);

const noProvider = onlyInSoak ?? whyMissing('Terraform') ?? whyMissing('terraform-provider-restapi');
test.skipIf(noProvider !== undefined)(
  skipping(
    'Terraform with a provider for any REST API creates, changes in place, imports and destroys',
    noProvider,
  ),
  async () => {
    const cwd = join(folder, 'terraform');
    cpSync(join(examples, 'terraform-restapi'), cwd, { recursive: true });
    const overrides = `provider_installation {\n  dev_overrides { "mastercard/restapi" = "${providerFolder()}" }\n  direct {}\n}\n`;
    writeFileSync(join(folder, 'terraform.rc'), overrides);
    const terraform = (command: string, ...args: string[]) =>
      run('terraform', [command, '-no-color', ...args], {
        cwd,
        TF_CLI_CONFIG_FILE: join(folder, 'terraform.rc'),
        CHECKPOINT_DISABLE: '1',
        TF_VAR_server: rig.penstock.address,
        TF_VAR_broker: rig.broker.url,
      });
    const apply = async (...args: string[]) => (await terraform('apply', '-auto-approve', ...args)).stdout;
    /** 0 without changes, 2 with. */
    const plan = (...args: string[]) =>
      terraform('plan', '-detailed-exitcode', ...args).then(
        ({ stdout }) => ({ code: 0, stdout }),
        (error: { code: number; stdout: string }) => error,
      );
    const idOf = async (path: string) =>
      (await rig.penstock.request.get(`/api/v1/${path}`)).body.id as string;

    expect(await apply()).toContain('5 added, 0 changed, 0 destroyed');
    expect((await plan()).code).toBe(0);
    const pipeline = await idOf('pipelines/by-name/tf-overheating');
    expect(await apply('-var', 'limit=95')).toContain('0 added, 1 changed, 0 destroyed');
    expect(await idOf('pipelines/by-name/tf-overheating')).toBe(pipeline);
    expect((await plan('-var', 'limit=95')).code).toBe(0);

    const readings = await idOf('connection_tables/by-name/tf_readings');
    const patch = { config: { topic: 'elsewhere/+' } };
    await rig.penstock.request.patch(`/api/v1/connection_tables/${readings}`).send(patch).expect(200);
    const drifted = await plan('-var', 'limit=95');
    expect([drifted.code, drifted.stdout]).toEqual([2, expect.stringContaining('elsewhere/+')]);
    expect(await apply('-var', 'limit=95')).toContain('0 added, 1 changed, 0 destroyed');

    const profile = await idOf('connection_profiles/by-name/tf-plant');
    await run('terraform', ['state', 'rm', 'restapi_object.plant'], { cwd });
    await terraform('import', 'restapi_object.plant', `/api/v1/connection_profiles/${profile}`);
    expect(await apply('-var', 'limit=95')).toContain('0 added, 1 changed, 0 destroyed');
    expect(await idOf('connection_profiles/by-name/tf-plant')).toBe(profile);
    const settled = await plan('-var', 'limit=95');
    expect(settled.code).toBe(0);

    const state = readFileSync(join(cwd, 'terraform.tfstate'), 'utf8');
    expect(drifted.stdout + settled.stdout + state).not.toContain('hunter2-canary');
    expect((await terraform('destroy', '-auto-approve')).stdout).toContain('5 destroyed');
    await expectEmpty();
  },
  300_000,
);

const noPrism = onlyInSoak ?? whyMissing('Prism');
test.skipIf(noPrism !== undefined)(
  skipping('Prism, a validating proxy, lets every request of a tour and every response pass', noPrism),
  async () => {
    const port = await freePort();
    const args = [
      'proxy',
      document,
      rig.penstock.address,
      '--errors',
      '--port',
      `${port}`,
      '-h',
      '127.0.0.1',
    ];
    const command = whereIs('prism') as string;
    await ServerProcess.start({ command, args, port, folder: temporaryFolder('prism') });
    const call = async (status: number, method: string, path: string, body?: object, headers: Env = {}) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        headers: { 'content-type': 'application/json', ...headers },
        ...(body && { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      // Prism itself would respond 422 or 500.
      expect(response.status, `${method} ${path}: ${text}`).toBe(status);
      expect(response.headers.get('sl-violations'), `${method} ${path}`).toBe(null);
      return {
        etag: response.headers.get('etag') ?? '',
        body: text && response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : null,
      };
    };
    const api = '/api/v1';
    const config = { url: rig.broker.url };
    const profile = await call(200, 'POST', `${api}/connection_profiles`, {
      name: 'prism',
      connector: 'mqtt',
      config,
    });
    const at = `${api}/connection_profiles/${profile.body.id}`;
    await call(304, 'GET', at, undefined, { 'if-none-match': profile.etag });
    await call(200, 'POST', `${at}/test`, { probe: 'none' }, { accept: 'application/json' });
    await call(200, 'PATCH', at, { labels: { site: 'north' } }, { 'if-match': profile.etag });
    await call(412, 'PATCH', at, { labels: { site: 'south' } }, { 'if-match': profile.etag });
    await call(409, 'POST', `${api}/connection_profiles`, { name: 'prism', connector: 'mqtt', config });
    const tables: string[] = [];
    for (const [name, type] of Object.entries({ prism_in: {}, prism_out: { retain: false } })) {
      const fields = [{ name: 'celsius', type: 'float64' }];
      const schema = { format: { type: 'json' }, bad_data: { behavior: 'drop' }, fields };
      const table = {
        name,
        connector: 'mqtt',
        connection_profile_id: profile.body.id,
        config: { topic: name, type },
        schema,
      };
      tables.push((await call(200, 'POST', `${api}/connection_tables`, table)).body.id);
    }
    const query = 'INSERT INTO prism_out SELECT celsius FROM prism_in';
    const pipeline = await call(200, 'POST', `${api}/pipelines`, { name: 'prism', query, parallelism: 1 });
    const run = `${api}/pipelines/${pipeline.body.id}`;
    const inState = async (state: string) => {
      const { body } = await call(200, 'GET', `${run}/jobs`);
      return body.data[0].state === state && body.data[0].id;
    };
    const job = await until('the job runs', () => inState('Running'), 60_000);
    for (const path of [
      '',
      '/jobs',
      '/dead_letters',
      `/jobs/${job}/errors`,
      `/jobs/${job}/operator_metric_groups`,
      `/jobs/${job}/tasks`,
    ])
      await call(200, 'GET', `${run}${path}`);
    for (const path of [
      'ping',
      'connectors',
      'connectors/mqtt',
      'connection_profiles',
      'connection_tables',
      'pipelines',
      'jobs',
      'export',
      'audit',
      'api_keys',
    ])
      await call(200, 'GET', `${api}/${path}`);
    for (const path of ['/healthz', '/readyz', '/metrics']) await call(200, 'GET', path);
    await call(200, 'POST', `${api}/pipelines/validate_query`, { query });
    await call(404, 'GET', `${api}/pipelines/pl_none`);
    await call(409, 'DELETE', at);
    await call(200, 'PATCH', run, { stop: 'graceful' });
    await until('the job has stopped', () => inState('Stopped'), 60_000);
    await call(200, 'DELETE', run);
    for (const id of tables) await call(200, 'DELETE', `${api}/connection_tables/${id}`);
    await call(200, 'DELETE', at);
    await expectEmpty();
  },
  300_000,
);
