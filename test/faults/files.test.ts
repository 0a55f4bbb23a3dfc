import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { fileFolder, filesBelow } from '../support/files.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient } from '../support/mqtt.ts';
import { Penstock } from '../support/penstock.ts';
import { created, jobOf } from '../support/resources.ts';
import { Traffic } from '../support/traffic.ts';
import { until } from '../support/until.ts';

const soak = process.env.PENSTOCK_SOAK === '1';
const messages = soak ? 50_000 : 400;
const kills = soak ? 3 : 1;

/** Half of the rows go into folders with numbered files. */
const query = (url: string): string => `
  CREATE TABLE readings (seq BIGINT NOT NULL) WITH (connector = 'mqtt', url = '${url}', topic = 'in', type = 'source',
    qos = 'AtLeastOnce', format = 'json');
  CREATE TABLE plain WITH (connector = 'filesystem', type = 'sink', path = 'plain', format = 'json',
    rolling_policy.inactivity_seconds = 1, rolling_policy.file_size_bytes = 4096);
  CREATE TABLE counted WITH (connector = 'filesystem', type = 'sink', path = 'counted', format = 'json',
    rolling_policy.inactivity_seconds = 1, rolling_policy.file_size_bytes = 4096, file_naming.strategy = 'serial',
    partitioning.fields = 'lane');
  INSERT INTO plain SELECT seq FROM readings WHERE seq % 2 = 0;
  INSERT INTO counted SELECT seq, seq % 3 AS lane FROM readings WHERE seq % 2 = 1;`;

/** The numbers in the files of a folder by the number of their rows; files never change, so each is read once. */
function reader(folder: string): { rows: Map<number, number>; read(): string[] } {
  const known = new Set<string>();
  const rows = new Map<number, number>();
  const read = (): string[] => {
    const names = filesBelow(folder).filter((name) => name.endsWith('.json'));
    for (const name of names.filter((name) => !known.has(name))) {
      known.add(name);
      const text = readFileSync(join(folder, name), 'utf8');
      expect(text.endsWith('\n')).toBe(true);
      for (const line of text.split('\n').slice(0, -1)) {
        const { seq } = JSON.parse(line) as { seq: number };
        rows.set(seq, (rows.get(seq) ?? 0) + 1);
      }
    }
    return names;
  };
  return { rows, read };
}

test(`files are whole and hold every row when Penstock and the broker are killed, ${kills} × each`, async () => {
  const folder = fileFolder();
  const broker = await Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true });
  const penstock = await Penstock.start({ PENSTOCK_FILE_DIR: folder });
  const body = { name: 'p', query: query(broker.url), parallelism: 1 };
  const { id } = await created(penstock.request, '/pipelines', body);
  await until('the job runs', async () => (await jobOf(penstock.request, id)).state === 'Running');
  const place = (topic: string) => ({ url: broker.url, topic });
  const traffic = await Traffic.open(place('in'), place('unused'), 1);
  const { rows, read } = reader(folder);
  const strikes = [
    async () => {
      await penstock.kill('SIGKILL');
      await penstock.resume();
    },
    async () => {
      // mosquitto saves its queues when it is asked to end.
      await broker.kill('SIGTERM');
      await broker.resume();
    },
  ];
  const count = kills * strikes.length;
  const due = Array.from({ length: count }, (_, index) => Math.floor(((index + 1) * messages) / (count + 1)));
  let struck = 0;
  let striking = Promise.resolve();
  await traffic.publish(messages, (sent) => {
    while (struck < due.length && sent >= (due[struck] as number)) {
      const strike = strikes[struck % strikes.length] as () => Promise<void>;
      struck += 1;
      striking = striking.then(async () => {
        const before = read().length;
        await until('a file', () => read().length > before || rows.size >= messages, 60_000);
        await strike();
      });
    }
  });
  await striking;
  expect(struck).toBe(count);
  const complete = () => {
    read();
    return rows.size === messages;
  };
  await until('every row', complete, soak ? 600_000 : 60_000);
  await until('no temporary file', () => filesBelow(folder).length === read().length);
  const all = [...rows.values()].reduce((sum, times) => sum + times, 0);
  console.log(`${kills} × each killed: ${all - messages} of ${messages} rows twice`);
}, 900_000);

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
});
