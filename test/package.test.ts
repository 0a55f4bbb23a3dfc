import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import supertest from 'supertest';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Installed } from './support/installed.ts';
import { Mosquitto } from './support/mosquitto.ts';
import { plainClient } from './support/mqtt.ts';
import { created, createTables, jobOf } from './support/resources.ts';
import { until } from './support/until.ts';
import { watch } from './support/watch.ts';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const { version, dependencies, scripts } = JSON.parse(read('package.json')) as {
  version: string;
  dependencies: Record<string, string>;
  scripts: Record<string, string>;
};

/**
 * Packages that a file of the bundle asks for at run time. Some are optional parts of others, and some stand in text that
 * Ajv and fast-json-stringify write for other purposes: nothing installs them.
 */
function packagesIn(text: string): string[] {
  const optional =
    /^(pg-native|bufferutil|utf-8-validate|@aws-sdk\/signature-v4(a|-crt)|ajv\/dist\/|ajv-formats\/dist\/|fast-json-stringify\/lib\/)/;
  return [...text.matchAll(/\brequire\((["'`])([^.][^"'`]*)\1\)/g)]
    .map(([, , name]) => name as string)
    .filter((name) => !isBuiltin(name) && !optional.test(name));
}

test('npm packs what these tests pack', () => {
  expect(scripts.prepack).toBe('node scripts/run.mjs scripts/package.ts');
  // With it npm skips prepack.
  expect(read('.npmrc')).not.toContain('ignore-scripts');
});

test('the image has the files of the package', () => {
  const image = read('Dockerfile')
    .split(/^FROM /m)
    .at(-1) as string;
  const copied = [...image.matchAll(/^COPY (.*)$/gm)].map(([, rest]) => rest);
  const parts = ['node_modules', 'package.json', 'prisma/migrations', 'dist', 'console/dist'];
  expect(copied).toEqual(parts.map((part) => `--from=build /app/${part} ${part}`));
  expect(read('Dockerfile')).toMatch(/^RUN npm pkg delete workspaces && npm prune --omit=dev\b/m);
});

describe('the package', () => {
  let installed: Installed;
  beforeAll(async () => {
    installed = await Installed.create();
  }, 400_000);
  afterAll(() => installed?.remove());

  test('contains the bundle with its licenses, and no tests and no tools', () => {
    const { files } = installed;
    const expected =
      /^(bin\/[\w-]+\.mjs|dist\/([\w.-]+\.js|\w+\.\w+\.wasm|licenses\.md|package\.json|static\/[\w.-]+)|console\/dist\/(index\.html|assets\/[\w.-]+\.(js|css|svg|md)(\.gz|\.br)?)|prisma\/migrations\/.+\.sql|package\.json|README\.md|LICENSE)$/;
    expect(files.filter((path) => !expected.test(path))).toEqual([]);
    const inPackage = (path: string) =>
      readFileSync(join(installed.folder, 'node_modules/penstock', path), 'utf8');
    const code = files.filter((path) => /^dist\/[^/]+\.js$/.test(path));
    expect(code).toContain('dist/thread.js');
    const asked = new Set(code.flatMap((path) => packagesIn(inPackage(path))));
    expect([...asked].sort()).toEqual(Object.keys(dependencies).sort());
    const licenses = inPackage('dist/licenses.md');
    for (const name of ['fastify', '@prisma/client', 'mqtt', 'avsc', '@aws-sdk/client-s3'])
      expect(licenses).toMatch(new RegExp(`^## ${name} \\d`, 'm'));
    expect(licenses).not.toMatch(/^## .*\b(A?GPL|LGPL|SSPL|undefined|UNLICENSED)/m);
  });

  test('loads formats and connectors into a worker thread on demand', () => {
    const loaded = new Set<string>();
    const load = (file: string): void => {
      if (loaded.has(file)) return;
      loaded.add(file);
      const text = readFileSync(join(installed.folder, 'node_modules/penstock/dist', file), 'utf8');
      for (const [, , next = ''] of text.matchAll(/\brequire\((["'`])\.\/([\w.-]+\.js)\1\)/g)) load(next);
    };
    load('thread.js');
    expect(loaded.size).toBeGreaterThan(20);
    const part = /^(formats|connectors)-\w+\.js$/;
    expect([...loaded].filter((file) => part.test(file))).toEqual([]);
    const parts = installed.files.map((path) => path.replace('dist/', '')).filter((file) => part.test(file));
    expect(parts).toEqual(
      expect.arrayContaining(['formats-avro.js', 'formats-protobuf.js', 'connectors-mqtt.js']),
    );
  });

  test('prints its version and usage, and exits with the code of Penstock', async () => {
    const said = await installed.run(installed.command, ['--version']);
    expect(said).toEqual({ stdout: `${version}\n`, stderr: '' });
    const pinned = await installed.run(process.execPath, [installed.command, '--version']);
    expect(pinned).toEqual(said);
    const { stdout } = await installed.run('npx', ['penstock', '--help']);
    expect(stdout).toMatch(/^Usage: penstock /);
    await expect(installed.run(installed.command, ['nonsense'])).rejects.toMatchObject({ code: 2 });
  });

  describe('started', () => {
    let broker: Mosquitto;
    let service: Started;
    let request: ReturnType<typeof supertest>;
    beforeAll(async () => {
      [broker, service] = await Promise.all([Mosquitto.start(), start(installed, installed.command)]);
      request = supertest(/"address":"([^"]+)"/.exec(service.log())?.[1] as string);
    }, 120_000);
    afterAll(async () => {
      service?.end();
      await broker?.stop();
    });

    test('serves the API, its documentation, its keys and the console', async () => {
      await request.get('/readyz').expect(200);
      await request.get('/api/v1/swagger-ui/').expect(200);
      await request.get('/api/v1/swagger-ui/static/swagger-ui-bundle.js').expect(200);
      const { body } = await request.get('/api/v1/connectors').expect(200);
      expect(body.data[0].icon).toContain('<svg');
      await installed.run(installed.command, ['keys', 'list']);
      const { text } = await request.get('/').expect(200);
      const script = /<script[^>]* src="\.(\/assets\/[^"]+)"/.exec(text)?.[1] as string;
      await request.get(script).expect(200).expect('content-encoding', 'gzip');
    });

    test('runs a job in a thread', async () => {
      await createTables(request, broker.url);
      const query = 'INSERT INTO alerts SELECT device, seq, celsius FROM readings WHERE celsius > 90';
      const { id } = await created(request, '/pipelines', { name: 'alerts', query, parallelism: 1 });
      await until('the job runs', async () => (await jobOf(request, id)).state === 'Running', 60_000);
      const client = await plainClient(broker.url);
      const seen: string[] = [];
      client.on('message', (_topic, payload) => seen.push(payload.toString()));
      await client.subscribeAsync('plant/alerts', { qos: 1 });
      const reading = (seq: number, celsius: number) => JSON.stringify({ device: 'oven', seq, celsius });
      await client.publishAsync('plant/oven/readings', reading(1, 20), { qos: 1 });
      await client.publishAsync('plant/oven/readings', reading(2, 95), { qos: 1 });
      await until('the alert', () => seen.length > 0, 60_000);
      expect(seen.map((payload) => JSON.parse(payload).seq)).toEqual([2]);
      await client.endAsync();
    }, 240_000);

    test('stops with 0 on SIGTERM', async () => {
      service.child.kill('SIGTERM');
      expect(await service.ended).toEqual([0, null]);
      expect(existsSync(join(installed.folder, 'data', 'penstock.db'))).toBe(true);
    });
  });

  test('stops when npx, which started it, ends', async () => {
    const service = await start(installed, 'npx', ['penstock']);
    try {
      service.child.kill('SIGTERM');
      await service.ended;
      expect(service.log()).toContain('"signal":"SIGTERM"');
    } finally {
      service.end();
    }
  }, 240_000);
});

interface Started {
  child: ChildProcess;
  log(): string;
  /** Resolves with exit code and signal when no process writes to the log any more. */
  ended: Promise<unknown[]>;
  end(): void;
}

/** Starts the service by `command`, and waits until it serves. */
async function start(installed: Installed, command: string, args: string[] = []): Promise<Started> {
  const child = spawn(command, args, {
    cwd: installed.folder,
    env: { ...installed.environment, PENSTOCK_PORT: '0' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (chunk) => {
    log += String(chunk);
  });
  const ended = once(child, 'close');
  await until(
    'the package serves',
    () => {
      if (child.exitCode !== null) throw new Error(`the package did not start: ${log}`);
      return log.includes('penstock is serving');
    },
    90_000,
  );
  const pid = Number(/"pid":(\d+)/.exec(log)?.[1]);
  const watcher = watch(pid, installed.folder);
  let closed = false;
  child.once('close', () => {
    closed = true;
  });
  const end = (): void => {
    watcher.kill('SIGKILL');
    if (!closed) process.kill(pid, 'SIGKILL');
  };
  return { child, log: () => log, ended, end };
}
