import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { temporaryFolder } from '../support/at-end.ts';
import { BrokerClients } from '../support/broker-clients.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { Penstock, program } from '../support/penstock.ts';
import { created, jobOf, profileBody, tableBody } from '../support/resources.ts';
import { Traffic } from '../support/traffic.ts';
import { until } from '../support/until.ts';

/** Several processes of one machine on one SQLite file. */

const clients = new BrokerClients();
let folder: string;
let settings: Record<string, string>;
let broker: Mosquitto;
let processes: Penstock[];
beforeAll(async () => {
  folder = temporaryFolder('shared');
  settings = {
    PENSTOCK_DATA_DIR: folder,
    PENSTOCK_DATABASE_URL: `file:${join(folder, 'penstock.db')}`,
  };
  broker = await Mosquitto.start({ quiet: true, logged: clients.read });
  // Both at once: one of them creates the tables and the secret key.
  processes = await Promise.all([Penstock.start(settings), Penstock.start(settings)]);
}, 300_000);

test('two processes share its jobs, none runs twice, and the other takes over when one is killed', async () => {
  const [one, two] = processes as [Penstock, Penstock];
  const { id: profile } = await created(one.request, '/connection_profiles', profileBody(broker.url));
  const made = await Promise.all(
    [0, 1, 2, 3].map(async (nth) => {
      // Requests go to both processes, so that both claim some.
      const { request } = nth % 2 === 0 ? one : two;
      const table = (which: string, type: object) =>
        tableBody(`${which}_${nth}`, profile, { topic: `${which}/${nth}`, type });
      await created(request, '/connection_tables', table('in', {}));
      await created(request, '/connection_tables', table('out', { retain: false }));
      const query = `INSERT INTO out_${nth} SELECT * FROM in_${nth}`;
      const { id } = await created(request, '/pipelines', { name: `p${nth}`, query, parallelism: 1 });
      return id;
    }),
  );
  const allRun = async (runs: (runId: number) => boolean) => {
    const jobs = await Promise.all(made.map((id) => jobOf(one.request, id)));
    return jobs.every(({ state, run_id }) => state === 'Running' && runs(run_id));
  };
  await until('all run, begun once', () => allRun((runId) => runId === 1));
  const { url } = broker;
  const traffic = await Promise.all(
    made.map((_, nth) => Traffic.open({ url, topic: `in/${nth}` }, { url, topic: `out/${nth}` }, 1)),
  );
  const ends = traffic.map((each) => each.keepPublishing(25));
  // Another process starts and stops in between.
  const run = promisify(execFile);
  const env = { PATH: process.env.PATH, ...settings };
  await run(process.execPath, [program, 'migrate'], { env });
  const { stdout } = await run(process.execPath, [program, 'keys', 'list'], { env });
  expect(stdout).not.toContain('admin');

  await two.kill('SIGKILL');
  await until('one runs all of them', () => allRun(() => true), 60_000);
  const metrics = async () => (await one.request.get('/metrics')).text;
  await until(
    'and says so',
    async () => (await metrics()).includes('penstock_jobs{state="Running"} 4'),
    60_000,
  );
  await two.resume();
  for (const end of ends) await end();
  for (const each of traffic) {
    await until('all arrive', () => each.arrived === each.sent, 60_000).catch(() => {});
    expect(each.missing.slice(0, 10)).toEqual([]);
    await each.close();
  }
  expect(clients.offences).toEqual([]);
});
