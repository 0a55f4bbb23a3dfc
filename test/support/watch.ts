import { type ChildProcess, spawn } from 'node:child_process';

/**
 * Ends a server and removes its folder when this process ends in any way, even by an interrupt or kill. Before stopping the
 * server on purpose, kill the returned process with SIGKILL.
 */
export const watch = (pid: number, folder: string): ChildProcess =>
  spawn('/bin/sh', ['-c', 'cat > /dev/null; kill -9 "$0"; rm -rf "$1"', String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
