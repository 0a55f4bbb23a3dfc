import { setTimeout as pause } from 'node:timers/promises';
import { PenstockError } from '../../../errors.ts';
import type { Identity, Reachable } from '../../connector.ts';
import { clientId, visitor } from '../config/identity.ts';
import type { MqttProfile } from '../config/profile.ts';
import { connect } from '../connection/client.ts';
import type { Connection } from '../connection/connection.ts';

/** A broker that hands a session over does so before it accepts the newcomer; the servers of a cluster may take longer. */
const handOverMs = 3_000;

/**
 * Whether two profiles lead an identity to one session: the same client id at the same broker, which may have several
 * addresses. A visitor connects by both: only one broker throws the first one out for the second. See `isSameSession` in
 * the connector contract.
 */
export async function isSameSession(
  now: Reachable<MqttProfile>,
  former: Reachable<MqttProfile>,
  identity: Identity,
  signal: AbortSignal,
): Promise<boolean | undefined> {
  if (clientId(now.profile, identity) !== clientId(former.profile, identity)) return false;
  const stranger = visitor(now);
  const first = await unlessRefused(connect({ ...stranger, signal }));
  if (!first) return undefined;
  try {
    const second = await connect({ ...visitor(former), clientId: stranger.clientId, signal }).catch(nobody);
    if (!second) return undefined;
    try {
      return await isThrownOut(first, signal);
    } finally {
      await second.close();
    }
  } finally {
    await first.close();
  }
}

const nobody = (error: unknown): undefined => {
  if (!(error instanceof PenstockError)) throw error;
};

/** Undefined where visitors are not let in. What passes is thrown. */
const unlessRefused = (connecting: Promise<Connection>): Promise<Connection | undefined> =>
  connecting.catch((error: unknown) => {
    if (error instanceof PenstockError && !error.passing) return undefined;
    throw error;
  });

async function isThrownOut(connection: Connection, signal: AbortSignal): Promise<boolean> {
  const { promise: thrownOut, resolve } = Promise.withResolvers<boolean>();
  connection.whenLost(() => resolve(true));
  if (await Promise.race([thrownOut, pause(handOverMs, false, { signal })])) return true;
  return Promise.race([thrownOut, connection.ping(signal).then(() => false)]);
}
