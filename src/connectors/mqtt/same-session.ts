import { setTimeout as pause } from 'node:timers/promises';
import type { Identity, Reachable } from '../connector.ts';
import { connect } from './client.ts';
import type { Connection } from './connection.ts';
import { clientId, visitor } from './identity.ts';
import type { MqttProfile } from './profile.ts';

/** A broker that hands a session over does so before it accepts the newcomer; the servers of a cluster may take longer. */
const handOverMs = 1_000;

/**
 * Whether two profiles lead an identity to one session: the same client id at the same broker, which may have several
 * addresses. A stranger connects by both: only one broker throws the first one out for the second. Throws like
 * connecting does.
 */
export async function isSameSession(
  one: Reachable<MqttProfile>,
  other: Reachable<MqttProfile>,
  identity: Identity,
  signal: AbortSignal,
): Promise<boolean> {
  if (clientId(one.profile, identity) !== clientId(other.profile, identity)) return false;
  const stranger = visitor(one);
  const first = await connect({ ...stranger, signal });
  try {
    const second = await connect({ ...visitor(other), clientId: stranger.clientId, signal });
    try {
      return await isThrownOut(first, signal);
    } finally {
      await second.close();
    }
  } finally {
    await first.close();
  }
}

async function isThrownOut(connection: Connection, signal: AbortSignal): Promise<boolean> {
  const { promise: thrownOut, resolve } = Promise.withResolvers<boolean>();
  connection.whenLost(() => resolve(true));
  if (await Promise.race([thrownOut, pause(handOverMs, false, { signal })])) return true;
  return Promise.race([thrownOut, connection.ping(signal).then(() => false)]);
}
