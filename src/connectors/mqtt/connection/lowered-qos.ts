import type { PenstockError } from '../../../errors.ts';
import type { RunContext } from '../../connector.ts';
import { mqttError } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import type { Qos } from '../config/qos.ts';
import { type MqttTable, qosOf } from '../config/table.ts';
import { type Connection, closedByPeer } from './connection.ts';
import { remember } from './remember.ts';

/** What is left of a table's quality of service at a broker that does not do it. */

/** The warning that a broker does less than a table asks for. */
export const lowered = (topic: string, asked: Qos, granted: Qos, how: string): PenstockError =>
  mqttError('mqtt_qos_downgraded', `${how}: ${topic} has QoS ${granted} instead of ${asked}`, {
    hint:
      granted === 0
        ? 'Messages can be lost. Use a broker that does more, or set the qos of the table to AtMostOnce.'
        : 'Messages can come twice after a failure. To be rid of this warning, set the qos of the table to AtLeastOnce.',
    facts: { topic, asked, granted },
  });

/** At which quality of service a sink writes over one connection, and what the broker makes of it. */
export class SinkQos {
  /** What to write at: what the table asks for, or what is left of it without giving up the delivery guarantee. */
  readonly used: Qos;
  readonly #context: RunContext<MqttProfile, MqttTable>;
  readonly #connection: Connection;
  readonly #asked: Qos;
  #answered = false;
  #warned = false;

  /** Throws `mqtt_qos_downgraded` when only QoS 0 is left. */
  constructor(context: RunContext<MqttProfile, MqttTable>, connection: Connection) {
    this.#context = context;
    this.#connection = connection;
    this.#asked = qosOf(context.table);
    this.used = this.#possible();
  }

  /** The broker has answered a message as its QoS demands. */
  answered(): void {
    if (this.#answered) return;
    this.#answered = true;
    if (this.used === 2) closings.delete(this.#connection.identity);
  }

  /** The broker has answered a QoS 2 message with a PUBACK: it has it, as one of QoS 1. RabbitMQ does so. */
  takenForOne(): void {
    this.#answered = true;
    this.#warn(1, 'The broker answers messages of QoS 2 like those of QoS 1');
  }

  /** The connection is lost while messages are not answered. */
  lost(error: PenstockError): void {
    const { identity, version } = this.#connection;
    if (this.#answered || this.#asked < 2 || version === 5 || !closedByPeer(error)) return;
    // At QoS 1 it is no better: then that was not the reason.
    if (this.used < 2) closings.delete(identity);
    else {
      const times = (closings.get(identity)?.times ?? 0) + 1;
      remember(closings, identity, { times, at: performance.now() });
    }
  }

  #possible(): Qos {
    const { maximumQos } = this.#connection.limits;
    if (this.#asked > 0 && maximumQos === 0) {
      throw mqttError('mqtt_qos_downgraded', 'The broker takes messages at QoS 0 only, which may lose them', {
        hint: 'Set the qos of the table to AtMostOnce if lost messages do no harm.',
      });
    }
    if (this.#asked > maximumQos) {
      this.#warn(maximumQos, 'The broker takes no messages of a higher QoS');
      return maximumQos;
    }
    if (this.#asked < 2 || !closesAtQos2(this.#connection.identity)) return this.#asked;
    this.#warn(1, 'The broker closes the connection at messages of QoS 2');
    return 1;
  }

  #warn(granted: Qos, how: string): void {
    if (this.#warned) return;
    this.#warned = true;
    this.#context.warn(lowered(this.#context.table.topic, this.#asked, granted, how));
  }
}

/** A broker that learns QoS 2 is noticed after this long at the latest. */
const memoryMs = 3_600_000;
/** A broker that happens to end before its first answer does not do so twice in a row. */
const telling = 2;

/**
 * How often in a row a broker has closed the connection of an identity at QoS 2 before it has answered one message. Some
 * of 3.1.1 do so always (nats-server): whether QoS 1 works then is the proof.
 */
const closings = new Map<string, { times: number; at: number }>();

function closesAtQos2(identity: string): boolean {
  const known = closings.get(identity);
  return known !== undefined && known.times >= telling && performance.now() - known.at < memoryMs;
}
