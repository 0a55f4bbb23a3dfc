import { randomBytes } from 'node:crypto';
import { PenstockError } from '../../../errors.ts';
import type { Reachable, RunContext } from '../../connector.ts';
import { forUpTo, untilReported } from '../../network/deadline.ts';
import { constantParts } from '../../network/template.ts';
import { mqttError } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import { direction, type MqttTable } from '../config/table.ts';
import { isShared, splitShared } from '../config/topic.ts';
import { connect } from './client.ts';
import { probeClient } from './connect-request.ts';
import type { Connection } from './connection.ts';

/**
 * Finds out whether a broker takes a topic for another one without a word: RabbitMQ takes `.` for `/`, and `*` for a
 * wildcard. It is tried out on a topic of its own, as brokers do not say who they are.
 */

const waitMs = 1_000;
interface Suspect {
  character: string;
  /** Whether it is a whole level of a filter. */
  level: boolean;
}

/** Parts of a table's topic that mean something in the protocols that brokers translate MQTT into. */
export function suspectsIn(table: MqttTable): Suspect[] {
  const source = direction(table) === 'source';
  const topic = isShared(table.topic) ? splitShared(table.topic).filter : constantParts(table.topic);
  const levels = topic.split('/');
  const inNames = ['.', ' ', '*'].filter((character) =>
    levels.some((level) => level !== character && level.includes(character)),
  );
  const asLevels = ['*', '>'].filter((character) => levels.includes(character));
  return [
    ...[...inNames, ...(source ? [] : asLevels)].map((character) => ({ character, level: false })),
    ...(source ? asLevels : []).map((character) => ({ character, level: true })),
  ];
}

/** Returns the warning for the first rewriting found, or undefined if none shows. Throws like `connect`. */
export async function rewriting(
  reachable: Reachable<MqttProfile>,
  suspects: readonly Suspect[],
  signal: AbortSignal,
): Promise<PenstockError | undefined> {
  const arrived: string[] = [];
  let wake: (() => void) | undefined;
  const connection = await connect({
    ...probeClient(reachable),
    signal,
    prepare: (client) => {
      client.on('message', (topic) => {
        arrived.push(topic);
        wake?.();
      });
    },
  });
  try {
    for (const suspect of suspects) {
      const base = `penstock/check/${randomBytes(8).toString('hex')}`;
      const { character, level } = suspect;
      const sent = `${base}/${level ? 'x' : `a${character}b`}/end`;
      const filter = `${base}/${level ? `${character}/end` : '#'}`;
      await forUpTo(waitMs, signal, async (soon) => {
        await connection.subscribe(filter, 0, soon);
        await published(connection, sent, soon);
        await untilReported<void>(soon, (resolve, reject) => {
          wake = () => arrived.some((topic) => topic.startsWith(base)) && resolve();
          connection.whenLost(reject);
          wake();
          return undefined;
        });
      });
      const got = arrived.find((topic) => topic.startsWith(base));
      if (got !== undefined && (level || got !== sent))
        return rewritten(suspect, ...[sent, filter, got].map((topic) => topic.slice(base.length + 1)));
    }
    return undefined;
  } finally {
    await connection.close();
  }
}

const published = (connection: Connection, topic: string, signal: AbortSignal): Promise<void> =>
  untilReported<void>(signal, (resolve, reject) => {
    connection.whenLost(reject);
    connection.client.publish(topic, 'penstock connection test', { qos: 0 }, () => resolve());
    return undefined;
  });

function rewritten({ character, level }: Suspect, sent = '', filter = '', got = ''): PenstockError {
  const message = level
    ? `The broker takes "${character}" in a filter for a wildcard: ${filter} receives ${sent}`
    : `The broker takes "${character}" in a topic for another character: ${sent} arrives as ${got}`;
  return mqttError('mqtt_topic_rewritten', message, {
    hint:
      `Use topics without "${character}" with this broker. RabbitMQ, for example, takes "." for "/" and "*" for a wildcard. ` +
      'Otherwise messages arrive under other topics than the table says, or from topics that it does not name.',
    facts: { character },
  });
}

const known = new Map<string, PenstockError | undefined>();
const maxKnown = 1_000;

/** Warns the job of a topic that the broker rewrites, once found out for each broker and set of characters. */
export async function warnOfRewriting(context: RunContext<MqttProfile, MqttTable>): Promise<void> {
  const suspects = suspectsIn(context.table);
  if (suspects.length === 0) return;
  const key = `${context.profile.url} ${JSON.stringify(suspects)}`;
  if (!known.has(key)) {
    try {
      const found = await rewriting(context, suspects, context.signal);
      if (known.size >= maxKnown) known.clear();
      known.set(key, found);
    } catch (error) {
      // Not found out: the job itself shows whether the broker can be reached.
      if (!(error instanceof PenstockError)) return;
      context.logger.debug({ code: error.code }, 'it could not be tried whether the broker rewrites topics');
      return;
    }
  }
  const found = known.get(key);
  if (found) context.warn(found);
}
