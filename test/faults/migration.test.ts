import { expect, test } from 'vitest';
import { databases, execute } from '../support/databases.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { Penstock } from '../support/penstock.ts';
import { created, createTables, jobOf } from '../support/resources.ts';
import { Traffic } from '../support/traffic.ts';
import { until } from '../support/until.ts';

/** A database as version 0.2.0 leaves it when it is killed: workers held leases on whole jobs. */

const migration = '20261129010008_workers_and_tasks';

/** Takes the tables back to those of 0.2.0, with a lease of a worker that is gone and counts of the job. */
const asBefore = (provider: string): string[] => {
  const time = Date.now() * 1000 + 10_000_000;
  return [
    'DROP TABLE "TaskStats"',
    'DROP TABLE "Task"',
    'DROP TABLE "Worker"',
    ...(provider === 'postgresql' ? ['DROP SCHEMA penstock_placement CASCADE'] : []),
    'ALTER TABLE "Pipeline" DROP COLUMN "placement"',
    'ALTER TABLE "Job" DROP COLUMN "epoch"',
    'ALTER TABLE "Job" ADD COLUMN "leaseUntil" BIGINT',
    'CREATE INDEX "Job_leaseUntil_idx" ON "Job"("leaseUntil")',
    `CREATE TABLE "JobStats" ("jobId" TEXT NOT NULL PRIMARY KEY, "updatedAt" BIGINT NOT NULL, "stats" TEXT NOT NULL,
       CONSTRAINT "JobStats_jobId_fkey" FOREIGN KEY ("jobId") REFERENCES "Job" ("id") ON DELETE CASCADE ON UPDATE CASCADE)`,
    `INSERT INTO "JobStats" SELECT "id", ${time}, '{"at":1,"tasks":[]}' FROM "Job"`,
    `UPDATE "Job" SET "state" = 'Running', "worker" = 'elsewhere/1/0a0b0c0d', "leaseUntil" = ${time}`,
    `DELETE FROM "_prisma_migrations" WHERE "migration_name" = '${migration}'`,
  ];
};

test.each(databases)(
  'jobs that ran under 0.2.0 on $provider go on, and lose nothing',
  async ({ provider, create }) => {
    const broker = await Mosquitto.start({ quiet: true });
    const { url } = await create();
    const penstock = await Penstock.start({ PENSTOCK_DATABASE_URL: url });
    const { request } = penstock;
    await createTables(request, broker.url);
    const query = 'INSERT INTO alerts SELECT * FROM readings';
    const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
    await until('it runs', async () => (await jobOf(request, id)).state === 'Running');
    const at = (topic: string) => ({ url: broker.url, topic });
    const traffic = await Traffic.open(at('plant/x/readings'), at('plant/alerts'), 1);
    await traffic.publish(50);
    await until('messages arrive', () => traffic.arrived === 50);
    await penstock.kill('SIGKILL');
    for (const statement of asBefore(provider)) await execute(url, statement);
    await traffic.publish(50);

    await penstock.resume();
    await until('everything arrives', () => traffic.arrived === 100, 60_000).catch(() => {});
    expect(traffic.missing).toEqual([]);
    // Messages may arrive before the row shows that another run has begun.
    await until('it runs again', async () => {
      const { state, run_id } = await jobOf(request, id);
      return state === 'Running' && run_id !== 1;
    });
    expect((await jobOf(request, id)).run_id).toBe(2);
  },
  300_000,
);
