import { setTimeout as sleep } from 'node:timers/promises';
import { PenstockError } from '../../../errors.ts';
import type { Identity, Reachable, RunContext } from '../../connector.ts';
import { mqttError } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import { type MqttTable, qosOf, sourceOf } from '../config/table.ts';
import { isShared, splitShared } from '../config/topic.ts';
import { sharedLiterally, sharesLiterally } from '../connection/broker-tests.ts';
import { connect } from '../connection/client.ts';
import { clientId, probeClient, taskClient } from '../connection/connect-request.ts';
import type { Connection } from '../connection/connection.ts';
import { keptFor } from '../connection/granted.ts';
import { qosDowngraded } from '../connection/qos-downgrade.ts';

/** The session of a source on the broker: what it is subscribed to, whether two are the same, and how to remove one. */

type SourceContext = RunContext<MqttProfile, MqttTable>;

/**
 * Subscribes at every connection, also in a resumed session: this is harmless, and detects revoked rights. Former
 * subscriptions are removed later, so that there is no gap.
 */
export async function subscribeAs(context: SourceContext, connection: Connection): Promise<void> {
  const { table, signal, warn } = context;
  const asked = qosOf(table);
  const granted = await connection.subscribe(table.topic, asked, signal, sourceOf(table)?.retained);
  if (granted < asked)
    warn(qosDowngraded(table.topic, asked, granted, 'The broker granted a lower QoS than requested'));
  if (!connection.limits.sessionPresent) warnOfUnreadRetained(context);
}

/** The filters that a session is no longer to be subscribed to: those of former tables, and its own when it is drained. */
export const unwantedFilters = ({ session, table }: SourceContext): string[] => {
  const former = session?.former.map(({ topic }) => topic) ?? [];
  const all = session?.drain ? [table.topic, ...former] : former.filter((topic) => topic !== table.topic);
  return [...new Set(all)];
};

function warnOfUnreadRetained({ table, warn }: SourceContext): void {
  if (!isShared(table.topic) || [undefined, 'never'].includes(sourceOf(table)?.retained)) return;
  warn(
    mqttError(
      'mqtt_retained_not_shared',
      `Retained messages of ${splitShared(table.topic).filter} are not read: brokers send none to a shared subscription (MQTT 4.8.2)`,
      {
        hint: 'Use the filter without $share to read them, or set retained of the table to never to accept this.',
      },
    ),
  );
}

export async function warnOfLiteralShare(context: SourceContext): Promise<void> {
  if ((await sharesLiterally(context)) === true) context.warn(sharedLiterally(context.table.topic));
}

export function sessionLost(profile: MqttProfile, connection: Connection): PenstockError {
  return mqttError(
    'mqtt_session_lost',
    'The broker no longer has the session: messages that were queued in it are lost',
    {
      hint:
        'Make the broker persist sessions across restarts (mosquitto: persistence true), and keep them while a ' +
        `pipeline can be stopped. ${keptFor(profile, connection)}`,
    },
  );
}

/** A single broker closes the first connection before it accepts the second; the servers of a cluster take longer. */
const takeoverMs = 3_000;

/**
 * Whether two profiles give an identity the same session: the same client id at one broker, which may have several
 * addresses. A probe client connects through both with one id: only the same broker closes the first connection. See
 * `isSameSession` in the connector contract.
 */
export async function isSameSession(
  now: Reachable<MqttProfile>,
  former: Reachable<MqttProfile>,
  identity: Identity,
  signal: AbortSignal,
): Promise<boolean | undefined> {
  if (clientId(now.profile, identity) !== clientId(former.profile, identity)) return false;
  const probe = probeClient(now);
  const first = await unlessRefused(connect({ ...probe, signal }));
  if (!first) return undefined;
  try {
    const second = await connect({ ...probeClient(former), clientId: probe.clientId, signal }).catch(
      undefinedIfKnown,
    );
    if (!second) return undefined;
    try {
      return await isTakenOver(first, signal);
    } finally {
      await second.close();
    }
  } finally {
    await first.close();
  }
}

const undefinedIfKnown = (error: unknown): undefined => {
  if (!(error instanceof PenstockError)) throw error;
};

/** Undefined if the broker refuses probe clients. A transient error is thrown. */
const unlessRefused = (connecting: Promise<Connection>): Promise<Connection | undefined> =>
  connecting.catch((error: unknown) => {
    if (error instanceof PenstockError && !error.passing) return undefined;
    throw error;
  });

async function isTakenOver(connection: Connection, signal: AbortSignal): Promise<boolean> {
  const { promise: takenOver, resolve } = Promise.withResolvers<boolean>();
  connection.whenLost(() => resolve(true));
  if (await Promise.race([takenOver, sleep(takeoverMs, false, { signal })])) return true;
  return Promise.race([takenOver, connection.ping(signal).then(() => false)]);
}

/** Removes the session of a source or an exact sink from the broker, with its queued messages. Throws like `connect`. */
export async function forget(
  context: Omit<RunContext<MqttProfile, MqttTable>, 'schema' | 'window' | 'warn'>,
): Promise<void> {
  const connection = await connect({ ...taskClient(context), signal: context.signal });
  await connection.close();
}

export const unsubscribedEarly = (filters: readonly string[], minutes: number): PenstockError =>
  mqttError(
    'mqtt_unsubscribed_early',
    `Messages were still queued under ${filters.join(', ')} when it was unsubscribed, after ${minutes} minutes`,
    {
      hint: 'Some brokers drop such messages (ActiveMQ), others still deliver them (mosquitto). Check the rate of the topic, and the speed of the sink.',
    },
  );
