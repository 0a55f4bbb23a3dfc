// A separate process for the tests of the store: it prints `ready`, waits for a line on its standard input, performs the
// operation in its arguments, and prints the result as JSON.
import { once } from 'node:events';
import { PenstockError } from '../../src/errors.ts';
import { closeDb, openDb } from '../../src/store/db.ts';
import { applyMigrations } from '../../src/store/migrations.ts';

const commands = {
  /** Starts as the service does. */
  async start(url: string, folder?: string): Promise<unknown> {
    const applied = await applyMigrations(url, folder);
    const db = await openDb(url);
    await closeDb(db);
    return applied;
  },

  /** Increments `sourceSession.attempts` in transactions that read first. */
  async count(url: string, times: string): Promise<unknown> {
    const db = await openDb(url);
    for (let done = 0; done < Number(times); done += 1) {
      await db.$transaction(async (tx) => {
        const { attempts } = await tx.sourceSession.findUniqueOrThrow({ where: { id: 'counter' } });
        await tx.sourceSession.update({ where: { id: 'counter' }, data: { attempts: attempts + 1 } });
      });
    }
    await closeDb(db);
    return times;
  },
};

const [command, url = '', argument] = process.argv.slice(2);
console.log('ready');
await once(process.stdin, 'data');
try {
  const answer = await commands[command as keyof typeof commands](url, argument as string);
  console.log(JSON.stringify({ answer }));
} catch (error) {
  const code = error instanceof PenstockError ? error.code : String(error);
  console.log(JSON.stringify({ code }));
}
process.stdin.destroy();
