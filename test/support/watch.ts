import { type ChildProcess, spawn } from 'node:child_process';

/**
 * Ends a server and removes its folder when this process ends, however that ends: interrupted and killed too. Kill
 * what it answers, with SIGKILL, before the server is stopped on purpose.
 */
export const watch = (pid: number, folder: string): ChildProcess =>
  spawn('/bin/sh', ['-c', 'cat > /dev/null; kill -9 "$0"; rm -rf "$1"', String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
