// Plain JavaScript for Node 20, like everything that runs before the Node that Penstock needs.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

/** Returns our parent process and, on Linux, its parent. */
function ancestors() {
  try {
    const afterName = readFileSync(`/proc/${process.ppid}/stat`, 'utf8').split(') ').at(-1);
    const [, grandparent] = afterName.split(' ');
    return `${process.ppid} ${grandparent}`;
  } catch {
    // No such file: another system, or the parent has just ended.
    return String(process.ppid);
  }
}

/** Calls `then` when npm, which started this process through a shell, has ended. Neither passes SIGTERM on. */
export function whenNpmEnds(then) {
  const before = ancestors();
  const timer = setInterval(() => {
    if (ancestors() === before) return;
    clearInterval(timer);
    then();
  }, 500);
  timer.unref();
}

/** Runs `node` with `args` in place of this process: passes on SIGTERM, SIGHUP and `more`, and ends with its exit code. */
export function runNode(node, args, more = [], options = {}) {
  const child = spawn(node, args, { stdio: 'inherit', ...options });
  for (const signal of ['SIGTERM', 'SIGHUP', ...more]) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`penstock: ${node} does not start: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : (code ?? 1)));
  return child;
}
