import { applyMigrations } from '/work/wt/env/src/store/migrations.ts';
import { openDb, closeDb, databaseFailure } from '/work/wt/env/src/store/db.ts';
for (const url of process.argv.slice(2)) {
  try {
    const a = await applyMigrations(url);
    const db = await openDb(url);
    const f = await databaseFailure(db);
    const rows = await db.$queryRawUnsafe(`SELECT table_schema FROM information_schema.tables WHERE table_name='Pipeline'`);
    console.log('OK', url.slice(0,90), a.length, f?.code, JSON.stringify(rows), await db.pipeline.count());
    await closeDb(db);
  } catch (e: any) { console.log('--', url.slice(0,90), '\n     ', e.code, '|', e.message, '|', e.facts?.said, '|', e.hint); if(!e.facts) console.log(e)}
}
