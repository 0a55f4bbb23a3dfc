/**
 * Which worker runs a job. A worker holds a job by a lease on its row and renews it; when it dies the lease stays as it is,
 * and a worker that has watched it for so long takes over. Two workers can still overlap for a moment (a process that was frozen): what then
 * keeps a message from being run twice is the broker, which knows one client per client id.
 */

/** A worker process. Unique for ever: process ids and host names are used again, nonces are not. */
export interface Owner {
  host: string;
  pid: number;
  nonce: string;
}

/** How long a job stays with a worker that does not renew. */
export const leaseTtlMs = 15_000;
export const renewEveryMs = 5_000;

export const ownerName = ({ host, pid, nonce }: Owner): string => `${host}/${pid}/${nonce}`;

/**
 * Whether the worker called `name` can still be alive, seen from `me`. It is known to be dead only when it ran on
 * this host and its process is gone, or its process id is ours now. `probe` throws when there is no such process.
 */
export function isOwnerAlive(name: string, me: Owner, probe: (pid: number) => void): boolean {
  const [host, pid, nonce] = name.split('/');
  if (host !== me.host) return true;
  if (Number(pid) === me.pid) return nonce === me.nonce;
  try {
    probe(Number(pid));
    return true;
  } catch (error) {
    // EPERM: there is such a process, of another user.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
