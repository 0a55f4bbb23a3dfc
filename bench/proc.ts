import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

/** Resource usage of processes, read from /proc (Linux only). */

/** Throws if there is no /proc. */
export function assertProc(): void {
  if (existsSync('/proc/self/stat')) return;
  throw new Error('the benchmark reads CPU time and memory from /proc, so it needs Linux');
}

/** CPU time of a process with all its threads, in microseconds. The kernel counts in steps of about 10 ms. */
export function cpuMicros(pid: number): number {
  // The second field is the name in parentheses, which may itself contain spaces and parentheses.
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system] = [fields[11], fields[12]].map(Number);
  if (user === undefined || system === undefined) throw new Error(`/proc/${pid}/stat is not as expected`);
  return (user + system) * tickMicros;
}

/** Peak resident memory of a process since its start, in bytes. */
export const peakBytes = (pid: number): number => statusBytes(pid, 'VmHWM');

/** Current resident memory of a process, in bytes. */
export const residentBytes = (pid: number): number => statusBytes(pid, 'VmRSS');

function statusBytes(pid: number, name: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1];
  if (kilobytes === undefined) throw new Error(`/proc/${pid}/status has no ${name}`);
  return Number(kilobytes) * 1024;
}

const tickMicros = 1_000_000 / ticksPerSecond();

function ticksPerSecond(): number {
  const { stdout } = spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' });
  // 100 on every Linux that Node.js supports.
  return Number(stdout?.trim()) || 100;
}
