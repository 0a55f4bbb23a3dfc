import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Resource usage of processes, read from /proc (Linux only). */

/** Throws if there is no /proc. */
export function assertProc(): void {
  if (existsSync('/proc/self/stat')) return;
  throw new Error('the benchmark reads CPU time and memory from /proc, so it needs Linux');
}

/** CPU time of a process with all its threads, in microseconds. The kernel counts in steps of about 10 ms. */
export function cpuMicros(pid: number): number {
  const fields = statFields(pid);
  const [user, system] = [fields?.[11], fields?.[12]].map(Number);
  if (!(Number(user) + Number(system) >= 0)) throw new Error(`/proc/${pid}/stat is not as expected`);
  return (Number(user) + Number(system)) * tickMicros;
}

/** CPU time of a process and of all that it started, whether they run or have ended, in microseconds. */
export function familyMicros(pid: number): number {
  const all = readdirSync('/proc').flatMap((name) => {
    const fields = /^\d+$/.test(name) ? statFields(Number(name)) : undefined;
    return fields ? [{ id: Number(name), parent: Number(fields[1]), fields }] : [];
  });
  const sum = all
    .filter(({ id, parent }) => id === pid || parent === pid)
    .flatMap(({ id, fields }) => fields.slice(11, id === pid ? 15 : 13))
    .reduce((total, ticks) => total + Number(ticks), 0);
  return sum * tickMicros;
}

export const parentOf = (pid: number): number => Number(statFields(pid)?.[1]);

/** The fields after the name; undefined if the process has ended. */
function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the name in parentheses, which may itself contain spaces and parentheses.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
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

/** CPU time and wake-ups of a thread since its start. */
export interface ThreadUse {
  name: string;
  micros: number;
  /** How often it began to wait: each wait ends with a wake-up. */
  wakeUps: number;
}

/** CPU time of each thread of a process, exact to the microsecond, and its wake-ups. By thread id. */
export function threadUse(pid: number): Map<string, ThreadUse> {
  const folder = `/proc/${pid}/task`;
  return new Map(
    readdirSync(folder).flatMap((id) => {
      try {
        const read = (name: string): string => readFileSync(`${folder}/${id}/${name}`, 'utf8');
        const wakeUps = Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(read('status'))?.[1]);
        const micros = Number(read('schedstat').split(' ')[0]) / 1000;
        return [[id, { name: read('comm').trim(), micros, wakeUps }]];
      } catch {
        // The thread has ended.
        return [];
      }
    }),
  );
}
