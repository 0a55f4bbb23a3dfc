import type { PenstockError } from '../../../errors.ts';
import type { RunContext } from '../../connector.ts';
import { mqttError } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import { type MqttTable, qosOf } from '../config/table.ts';
import type { Qos } from '../config/topic.ts';
import { failsAtQos2, forgetQos2Failures, rememberQos2Failure } from './broker-memory.ts';
import { type Connection, closedByPeer } from './connection.ts';

export const qosDowngraded = (topic: string, asked: Qos, granted: Qos, reason: string): PenstockError =>
  mqttError('mqtt_qos_downgraded', `${reason}: ${topic} uses QoS ${granted} instead of ${asked}`, {
    hint:
      granted === 0
        ? 'Messages can be lost. Use a broker that supports this QoS, or set the qos of the table to AtMostOnce.'
        : 'A message can arrive twice after a failure. Set the qos of the table to AtLeastOnce to accept this.',
    facts: { topic, asked, granted },
  });

/** The error of a sink that cannot write exactly once. */
export const qos2Unsupported = (topic: string, granted: Qos): PenstockError =>
  qosDowngraded(topic, 2, granted, 'The broker does not support QoS 2');

/** The QoS at which a sink writes over one connection. */
export class SinkQos {
  /** The QoS of the table, or the highest one that keeps at-least-once delivery. */
  readonly used: Qos;
  readonly #context: RunContext<MqttProfile, MqttTable>;
  readonly #connection: Connection;
  readonly #asked: Qos;
  #confirmed = false;
  #warned = false;

  /** Throws `mqtt_qos_downgraded` if only QoS 0 is possible. */
  constructor(context: RunContext<MqttProfile, MqttTable>, connection: Connection) {
    this.#context = context;
    this.#connection = connection;
    this.#asked = qosOf(context.table);
    this.used = this.#possible();
  }

  confirmed(): void {
    if (this.#confirmed) return;
    this.#confirmed = true;
    if (this.used === 2) forgetQos2Failures(this.#connection.identity);
  }

  /** The broker has confirmed a QoS 2 message with a PUBACK, as RabbitMQ does: it has the message, at QoS 1. */
  confirmedAtQos1(): void {
    this.#confirmed = true;
    this.#warn(1, 'The broker handles QoS 2 messages at QoS 1');
  }

  lost(error: PenstockError): void {
    const { identity, version } = this.#connection;
    if (this.#confirmed || this.#asked < 2 || version === 5 || !closedByPeer(error)) return;
    if (this.used === 2) rememberQos2Failure(identity);
    // QoS 1 fails too, so QoS 2 was not the reason.
    else forgetQos2Failures(identity);
  }

  #possible(): Qos {
    const { maximumQos } = this.#connection.limits;
    if (this.#asked > 0 && maximumQos === 0)
      throw mqttError(
        'mqtt_qos_downgraded',
        'The broker accepts messages at QoS 0 only, which can lose them',
        { hint: 'Use a broker that supports QoS 1, or set the qos of the table to AtMostOnce.' },
      );
    if (this.#asked > maximumQos) {
      this.#warn(maximumQos, 'The broker accepts no messages at a higher QoS');
      return maximumQos;
    }
    if (this.#asked < 2 || !failsAtQos2(this.#connection.identity)) return this.#asked;
    this.#warn(1, 'The broker closes the connection at QoS 2 messages');
    return 1;
  }

  #warn(granted: Qos, reason: string): void {
    if (this.#warned) return;
    this.#warned = true;
    this.#context.warn(qosDowngraded(this.#context.table.topic, this.#asked, granted, reason));
  }
}
