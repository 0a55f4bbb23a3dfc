import { PenstockError } from '../../../errors.ts';
import { mqttError } from '../config/errors.ts';
import { remember } from './remember.ts';

/**
 * Two clients with one id take the session from each other for ever. One takeover is how a task moves to another
 * worker, so it is passing; a second one within the minute means that somebody else holds on to the id.
 *
 * MQTT 5 has a reason code for it. Where the broker only closes the connection, that may have other reasons: a third
 * time within the minute is a suspicion, which `rival.ts` looks into.
 */

const memoryMs = 60_000;
const suspicious = 3;

/** When each identity, `client id@address`, was last taken over. */
const lastTakeover = new Map<string, number>();

/** When the broker closed the connection of each identity without a word. */
const hangUps = new Map<string, number[]>();

/** The error for a server that says "session taken over" (0x8E) to `identity` at `now` (milliseconds). */
export function takenOver(identity: string, now: number = performance.now()): PenstockError {
  const before = lastTakeover.get(identity);
  remember(lastTakeover, identity, now);
  if (before === undefined || now - before > memoryMs) {
    return new PenstockError(
      'connection_lost',
      'Another client took over the session of this client id (0x8E)',
    );
  }
  return idInUse('Another client keeps taking over the session of this client id (0x8E)');
}

export const idInUse = (message: string): PenstockError =>
  mqttError('mqtt_client_id_in_use', message, {
    hint: 'Find the other client with this id, or give this profile a clientPrefix of its own.',
  });

/** Notes that a server closed the connection of `identity` without a word; answers how often within a minute. */
export function hungUp(identity: string, now: number = performance.now()): number {
  const recent = (hangUps.get(identity) ?? []).filter((at) => now - at <= memoryMs).slice(-9);
  recent.push(now);
  remember(hangUps, identity, recent);
  return recent.length;
}

/** Whether another client may be what ends the connections of `identity`. */
export function isSuspicious(identity: string, now: number = performance.now()): boolean {
  const recent = (hangUps.get(identity) ?? []).filter((at) => now - at <= memoryMs);
  return recent.length >= suspicious;
}

/** Begins to count anew. */
export function absolve(identity: string): void {
  hangUps.delete(identity);
}
