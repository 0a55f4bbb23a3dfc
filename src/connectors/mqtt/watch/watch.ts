import type { IPublishPacket } from 'mqtt';
import { PenstockError } from '../../../errors.ts';
import type { Reachable, WatchContext, Watched } from '../../connector.ts';
import { visitor } from '../config/identity.ts';
import type { MqttProfile } from '../config/profile.ts';
import { type MqttTable, sourceOf } from '../config/table.ts';
import { isShared, splitShared } from '../config/topic.ts';
import { pingOnTime } from '../connection/acks.ts';
import { connect } from '../connection/client.ts';
import type { Connection } from '../connection/connection.ts';
import { untilReported, within } from '../connection/deadline.ts';
import { Metadata } from '../connection/delivery.ts';

/** Looking at messages without taking part: an id of its own, a session that ends with the connection, no last will. */

/** Runs `work` over a connection that hands every message to `heard`, and disconnects. */
export async function lookOn<T>(
  reachable: Reachable<MqttProfile>,
  signal: AbortSignal,
  heard: (topic: string, packet: IPublishPacket) => void,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await connect({
    ...visitor(reachable),
    signal,
    prepare: (client) => {
      pingOnTime(client);
      client.on('message', (topic, _payload, packet) => heard(topic, packet));
    },
  });
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

/**
 * Subscribes to the table's filter at QoS 0, so that the broker keeps nothing for it. Of a shared subscription it takes
 * the filter alone: a member of the group would take messages away from the others. See `watch` in the connector
 * contract.
 */
export function watch(context: WatchContext<MqttProfile, MqttTable>): Promise<never> {
  const { profile, table, signal } = context;
  const filter = isShared(table.topic) ? splitShared(table.topic).filter : table.topic;
  const retained = sourceOf(table)?.retained;
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => {});
  const heard = (topic: string, packet: IPublishPacket): void => {
    // MQTT 3.1.1 has no way to tell the broker that they are not wanted.
    if (retained === 'never' && packet.retain) return;
    try {
      context.deliver(watched(topic, packet));
    } catch (error) {
      broken.reject(error);
    }
  };
  return lookOn(context, signal, heard, async (connection) => {
    const ms = profile.connectTimeoutMs ?? 10_000;
    const late = () => new PenstockError('connection_timeout', `No SUBACK within ${ms} ms`);
    await within(ms, signal, late, (soon) => connection.subscribe(filter, 0, soon, retained));
    context.listening();
    return await untilReported<never>(signal, (_resolve, reject) => {
      connection.whenLost(reject);
      broken.promise.catch(reject);
      return () => undefined;
    });
  });
}

function watched(topic: string, packet: IPublishPacket): Watched {
  const receivedAt = performance.timeOrigin + performance.now();
  let metadata: Metadata | undefined;
  return {
    payload: packet.payload as Buffer,
    receivedAt,
    get metadata() {
      metadata ??= new Metadata(topic, packet, receivedAt);
      return metadata as unknown as Watched['metadata'];
    },
  };
}
