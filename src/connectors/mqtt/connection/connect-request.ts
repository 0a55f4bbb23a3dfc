import { createHash, randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { MqttClient } from 'mqtt';
import type { Identity, Reachable } from '../../connector.ts';
import type { MqttProfile } from '../config/profile.ts';

export interface ConnectRequest extends Reachable<MqttProfile> {
  clientId: string;
  /** Discard the session that the broker may hold for this id. */
  clean: boolean;
  /** How long the broker keeps the session afterwards; 0 ends it with the connection. */
  sessionExpirySecs: number;
  /** Maximum number of unacknowledged QoS 1 and 2 messages that the broker may send (MQTT 5). */
  receiveMaximum?: number;
  /** Whether to leave the profile's last will; true by default. */
  withWill?: boolean;
  /** How long to wait for the CONNACK of MQTT 5 before 3.1.1 is tried; `connectTimeoutMs` by default. */
  silenceMs?: number;
  /** Whether the client id is random, so that no other client can have it. */
  probe?: boolean;
  signal: AbortSignal;
  /** Called with each client before it sends CONNECT, to bind what must not miss the first message. */
  prepare?(client: MqttClient, socket: Duplex): void;
}

/** Longest client id sent. The protocol allows 65,535 bytes; brokers and their logs handle shorter ones better. */
const maxClientId = 256;

const prefixOf = (profile: MqttProfile): string => profile.clientPrefix || 'penstock';

/**
 * The client id of a task: `<prefix>_<job>_<operator>_<task>`, stable across restarts and machines, of characters that
 * every server must accept (MQTT 5, section 3.1.3.1). A hash is added if names had to be changed or cut.
 */
export function clientId(profile: MqttProfile, identity: Identity): string {
  const whole = `${prefixOf(profile)}_${identity.jobId}_${identity.operatorId}_${identity.taskIndex}`;
  const clean = whole.replaceAll(/[^0-9A-Za-z_-]/g, '-');
  if (clean === whole && whole.length <= maxClientId) return whole;
  const hash = createHash('sha256').update(whole).digest('hex').slice(0, 16);
  return `${clean.slice(0, maxClientId - hash.length - 1)}_${hash}`;
}

/** See `session` in the connector contract. */
export const sessionName = (profile: MqttProfile, identity: Identity): string =>
  `${clientId(profile, identity)} at ${profile.url}`;

/** The client of a task, by default with a clean session. */
export const taskClient = (task: Reachable<MqttProfile> & { identity: Identity }) => ({
  profile: task.profile,
  targets: task.targets,
  clientId: clientId(task.profile, task.identity),
  clean: true,
  sessionExpirySecs: 0,
});

/** A client that leaves nothing on the broker: a random id, no session, no last will. */
export const probeClient = ({ profile, targets }: Reachable<MqttProfile>) => ({
  profile,
  targets,
  clientId: `${prefixOf(profile)}_check_${randomBytes(8).toString('hex')}`,
  clean: true,
  sessionExpirySecs: 0,
  withWill: false,
  probe: true,
});
