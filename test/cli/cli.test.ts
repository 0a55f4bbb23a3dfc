import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { temporaryFolder } from '../support/at-end.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient } from '../support/mqtt.ts';
import { program } from '../support/penstock.ts';
import { type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const examples = new URL('../../examples/', import.meta.url).pathname;
const key = 'cli-test-admin-key-canary';

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

/** `penstock …` as a process, against a real service with a key. */
describe('the command line', () => {
  let service: Service;
  let broker: Mosquitto;
  const folder = temporaryFolder('cli');
  beforeAll(async () => {
    broker = await Mosquitto.start();
    service = await startService({ worker: true, adminKey: key });
  });

  interface Running {
    environment?: Record<string, string>;
    input?: string;
    watch?: (out: string) => void;
  }
  async function penstock(args: string[], { environment, input, watch }: Running = {}): Promise<Ended> {
    const child = spawn(process.execPath, [program, ...args], {
      cwd: folder,
      env: {
        NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
        PENSTOCK_SERVER: service.address,
        PENSTOCK_KEY: key,
        ...environment,
      },
    });
    const ended: Ended = { code: null, out: '', err: '' };
    child.stdout.on('data', (chunk) => {
      ended.out += String(chunk);
      watch?.(ended.out);
    });
    child.stderr.on('data', (chunk) => {
      ended.err += String(chunk);
    });
    child.stdin.end(input ?? '');
    ended.code = await new Promise((resolve) => child.once('close', resolve));
    expect(ended.out + ended.err).not.toContain(key);
    return ended;
  }
  const fine = async (args: string[], running?: Running): Promise<string> => {
    const { code, out, err } = await penstock(args, running);
    expect([code, err], out).toEqual([0, '']);
    return out;
  };

  /** The example for the README's pipeline, at the broker of this test. */
  const example = readFileSync(join(examples, 'overheating.yaml'), 'utf8');
  const bundle = (): string => {
    const path = join(folder, 'bundle.yaml');
    writeFileSync(path, example.replace('localhost:1883', `127.0.0.1:${broker.port}`));
    return path;
  };
  const edits = async () =>
    (await service.db.job.findMany()).map(({ editRequests, restartRequests, runId }) => [
      editRequests,
      restartRequests,
      runId,
    ]);

  test('plans and applies the example, whose pipeline runs; the second time nothing changes', async () => {
    const file = bundle();
    const planned = await penstock(['plan', '-f', file, '--exit-code']);
    expect(planned.code, planned.err).toBe(3);
    expect(planned.out).toMatch(
      /^\+ profile overheating-plant\n\+ table overheating_alerts\n\+ table overheating_readings\n/,
    );
    const [, hash = ''] = /^plan ([0-9a-f]{64})$/m.exec(planned.out) ?? [];
    expect(await fine(['apply', '-f', file, '--plan', hash])).toContain('created 4, updated 0');
    await until('the pipeline runs', async () => {
      const [job] = await service.db.job.findMany();
      return job?.state === 'Running';
    });
    const before = await edits();
    const again = await fine(['apply', '-f', '-'], { input: readFileSync(file, 'utf8') });
    expect(again).toMatch(/^created 0, updated 0, unchanged 4, deleted 0\nplan /);
    await fine(['plan', '-f', file, '--exit-code']);
    expect(await edits()).toEqual(before);
    const stale = await penstock(['apply', '-f', file, '--plan', hash]);
    expect([stale.code, stale.out]).toEqual([1, '']);
    expect(stale.err).toContain('plan_stale');
  });

  test('applies what it exports, as YAML and as JSON, and nothing changes', async () => {
    await fine(['apply', '-f', bundle()]);
    for (const format of ['yaml', 'json']) {
      const text = await fine(['export', '-l', 'app=overheating', '--format', format]);
      const out = await fine(['apply', '-f', '-', '--output', 'json'], { input: text });
      expect(JSON.parse(out).summary).toEqual({ created: 0, updated: 0, unchanged: 4, deleted: 0 });
    }
  });

  test('shows objects by kind and by name, deletes them, and reports failures', async () => {
    await fine(['apply', '-f', bundle()]);
    const input = JSON.stringify({
      connection_profiles: [{ name: 'a b/c', connector: 'mqtt', config: { url: broker.url } }],
    });
    await fine(['apply', '-f', '-'], { input });
    const tables = await fine(['get', 'tables', '-l', 'app=overheating']);
    expect(tables.split('\n')[0]).toMatch(/^NAME +TYPE +PROFILE +PIPELINES +LABELS +ID$/);
    expect(tables).toMatch(/^overheating_readings +source +overheating-plant +1 +app=overheating +ct_\w+$/m);
    expect(await fine(['get', 'pipelines'])).toMatch(/^overheating-alerts +\w+ +1 +app=overheating/m);
    expect(JSON.parse(await fine(['get', 'profile', 'a b/c', '--output', 'json'])).name).toBe('a b/c');
    expect(await fine(['delete', 'profile', 'a b/c', '--dry-run'])).toContain('can be deleted');
    expect(await fine(['delete', 'profile', 'a b/c'])).toContain('is deleted');
    const gone = await penstock(['get', 'profile', 'a b/c']);
    expect([gone.code, gone.err]).toEqual([1, expect.stringContaining('not_found')]);
    const used = await penstock(['delete', 'table', 'overheating_readings']);
    expect([used.code, used.err]).toEqual([1, expect.stringContaining('connection_table_in_use')]);
  });

  test('lists the workers, shows one with its tasks, and drains it', async () => {
    await fine(['apply', '-f', bundle()]);
    await until('the task runs', async () =>
      (await service.db.task.findMany()).some(({ worker, state }) => worker !== null && state === 'running'),
    );
    const [row] = await service.db.worker.findMany();
    const name = row?.name ?? '';
    const list = await fine(['get', 'workers']);
    expect(list.split('\n')[0]).toMatch(/^NAME +STATE +TASKS +JOBS +LOAD +VERSION +HOST +HEARTBEAT +LABELS$/);
    expect(list).toContain(`${name} `);
    expect(await fine(['get', 'worker', name])).toMatch(/^overheating-alerts +0 +running +job_\w+$/m);
    expect(JSON.parse(await fine(['get', 'workers', '--output', 'json']))[0].name).toBe(name);
    expect(await fine(['get', 'pipelines'])).toMatch(new RegExp(`pl_\\w+ +${name}`));
    expect(await fine(['drain', 'worker', name])).toBe(
      `worker ${name} drains: it gives its tasks to others\n`,
    );
    expect((await service.db.worker.findFirstOrThrow({ where: { name } })).drainRequested).toBe(true);
    expect(await fine(['drain', 'worker', name, '--undo'])).toContain('takes tasks again');
    expect((await service.db.worker.findFirstOrThrow({ where: { name } })).drainRequested).toBe(false);
    const none = await penstock(['drain', 'worker', 'nobody']);
    expect([none.code, none.err]).toEqual([1, expect.stringContaining('not_found')]);
    expect((await penstock(['drain', 'pipeline', 'x'])).code).toBe(2);
    expect((await penstock(['get', 'workers', '-l', 'a=b'])).code).toBe(2);
  });

  test('tests stored objects and those in a file, step by step; a failed test is exit code 1', async () => {
    const file = bundle();
    await fine(['apply', '-f', file]);
    const stored = await fine(['test', 'overheating-plant']);
    expect(stored).toMatch(/^profile overheating-plant\n/);
    expect(stored).toMatch(/^ok {6}mqtt_connect +\d+ ms {2}\S/m);
    const table = await fine(['test', 'table', 'overheating_alerts', '--no-publish']);
    expect(table).toMatch(/^table overheating_alerts\n/);
    const all = await penstock(['test', '-f', file, '--no-publish', '--output', 'json']);
    expect(JSON.parse(all.out).map(({ tested }: { tested: string }) => tested)).toEqual([
      'profile overheating-plant',
      'table overheating_readings',
      'table overheating_alerts',
    ]);
    const broken = readFileSync(file, 'utf8').replace(`127.0.0.1:${broker.port}`, '127.0.0.1:1');
    for (const output of ['table', 'json']) {
      const { code, out } = await penstock(['test', '-f', '-', '--output', output], {
        input: broken.slice(0, broken.indexOf('connection_tables:')),
      });
      expect(code).toBe(1);
      expect(out).toContain('connection_refused');
    }
    expect((await penstock(['test', 'nobody'])).code).toBe(1);
  });

  test('tails a table: one line per message', async () => {
    await fine(['apply', '-f', bundle()]);
    const client = await plainClient(broker.url);
    const publish = () =>
      client.publish('plant/oven-1/readings', '{"device": "oven-1", "celsius": 95.5}', { qos: 1 });
    let asked = false;
    const watch = (): void => {
      if (!asked) publish();
      asked = true;
    };
    const out = await fine(['tail', 'overheating_readings', '--rows', '1', '--seconds', '60'], { watch });
    expect(out.split('\n')).toContain('{"device":"oven-1","celsius":95.5}');
    asked = false;
    const json = await fine(
      ['tail', 'overheating_readings', '--rows', '1', '--seconds', '60', '--output', 'json'],
      { watch },
    );
    const events = json
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(events.map(({ name }) => name)).toEqual(['listening', 'row', 'summary']);
  });

  test('reports the errors in a bundle, and applies nothing of it', async () => {
    const before = await service.db.connectionProfile.count();
    const { code, out, err } = await penstock(['apply', '-f', '-'], {
      input: 'connection_profiles:\n  - { name: x, connector: mqtt, config: { url: "nonsense://" } }\n',
    });
    expect([code, out]).toEqual([1, '']);
    expect(err).toContain('/connection_profiles/0/config/url');
    expect(await service.db.connectionProfile.count()).toBe(before);
  });

  test.each([
    [['apply']],
    [['apply', '-f', 'not-there.yaml']],
    [['plan', '-f', '-', '--rows', '1']],
    [['get']],
    [['get', 'unicorns']],
    [['test']],
    [['test', 'pipeline', 'x']],
    [['tail']],
    [['tail', 'x', '--rows', 'many']],
    [['delete', 'table']],
    [['export', '--format', 'xml']],
    [['get', 'tables', '--output', 'xml']],
    [['get', 'tables', '--unknown']],
    [['get', 'tables', '--server', 'ftp://x']],
    [['get', 'tables', '--server', 'http://me:secret@x']],
  ])('%j is wrong usage: exit code 2', async (args) => {
    const { code, out, err } = await penstock(args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/^penstock: /);
    expect(err).toContain('Usage: penstock plan');
  });

  test('a wrong key is refused (1); no server, or another one, is exit code 4', async () => {
    const wrong = await penstock(['get', 'tables'], { environment: { PENSTOCK_KEY: 'wrong' } });
    expect([wrong.code, wrong.err]).toEqual([1, expect.stringContaining('unauthorized')]);
    const nobody = await penstock(['get', 'tables', '--server', 'http://127.0.0.1:1']);
    expect([nobody.code, nobody.err]).toEqual([4, expect.stringContaining('cannot be reached')]);
    const notFound = 'HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n';
    const other = createServer((socket) =>
      socket.on('error', () => {}).once('data', () => socket.end(notFound)),
    );
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    const reached = await penstock(['get', 'tables', '--server', `http://127.0.0.1:${port}`]);
    expect([reached.code, reached.err]).toEqual([4, expect.stringContaining('is not Penstock')]);
    other.close();
  });

  test('starts without the modules of the service', async () => {
    const preload = join(folder, 'list.mjs');
    writeFileSync(
      preload,
      `import { readFileSync } from 'node:fs';
      import { registerHooks } from 'node:module';
      import { fileURLToPath } from 'node:url';
      registerHooks({ load(url, context, next) {
        if (url.startsWith('file:')) process.stderr.write(url + '\\n' + readFileSync(fileURLToPath(url), 'utf8') + '\\n');
        return next(url, context);
      } });`,
    );
    const { code, err } = await penstock(['get', 'tables'], {
      environment: { NODE_OPTIONS: `--import=${preload}` },
    });
    expect(code).toBe(0);
    // Of the client, and of each part of the service.
    expect(err).toContain('PENSTOCK_SERVER');
    for (const text of ['_prisma_migrations', 'DuckDBInstance', 'fastify', 'PUBACK', 'query_compiler'])
      expect(err.includes(text), text).toBe(false);
  });

  test('the recipe for continuous integration works as described', async () => {
    const recipe = parse(readFileSync(join(examples, 'github-actions.yaml'), 'utf8'));
    bundle();
    for (const [job, expected] of [
      ['plan', '"applied":false'],
      ['apply', '"applied":true'],
    ] as const) {
      const step = recipe.jobs[job].steps.find(({ run }: { run?: string }) => run?.includes('curl'));
      const child = spawn('bash', ['-eo', 'pipefail', '-c', step.run], {
        cwd: folder,
        env: {
          PATH: process.env.PATH,
          PENSTOCK_SERVER: service.address,
          PENSTOCK_KEY: key,
          BUNDLE: 'bundle.yaml',
        },
      });
      let out = '';
      child.stdout.on('data', (chunk) => {
        out += String(chunk);
      });
      const code = await new Promise((resolve) => child.once('close', resolve));
      expect([code, out.includes(expected)], out).toEqual([0, true]);
    }
  });
});
