import type { PenstockError } from '../../../errors.ts';
import type { RunContext } from '../../connector.ts';
import { mqttError } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import { direction, type MqttTable, qosOf, sinkOf, sourceOf } from '../config/table.ts';
import { hasWildcard, isShared } from '../config/topic.ts';
import type { Connection } from './connection.ts';
import { type BrokerLimits, largestPacket } from './limits.ts';

/** Limits that a client asks for and the broker grants in its CONNACK (MQTT 5); 3.1.1 grants nothing in words. */

const defaultSessionExpirySecs = 604_800;

export const sessionExpirySecs = (profile: MqttProfile): number =>
  profile.sessionExpirySecs ?? defaultSessionExpirySecs;

/** `7 days`, `300 s`. */
function duration(secs: number): string {
  const days = secs / 86_400;
  return days >= 2 && Number.isInteger(days) ? `${days} days` : `${secs} s`;
}

/** The warning if a broker keeps sessions for less time than asked. */
export function sessionShortened(
  asked: number,
  granted: number | undefined,
  ofSink = false,
): PenstockError | undefined {
  if (granted === undefined || granted >= asked) return undefined;
  const message =
    granted === 0
      ? `The broker keeps no session after a disconnect, but ${duration(asked)} were asked for (sessionExpirySecs)`
      : `The broker keeps a session for ${duration(granted)}, but ${duration(asked)} were asked for (sessionExpirySecs)`;
  const ofSource =
    granted === 0
      ? 'Every message that is published while a source is disconnected is lost. Raise the session expiry of the broker.'
      : `Messages are lost if a source is away for longer, for example while its pipeline is stopped. Raise the limit of the ` +
        `broker for sessions, or set sessionExpirySecs to ${granted} to accept it.`;
  return mqttError('mqtt_session_shortened', message, {
    hint: ofSink
      ? 'A sink that is away for longer may write messages twice when it is back. Raise the limit of the broker for sessions.'
      : ofSource,
    facts: { askedSecs: asked, grantedSecs: granted },
  });
}

/** Some brokers do not count the fixed header. */
const maxHeader = 5;

type Grants = Omit<BrokerLimits, 'sessionPresent' | 'sessionExpirySecs'>;

/** Needs of a table, or of a profile for any table. `window` is the number of messages that a job has in flight. */
function needed(profile: MqttProfile, table: MqttTable | undefined, window = 65_535): Grants {
  const { keepAliveSecs = 30, maxPacketSize = largestPacket - maxHeader } = profile;
  const anyTable = { maximumQos: 2, retain: true, wildcards: true, shared: true } as const;
  const rest = { receiveMaximum: window, maximumPacketSize: maxPacketSize, keepAliveSecs };
  if (table === undefined) return { ...anyTable, ...rest };
  const isSource = direction(table) === 'source';
  return {
    ...rest,
    maximumQos: qosOf(table),
    retain: isSource ? readsRetained(table) : sinkOf(table)?.retain === true,
    wildcards: isSource && hasWildcard(table.topic),
    shared: isShared(table.topic),
  };
}

/** Whether a source asks for retained messages by a setting of its own. */
const readsRetained = (table: MqttTable): boolean => (sourceOf(table)?.retained ?? 'never') !== 'never';

/** The limits of which a broker grants less than needed, and a keep-alive of its own. */
export function lessened(
  limits: BrokerLimits,
  profile: MqttProfile,
  table?: MqttTable,
  window?: number,
): Record<string, { asked: unknown; granted: unknown }> {
  const asked = needed(profile, table, window);
  const names = Object.keys(asked) as (keyof Grants)[];
  const less = names.filter((name) =>
    name === 'keepAliveSecs' ? limits[name] !== asked[name] : Number(limits[name]) < Number(asked[name]),
  );
  return Object.fromEntries(less.map((name) => [name, { asked: asked[name], granted: limits[name] }]));
}

/**
 * The warning if what a broker grants weakens what profile and table promise. QoS, a retained last will, and a sink's retained
 * messages have errors of their own. A small receive maximum costs speed only.
 */
export function grantLessened(
  { limits, version }: Pick<Connection, 'limits' | 'version'>,
  profile: MqttProfile,
  table?: MqttTable,
): PenstockError | undefined {
  if (version === 4) return undefined;
  const { maxPacketSize = 0, keepAliveSecs = 30 } = profile;
  const found: [message: string, hint: string][] = [];
  if (limits.maximumPacketSize < maxPacketSize)
    found.push([
      `The broker accepts packets of ${limits.maximumPacketSize} bytes, but ${maxPacketSize} were asked for (maxPacketSize)`,
      `A sink refuses larger messages as bad data. Raise the limit of the broker, or set maxPacketSize to ${limits.maximumPacketSize} to accept it.`,
    ]);
  if (limits.keepAliveSecs > keepAliveSecs && keepAliveSecs > 0)
    found.push([
      `The broker sets the keep-alive to ${limits.keepAliveSecs} s, but ${keepAliveSecs} s were asked for (keepAliveSecs)`,
      `A link that drops everything is noticed later. Lower the keep-alive of the broker, or set keepAliveSecs to ${limits.keepAliveSecs} to accept it.`,
    ]);
  if (table !== undefined && !limits.retain && readsRetained(table))
    found.push([
      `The broker keeps no retained messages, but ${table.topic} is to be read with them (retained)`,
      'The source gets only what is published from now on. Set retained of the table to never to accept it.',
    ]);
  if (found.length === 0) return undefined;
  return mqttError('mqtt_grant_lessened', found.map(([message]) => message).join('. '), {
    hint: found.map(([, hint]) => hint).join(' '),
    facts: { lessened: lessened(limits, profile, table) },
  });
}

/** Warns a job of what the broker grants less of than asked, and logs what it grants. */
export function reportGrant(
  context: RunContext<MqttProfile, MqttTable>,
  connection: Pick<Connection, 'limits' | 'version'>,
): void {
  const { profile, table, window, warn, logger } = context;
  const { limits, version } = connection;
  const asked = sessionExpirySecs(profile);
  const { sessionExpirySecs: granted, ...others } = limits;
  const isSink = direction(table) === 'sink';
  const shortened = isSink && !context.exact ? undefined : sessionShortened(asked, granted, isSink);
  for (const warning of [shortened, grantLessened(connection, profile, table)]) if (warning) warn(warning);
  const details = {
    asked: { sessionExpirySecs: asked },
    granted: { sessionExpirySecs: granted ?? null, ...others },
    lessened: lessened(limits, profile, table, window),
  };
  logger.debug({ ...details, protocolVersion: version }, 'the broker granted a connection');
}

/** For how long the broker keeps the session, for people. */
export const keptFor = (profile: MqttProfile, { limits }: Connection): string => {
  const asked = sessionExpirySecs(profile);
  const granted = limits.sessionExpirySecs;
  if (granted === undefined)
    return `The profile asks for ${duration(asked)} (sessionExpirySecs), but with MQTT 3.1.1 the broker decides.`;
  return granted < asked
    ? `The profile asks for ${duration(asked)} (sessionExpirySecs), but the broker grants ${duration(granted)}.`
    : `The profile asks for ${duration(asked)} (sessionExpirySecs), and the broker grants it.`;
};
