import type { PenstockError } from '../../../errors.ts';
import type { RunContext } from '../../connector.ts';
import { mqttError } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import type { Connection } from './connection.ts';

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
export function sessionShortened(asked: number, granted: number | undefined): PenstockError | undefined {
  if (granted === undefined || granted >= asked) return undefined;
  const message =
    granted === 0
      ? `The broker keeps no session after a disconnect, but ${duration(asked)} were asked for (sessionExpirySecs)`
      : `The broker keeps a session for ${duration(granted)}, but ${duration(asked)} were asked for (sessionExpirySecs)`;
  return mqttError('mqtt_session_shortened', message, {
    hint:
      granted === 0
        ? 'Every message that is published while a source is disconnected is lost. Raise the session expiry of the broker.'
        : `Messages are lost if a source is away for longer, for example while its pipeline is stopped. Raise the limit of the ` +
          `broker for sessions, or set sessionExpirySecs to ${granted} to accept it.`,
    facts: { askedSecs: asked, grantedSecs: granted },
  });
}

/** Warns of what the broker grants a source less of than asked, and logs what it grants. */
export function reportGrant(
  context: RunContext<MqttProfile, unknown>,
  { limits, version }: Connection,
): void {
  const asked = sessionExpirySecs(context.profile);
  const { sessionExpirySecs: granted, ...others } = limits;
  const shortened = sessionShortened(asked, granted);
  if (shortened) context.warn(shortened);
  const details = {
    asked: { sessionExpirySecs: asked },
    granted: { sessionExpirySecs: granted ?? null, ...others },
  };
  context.logger.debug({ ...details, protocolVersion: version }, 'the broker granted a connection');
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
