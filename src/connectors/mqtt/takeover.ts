import { PenstockError } from '../../errors.ts';

/**
 * Two clients with one id take the session from each other for ever. One takeover is how a task moves to another
 * worker, so it is passing; a second one within the minute means that somebody else holds on to the id.
 */

const memoryMs = 60_000;
const mostRemembered = 1_000;

/** When each identity, `client id@address`, was last taken over; oldest first. */
const lastTakeover = new Map<string, number>();

/** The error for a server that says "session taken over" (0x8E) to `identity` at `now` (milliseconds). */
export function takenOver(identity: string, now: number = performance.now()): PenstockError {
  const before = lastTakeover.get(identity);
  lastTakeover.delete(identity);
  lastTakeover.set(identity, now);
  if (lastTakeover.size > mostRemembered) {
    const oldest = lastTakeover.keys().next();
    if (!oldest.done) lastTakeover.delete(oldest.value);
  }
  if (before === undefined || now - before > memoryMs) {
    return new PenstockError(
      'connection_lost',
      'Another client took over the session of this client id (0x8E)',
    );
  }
  return new PenstockError(
    'mqtt_client_id_in_use',
    'Another client keeps taking over the session of this client id (0x8E)',
    { hint: 'Find the other client with this id, or give this profile a clientPrefix of its own.' },
  );
}
