import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { fileFolder, filesBelow, linesBelow } from '../support/files.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient } from '../support/mqtt.ts';
import { Penstock } from '../support/penstock.ts';
import { created, jobOf } from '../support/resources.ts';
import { until } from '../support/until.ts';

const soak = process.env.PENSTOCK_SOAK === '1';
const messages = soak ? 50_000 : 400;
const kills = soak ? 6 : 1;

test(`files are whole and hold every row when the process is killed, ${kills} ×`, async () => {
  const folder = fileFolder();
  const broker = await Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true });
  const penstock = await Penstock.start({ PENSTOCK_FILE_DIR: folder });
  const query = `CREATE TABLE readings (n BIGINT) WITH (connector = 'mqtt', url = '${broker.url}', topic = 'in',
      type = 'source', qos = 'AtLeastOnce', format = 'json');
    CREATE TABLE files WITH (connector = 'filesystem', type = 'sink', path = 'out', format = 'json',
      rolling_policy.inactivity_seconds = 1, rolling_policy.file_size_bytes = 4096);
    INSERT INTO files SELECT n FROM readings`;
  const { id } = await created(penstock.request, '/pipelines', { name: 'p', query, parallelism: 1 });
  const running = async () => (await jobOf(penstock.request, id)).state === 'Running';
  await until('the job runs', running);
  const client = await plainClient(broker.url);
  const send = async (from: number, to: number): Promise<void> => {
    const all = Array.from({ length: to - from }, (_, at) =>
      client.publishAsync('in', JSON.stringify({ n: from + at }), { qos: 1 }),
    );
    await Promise.all(all);
  };
  const seen = (): string[] => filesBelow(folder).filter((name) => name.endsWith('.json'));
  const share = Math.ceil(messages / (kills + 1));
  for (let round = 0; round <= kills; round += 1) {
    const before = seen().length;
    const sent = send(round * share, Math.min(messages, (round + 1) * share));
    if (round < kills) {
      await until('a file', () => seen().length > before, 60_000);
      await penstock.kill('SIGKILL');
      await pause(50);
      await penstock.resume();
    }
    await sent;
  }
  const numbers = (): Set<number> =>
    new Set(
      seen().flatMap((name) =>
        readFileSync(join(folder, name), 'utf8')
          .split('\n')
          .slice(0, -1)
          .map((line) => (JSON.parse(line) as { n: number }).n),
      ),
    );
  await until('every row', () => numbers().size === messages, soak ? 600_000 : 60_000);
  for (const name of seen()) expect(readFileSync(join(folder, name), 'utf8').endsWith('\n')).toBe(true);
  await until('no temporary file', () => filesBelow(folder).length === seen().length);
  console.log(`${kills} × kill -9: ${linesBelow(folder).length - messages} of ${messages} rows twice`);
  await client.endAsync();
}, 700_000);

test('files go through a query, and the example archives readings as parquet', async () => {
  const folder = fileFolder();
  const broker = await Mosquitto.start({ quiet: true });
  const penstock = await Penstock.start({ PENSTOCK_FILE_DIR: folder });
  writeFileSync(
    join(folder, 'in.csv'),
    `n,t\n${Array.from({ length: 1000 }, (_, n) => `${n},"a\nb"`).join('\n')}\n`,
  );
  const query = `CREATE TABLE source (n BIGINT, t TEXT, line BIGINT METADATA FROM 'line') WITH (connector = 'filesystem',
      type = 'source', path = '.', regex_pattern = 'csv$', format = 'csv', 'csv.header' = true);
    CREATE TABLE copy WITH (connector = 'single_file', type = 'sink', path = 'out.json', format = 'json');
    INSERT INTO copy SELECT n, line FROM source WHERE n >= 10`;
  const { id } = await created(penstock.request, '/pipelines', { name: 'copy', query, parallelism: 1 });
  await until('the end', async () => (await jobOf(penstock.request, id)).state === 'Finished', 60_000);
  const lines = readFileSync(join(folder, 'out.json'), 'utf8').split('\n').slice(0, -1);
  expect([lines.length, lines[0]]).toEqual([990, '{"n":10,"line":22}']);

  const text = readFileSync(new URL('../../examples/files.yaml', import.meta.url), 'utf8');
  const bundle = parse(text.replace('mqtt://localhost:1883', broker.url)) as object;
  const applied = await penstock.request.post('/api/v1/apply').send(bundle);
  expect([applied.status, applied.status === 200 ? '' : applied.text]).toEqual([200, '']);
  const { body: list } = await penstock.request.get('/api/v1/pipelines').expect(200);
  const body = (list.data as { id: string; name: string }[]).find(
    ({ name }) => name === 'archive-readings',
  ) as {
    id: string;
  };
  await until(
    'the example runs',
    async () => (await jobOf(penstock.request, body.id)).state === 'Running',
    60_000,
  );
  const client = await plainClient(broker.url);
  await client.publishAsync('plant/1/readings', '{"device":"d1","celsius":21.5}', { qos: 1 });
  await until('a file', () => filesBelow(folder).some((name) => name.endsWith('.parquet')), 60_000);
  expect(filesBelow(folder).at(-1)).toMatch(/^readings\/\d{4}\/\d\d\/\d\d\/[0-9a-f-]{36}\.parquet$/);
  await client.endAsync();
}, 180_000);
