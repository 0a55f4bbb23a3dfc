import * as mqttPacket from 'mqtt-packet';
import type { Direction, Tap } from './faulty-link.ts';

type Packet = mqttPacket.Packet;
type Handler = (direction: Direction, packet: Packet) => void;

/** Parses the MQTT packets of one connection, both ways. */
function dissect(handle: Handler): Tap {
  const parserOf = (direction: Direction, protocolVersion: number) =>
    mqttPacket
      .parser({ protocolVersion })
      .on('packet', (packet: Packet) => seen(direction, packet))
      .on('error', () => {});
  const parsers = { up: parserOf('up', 4), down: parserOf('down', 4) };
  const seen = (direction: Direction, packet: Packet) => {
    if (packet.cmd === 'connect') {
      const version = packet.protocolVersion ?? 4;
      parsers.up = parserOf('up', version);
      parsers.down = parserOf('down', version);
    }
    handle(direction, packet);
  };
  return (direction, chunk) => parsers[direction].parse(chunk);
}

/** Not a number for a message that has none, or that cannot be read. */
function numberOf(payload: Buffer | string): number {
  try {
    const { seq } = JSON.parse(payload.toString()) as { seq?: unknown };
    return typeof seq === 'number' ? seq : Number.NaN;
  } catch {
    return Number.NaN;
  }
}

/** Whether it is a message with which Penstock tests a broker, so not one of the pipeline. */
const isTest = (topic: string): boolean => topic.startsWith('penstock/');

/**
 * Records what a broker publishes at QoS 2, by the numbers of the messages, over all connections of its clients. Tells a
 * message that it publishes again before it has the PUBREC, which the receiver has to recognise, from one that it publishes
 * again afterwards, which no receiver can.
 */
export class Handshakes {
  /** Numbers of messages that were published again before their PUBREL. */
  readonly again = new Set<number>();
  /** The same after it: the broker had the PUBREC. */
  readonly afterPubrel = new Set<number>();
  readonly #published = new Set<number>();
  readonly #released = new Set<number>();
  /** The number that an identifier of a client stands for. */
  readonly #numbers = new Map<string, number>();

  readonly tap = (): Tap => {
    let client = '';
    return dissect((direction, packet) => {
      if (packet.cmd === 'connect') client = packet.clientId;
      if (direction !== 'down') return;
      if (packet.cmd === 'publish' && packet.qos === 2 && !isTest(packet.topic)) {
        const seq = numberOf(packet.payload);
        // The end of a test has none of its own.
        if (!(seq >= 0)) return;
        this.#numbers.set(`${client} ${packet.messageId}`, seq);
        if (this.#released.has(seq)) this.afterPubrel.add(seq);
        else if (this.#published.has(seq)) this.again.add(seq);
        this.#published.add(seq);
      }
      if (packet.cmd !== 'pubrel') return;
      const seq = this.#numbers.get(`${client} ${packet.messageId}`);
      if (seq !== undefined) this.#released.add(seq);
    });
  };
}

/**
 * Records one pipeline's messages on the wire, by their numbers: deliveries and acknowledgements of its source, and
 * confirmations of its sink's broker. It needs no clock: an acknowledgement is early if the sink's broker has not
 * confirmed yet.
 */
export class Ledger {
  /** Numbers that the sink's broker has confirmed. */
  readonly taken = new Set<number>();
  highestTaken = -1;
  /** The highest number that the source's broker has delivered. */
  highestGiven = -1;
  /** Acknowledgements of the source. */
  acknowledged = 0;
  #newest = { owed: 0 };
  /** Acknowledgements sent before the sink's broker had confirmed (invariant 1). */
  early = 0;
  /** The largest number of tasks so far. Each receives every message, and all but one acknowledge it at once. */
  tasks = 1;
  /** The client ids that acknowledged a number which the sink's broker has not confirmed yet. */
  readonly #unconfirmed = new Map<number, Set<string>>();
  /** Acknowledgements out of order of receipt (invariant 2). */
  disordered = 0;

  /** Unacknowledged messages of the newest connection. */
  get owed(): number {
    return this.#newest.owed;
  }

  /** For the link to the source's broker. */
  readonly sourceTap = (): Tap => {
    const owed: { id: number; seq: number | undefined }[] = [];
    let head = 0;
    let clientId = '';
    const connection = { owed: 0 };
    return dissect((direction, packet) => {
      if (packet.cmd === 'connect') clientId = packet.clientId;
      if (direction === 'down' && packet.cmd === 'publish' && packet.qos > 0) {
        this.#newest = connection;
        const seq = isTest(packet.topic) ? undefined : numberOf(packet.payload);
        if (seq !== undefined && seq > this.highestGiven) this.highestGiven = seq;
        owed.push({ id: packet.messageId ?? 0, seq });
        connection.owed += 1;
      }
      if (direction === 'up' && (packet.cmd === 'puback' || packet.cmd === 'pubrec')) {
        const due = owed[head];
        head += 1;
        this.acknowledged += 1;
        connection.owed -= 1;
        if (due?.id !== packet.messageId) this.disordered += 1;
        else if (due?.seq !== undefined) this.#acknowledge(due.seq, clientId);
        if (head > 10_000) owed.splice(0, head);
        if (head > 10_000) head = 0;
      }
    });
  };

  /** For the link to the sink's broker. */
  readonly sinkTap = (): Tap => {
    const asked = new Map<number, number>();
    return dissect((direction, packet) => {
      if (direction === 'up' && packet.cmd === 'publish' && packet.qos > 0 && !isTest(packet.topic)) {
        asked.set(packet.messageId ?? 0, numberOf(packet.payload));
      }
      if (direction !== 'down') return;
      const refused = 'reasonCode' in packet && (packet.reasonCode ?? 0) >= 128;
      if ((packet.cmd === 'puback' || packet.cmd === 'pubcomp') && !refused) {
        const seq = asked.get(packet.messageId ?? 0);
        if (seq !== undefined) this.#take(seq);
      }
    });
  };

  #acknowledge(seq: number, clientId: string): void {
    if (this.taken.has(seq)) return;
    const clients = this.#unconfirmed.get(seq) ?? new Set();
    clients.add(clientId);
    if (clients.size >= this.tasks) this.early += 1;
    else this.#unconfirmed.set(seq, clients);
  }

  #take(seq: number): void {
    this.taken.add(seq);
    this.#unconfirmed.delete(seq);
    this.highestTaken = Math.max(this.highestTaken, seq);
  }
}
