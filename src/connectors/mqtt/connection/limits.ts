import type { IConnackPacket, MqttClient } from 'mqtt';
import type { Qos } from '../config/topic.ts';

/** The limits in the broker's CONNACK (MQTT 5), or those that 3.1.1 implies. */
export interface BrokerLimits {
  sessionPresent: boolean;
  /** Maximum number of unacknowledged QoS 1 and 2 messages that the broker accepts. */
  receiveMaximum: number;
  maximumQos: Qos;
  retain: boolean;
  wildcards: boolean;
  shared: boolean;
  maximumPacketSize: number;
  keepAliveSecs: number;
  /** How long the broker keeps the session after a disconnect; undefined with 3.1.1, where it does not say. */
  sessionExpirySecs: number | undefined;
}

export const largestPacket = 268_435_460;

export function limitsOf(
  connack: IConnackPacket | undefined,
  version: 4 | 5,
  asked: MqttClient['options'],
): BrokerLimits {
  const properties = version === 5 ? connack?.properties : undefined;
  return {
    sessionPresent: connack?.sessionPresent ?? false,
    receiveMaximum: properties?.receiveMaximum ?? 65_535,
    maximumQos: (properties?.maximumQoS ?? 2) as Qos,
    retain: properties?.retainAvailable ?? true,
    wildcards: properties?.wildcardSubscriptionAvailable ?? true,
    shared: properties?.sharedSubscriptionAvailable ?? true,
    maximumPacketSize: properties?.maximumPacketSize ?? largestPacket,
    keepAliveSecs: properties?.serverKeepAlive ?? asked.keepalive ?? 0,
    sessionExpirySecs:
      version === 5
        ? (properties?.sessionExpiryInterval ?? asked.properties?.sessionExpiryInterval ?? 0)
        : undefined,
  };
}
