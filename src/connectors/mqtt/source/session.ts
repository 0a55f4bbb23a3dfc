import { setTimeout as sleep } from 'node:timers/promises';
import { PenstockError } from '../../../errors.ts';
import type { Identity, Reachable, RunContext } from '../../connector.ts';
import { mqttError } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import { isOwnShare, type MqttTable, qosOf, sourceOf } from '../config/table.ts';
import { splitShared } from '../config/topic.ts';
import { connect } from '../connection/client.ts';
import { clientId, probeClient, taskClient } from '../connection/connect-request.ts';
import type { Connection } from '../connection/connection.ts';
import { qosDowngraded } from '../connection/qos-downgrade.ts';

/** The session of a source on the broker: what it is subscribed to, whether two are the same, and how to remove one. */

type SourceContext = RunContext<MqttProfile, MqttTable>;

/**
 * Subscribes at every connection, also in a resumed session: this is harmless, and detects revoked rights. Former
 * subscriptions are removed afterwards, so that there is no gap.
 */
export async function subscribeAs(context: SourceContext, connection: Connection): Promise<void> {
  const { table, signal, warn } = context;
  refuseUncertain(table.topic, connection.version);
  const asked = qosOf(table);
  const granted = await connection.subscribe(table.topic, asked, signal, sourceOf(table)?.retained);
  if (granted < asked)
    warn(qosDowngraded(table.topic, asked, granted, 'The broker granted a lower QoS than requested'));
  if (!connection.limits.sessionPresent) warnOfUnreadRetained(context);
  await connection.unsubscribe(
    formerFilters(context).filter((filter) => filter !== table.topic),
    signal,
  );
}

export const unsubscribe = (context: SourceContext, connection: Connection): Promise<void> =>
  connection.unsubscribe([...new Set([context.table.topic, ...formerFilters(context)])], context.signal);

const formerFilters = ({ session }: SourceContext): string[] => [
  ...new Set(session?.former.map(({ topic }) => topic)),
];

/** A 3.1.1 broker without shared subscriptions treats the filter as an ordinary topic, and no message arrives. */
function refuseUncertain(filter: string, version: 4 | 5): void {
  if (version === 5 || !isOwnShare(filter)) return;
  throw mqttError(
    'mqtt_shared_unsupported',
    'With MQTT 3.1.1 the broker cannot report whether it supports shared subscriptions',
    {
      hint:
        'Use MQTT 5 (protocolVersion auto or 5), or set the parallelism to 1. If you know that the broker supports them, ' +
        'set the topic of the table to $share/<name>/<filter>.',
    },
  );
}

function warnOfUnreadRetained({ table, warn }: SourceContext): void {
  if (!isOwnShare(table.topic) || sourceOf(table)?.retained === 'never') return;
  warn(
    mqttError(
      'mqtt_retained_not_shared',
      `Retained messages of ${splitShared(table.topic).filter} are not read, because several tasks share the subscription (MQTT 4.8.2)`,
      {
        hint: 'Set the parallelism to 1 to read them, or set retained of the table to never to accept this.',
      },
    ),
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

/** Removes the session of a source from the broker, with its queued messages. Throws like `connect`. */
export async function forget(
  context: Omit<RunContext<MqttProfile, MqttTable>, 'window' | 'warn'>,
): Promise<void> {
  const connection = await connect({ ...taskClient(context), signal: context.signal });
  await connection.close();
}
