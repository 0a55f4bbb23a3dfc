import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('process.ts', import.meta.url));

/** One run of process.ts, ready to start. */
interface Runner {
  go(): void;
  /** Its last line of output; rejects if it dies before. */
  answer: Promise<{ answer?: unknown; code?: string }>;
  kill(): Promise<void>;
}

/** Starts process.ts with `args` and waits until it is ready. */
export async function startRunner(...args: string[]): Promise<Runner> {
  const child = spawn(process.execPath, [script, ...args]);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk));
  const line = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`process.ts ended early\n${errors}`);
    return value;
  };
  await line();
  const answer = line().then((text) => JSON.parse(text));
  answer.catch(() => {}); // a test that kills the process does not wait for it
  return { go: () => child.stdin.write('go\n'), answer, kill: () => kill(child) };
}

/** Starts `count` of them at the same time. */
export async function runTogether(
  count: number,
  ...args: string[]
): Promise<{ answer?: unknown; code?: string }[]> {
  const runners = await Promise.all(Array.from({ length: count }, () => startRunner(...args)));
  for (const runner of runners) runner.go();
  return Promise.all(runners.map((runner) => runner.answer));
}

async function kill(child: ChildProcessWithoutNullStreams): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
