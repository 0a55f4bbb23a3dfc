import { createHash, randomBytes } from 'node:crypto';
import type { Identity, Reachable } from '../../connector.ts';
import type { MqttProfile } from './profile.ts';

/** Longest client id sent. The protocol allows 65,535 bytes; brokers and their logs are happier with less. */
const maxClientId = 256;

const prefixOf = (profile: MqttProfile): string => profile.clientPrefix || 'penstock';

/**
 * The client id of a task: `<prefix>_<job>_<operator>_<task>`, the same after every restart and on every machine, of
 * characters that every server must accept (MQTT 5, section 3.1.3.1). Where that takes changing or cutting the
 * names, a hash of them keeps two identities apart.
 */
export function clientId(profile: MqttProfile, identity: Identity): string {
  const whole = `${prefixOf(profile)}_${identity.jobId}_${identity.operatorId}_${identity.taskIndex}`;
  const clean = whole.replaceAll(/[^0-9A-Za-z_-]/g, '-');
  if (clean === whole && whole.length <= maxClientId) return whole;
  const hash = createHash('sha256').update(whole).digest('hex').slice(0, 16);
  return `${clean.slice(0, maxClientId - hash.length - 1)}_${hash}`;
}

/** Names the session that a source has: see `session` in the connector contract. */
export const sessionName = (profile: MqttProfile, identity: Identity): string =>
  `${clientId(profile, identity)} at ${profile.url}`;

/** A client id that nobody else has. */
const checkClientId = (profile: MqttProfile): string =>
  `${prefixOf(profile)}_check_${randomBytes(8).toString('hex')}`;

/** How to connect as somebody who leaves nothing behind: an own id, no session to keep, no last will. */
export const visitor = ({ profile, targets }: Reachable<MqttProfile>) => ({
  profile,
  targets,
  clientId: checkClientId(profile),
  clean: true,
  sessionExpirySecs: 0,
  withWill: false,
});
