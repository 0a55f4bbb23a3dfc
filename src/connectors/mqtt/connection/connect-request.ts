import type { MqttClient } from 'mqtt';
import type { Reachable } from '../../connector.ts';
import type { MqttProfile } from '../config/profile.ts';

/** What a connection to a broker is asked for with. */
export interface ConnectRequest extends Reachable<MqttProfile> {
  clientId: string;
  /** Start without the session that the broker may hold under this id. */
  clean: boolean;
  /** For how long the broker keeps the session afterwards; 0 ends it with the connection. */
  sessionExpirySecs: number;
  /** Most messages of QoS 1 and 2 that the broker may send unacknowledged (MQTT 5). */
  receiveMaximum?: number;
  /** Whether the broker is to publish the profile's last will if the connection breaks; true if left out. */
  withWill?: boolean;
  signal: AbortSignal;
  /** Called with each client before it sends CONNECT, to bind what must not miss the first message. */
  prepare?(client: MqttClient): void;
}
