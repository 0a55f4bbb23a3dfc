import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { databases, execute } from './support/databases.ts';
import { plainClient } from './support/mqtt.ts';
import { useProcessRig } from './support/rig.ts';
import { until } from './support/until.ts';

const root = join(import.meta.dirname, '..');

/** Runs the instructions of README and the documents literally. */
describe('the tour', () => {
  const rig = useProcessRig();

  /** The commands of README's tour, with the addresses of this test and without mosquitto's own clients. */
  function commands(database: string): string {
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    const tour = readme.slice(readme.indexOf('## A tour in'), readme.indexOf('## Running it'));
    const blocks = [...tour.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1] as string);
    const ours = blocks.filter((block) => !/npm start|mosquitto_/.test(block));
    expect(ours.length).toBeGreaterThan(4);
    return ours
      .join('\n')
      .replaceAll('http://127.0.0.1:5115', rig.penstock.address)
      .replaceAll('localhost:1883', `127.0.0.1:${rig.broker.port}`)
      .replaceAll('postgresql://postgres@localhost:5432/plant', database);
  }

  /** Runs bash without a terminal; rejects, with what it printed, when it fails. */
  const bash = (script: string, ...args: string[]) => {
    const running = promisify(execFile)('bash', ['-c', script, 'bash', ...args], { timeout: 120_000 });
    running.child.stdin?.end();
    return running;
  };

  test('of README ends with working pipelines', async () => {
    const database = await databases[1].create();
    const { stdout, stderr } = await bash(`set -euo pipefail\n${commands(database.url)}`);
    expect(stderr).toBe('');
    expect(stdout).not.toContain('"status":4');
    await until('all pipelines run', async () => {
      const { body } = await rig.penstock.request.get('/api/v1/jobs');
      return body.data.length === 3 && body.data.every(({ state }: { state: string }) => state === 'Running');
    });
    const client = await plainClient(rig.broker.url);
    const seen: string[] = [];
    client.on('message', (topic, payload) => seen.push(`${topic} ${payload}`));
    await client.subscribeAsync(['plant/alerts', 'sensor/copy'], { qos: 1 });
    await client.publishAsync('plant/oven-1/readings', '{"device": "oven-1", "celsius": 95.5}', { qos: 1 });
    await client.publishAsync('plant/oven-2/readings', '{"device": "oven-2", "celsius": 20}', { qos: 1 });
    await client.publishAsync('sensor/data', '{"value": "x"}', { qos: 1 });
    await until('both answers', async () => seen.length >= 2);
    expect(seen.toSorted()).toEqual([
      'plant/alerts {"device":"oven-1","celsius":95.5}',
      'sensor/copy {"value":"x"}',
    ]);
    const rows = () => execute(database.url, 'SELECT * FROM readings ORDER BY celsius');
    await until('both rows', async () => (await rows()).length === 2);
    expect(await rows()).toEqual([
      { device: 'oven-2', celsius: 20 },
      { device: 'oven-1', celsius: 95.5 },
    ]);
  });

  test('of examples/tour.sh runs, twice, and leaves nothing behind', async () => {
    const before = (await rig.penstock.request.get('/api/v1/connection_profiles')).body.data.length;
    for (const _ of [1, 2]) {
      const { stdout, stderr } = await bash(
        '"$@"',
        join(root, 'examples/tour.sh'),
        rig.broker.url,
        rig.penstock.address,
      );
      expect(stderr).toBe('');
      expect(stdout).toContain('is running');
      expect(stdout).toContain('Removed.');
    }
    expect((await rig.penstock.request.get('/api/v1/connection_profiles')).body.data).toHaveLength(before);
  });
});
