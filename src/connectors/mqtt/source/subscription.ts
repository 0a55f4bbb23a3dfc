import type { RunContext } from '../../connector.ts';
import { mqttError } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import { isOwnShare, type MqttTable, qosOf, sourceOf } from '../config/table.ts';
import { splitShared } from '../config/topic.ts';
import type { Connection } from '../connection/connection.ts';
import { lowered } from '../connection/lowered-qos.ts';

/** What a source's session is subscribed to, and how that changes while messages are queued in it. */

type Context = RunContext<MqttProfile, MqttTable>;

/**
 * Subscribes at every connection, also in a resumed session: that is harmless, and tells of lost rights. What the table
 * does not ask for any more is taken back after that, so that at no time nobody is subscribed.
 */
export async function subscribeAs(context: Context, connection: Connection): Promise<void> {
  const { table, signal, warn } = context;
  refuseUnproven(table.topic, connection.version);
  const asked = qosOf(table);
  const granted = await connection.subscribe(table.topic, asked, signal, sourceOf(table)?.retained);
  if (granted < asked)
    warn(lowered(table.topic, asked, granted, 'The broker grants less than the table asks for'));
  if (!connection.limits.sessionPresent) warnOfRetained(context);
  await connection.unsubscribe(
    formerFilters(context).filter((filter) => filter !== table.topic),
    signal,
  );
}

/** Takes back everything that the session may be subscribed to. */
export const unsubscribe = (context: Context, connection: Connection): Promise<void> =>
  connection.unsubscribe([...new Set([context.table.topic, ...formerFilters(context)])], context.signal);

const formerFilters = ({ session }: Context): string[] => [
  ...new Set(session?.former.map(({ topic }) => topic)),
];

/** A 3.1.1 broker that has no shared subscriptions takes the filter for that of an ordinary topic, and nothing comes. */
function refuseUnproven(filter: string, version: 4 | 5): void {
  if (version === 5 || !isOwnShare(filter)) return;
  throw mqttError(
    'mqtt_shared_unsupported',
    'With MQTT 3.1.1 it cannot be known whether the broker has shared subscriptions',
    {
      hint:
        'Let the profile speak MQTT 5, set the parallelism to 1, or, if you know that the broker has them, write ' +
        '$share/<name>/<filter> as the topic of the table.',
    },
  );
}

function warnOfRetained({ table, warn }: Context): void {
  if (!isOwnShare(table.topic) || sourceOf(table)?.retained === 'never') return;
  warn(
    mqttError(
      'mqtt_retained_not_shared',
      `The retained messages of ${splitShared(table.topic).filter} are not read: several tasks share it (MQTT 4.8.2)`,
      {
        hint: 'Set the parallelism to 1 if they matter, or retained of the table to never if they do not.',
      },
    ),
  );
}
