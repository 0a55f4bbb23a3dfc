import { nowMicros } from './clock.ts';
import { type Db, providerIn } from './db.ts';

/**
 * Writes the statistics of tasks that this worker has, and skips others. In one statement: a worker writes some of its tasks
 * every two seconds, and Prisma would compile a larger query each time.
 */
export async function writeStats(
  db: Db,
  worker: string,
  rows: readonly { id: string; stats: string }[],
): Promise<void> {
  const given = JSON.stringify(rows);
  const now = nowMicros();
  if (providerIn(db) === 'sqlite')
    // A CROSS JOIN is not reordered: the text is read once, and not for each task.
    await db.$executeRaw`INSERT INTO "TaskStats" ("taskId", "jobId", "updatedAt", "stats")
      SELECT t."id", t."jobId", ${now}, j."value" ->> 'stats'
      FROM json_each(${given}) j CROSS JOIN "Task" t ON t."id" = j."value" ->> 'id' WHERE t."worker" = ${worker}
      ON CONFLICT ("taskId") DO UPDATE SET "updatedAt" = excluded."updatedAt", "stats" = excluded."stats"`;
  else
    await db.$executeRaw`INSERT INTO "TaskStats" ("taskId", "jobId", "updatedAt", "stats")
      SELECT t."id", t."jobId", ${now}, j."stats"
      FROM json_to_recordset(${given}::json) AS j("id" text, "stats" text) JOIN "Task" t ON t."id" = j."id"
      WHERE t."worker" = ${worker}
      ON CONFLICT ("taskId") DO UPDATE SET "updatedAt" = excluded."updatedAt", "stats" = excluded."stats"`;
}
