import type { Kafka } from './kafka.ts';

/** Requests whose responses `falsify` can change, by their keys. */
const keys = {
  Produce: 0,
  ListOffsets: 2,
  Metadata: 3,
  OffsetCommit: 8,
  AddPartitionsToTxn: 24,
  TxnOffsetCommit: 28,
};

/** A response about a topic, and the place of the topic's name in it. */
type Seen = (frame: Buffer, at: number) => void;

/**
 * Puts these error codes into the next responses to a kind of request about a topic, on their way through the link of a server. The
 * server has done what it was asked for. Returns the codes that are left, which become fewer. Of several partitions the first one gets it, or in
 * responses to Produce the one that is named.
 */
export function falsify(
  server: Kafka,
  request: keyof typeof keys,
  topic: string,
  codes: readonly number[],
  partition?: number,
): readonly number[] {
  const left = [...codes];
  tapResponses(server, request, topic, (frame, at) => {
    // Of Metadata the error is before the length of the name, of others behind the name, an array's length and the partition.
    const place =
      request === 'Metadata'
        ? at - 3
        : partition === undefined
          ? at + topic.length + 5
          : producedAt(frame, at + topic.length + 1).get(partition);
    const code = place === undefined ? undefined : left.shift();
    if (place !== undefined && code !== undefined) frame.writeInt16BE(code, place);
  });
  return left;
}

/** The error codes of responses to Produce about a topic, as they come through the link of a server. */
export function producedCodes(server: Kafka, topic: string): ReadonlySet<number> {
  const codes = new Set<number>();
  tapResponses(server, 'Produce', topic, (frame, at) => {
    for (const place of producedAt(frame, at + topic.length + 1).values())
      codes.add(frame.readInt16BE(place));
  });
  return codes;
}

/** Leaves no broker in responses to Metadata about a topic, as one that starts does. */
export function hideBrokers(server: Kafka, topic: string): void {
  tapResponses(server, 'Metadata', topic, (frame) => {
    // Behind the id of the request, tags and a time. Lengths of arrays and texts are one more than they are.
    const first = 10;
    let end = first;
    for (let left = frame.readUInt8(first - 1) - 1; left > 0; left -= 1) {
      // The id and the host, the port and the rack, and tags.
      end += 4 + frame.readUInt8(end + 4);
      end += 4 + Math.max(1, frame.readUInt8(end + 4)) + 1;
    }
    frame.writeUInt8(1, first - 1);
    // Nobody reads behind the end of the rest.
    frame.copyWithin(first, end);
  });
}

function tapResponses({ taps }: Kafka, request: keyof typeof keys, topic: string, seen: Seen): void {
  const asked = new Set<number>();
  taps.tap = (direction, chunk) => {
    for (const frame of framesIn(chunk)) {
      if (direction === 'up') {
        if (frame.readInt16BE(0) === keys[request] && frame.includes(topic)) asked.add(frame.readInt32BE(4));
        continue;
      }
      const at = frame.indexOf(topic);
      const isIt = request === 'Metadata' ? at > 11 : at === (request === 'Produce' ? 7 : 11);
      if (isIt && asked.delete(frame.readInt32BE(0))) seen(frame, at);
    }
  };
}

/** The places of the error codes in a response to Produce, by partition. Those with a text are not found, nor what is behind them. */
function producedAt(frame: Buffer, from: number): Map<number, number> {
  const places = new Map<number, number>();
  // The partition, the error, three numbers of 64 bits, no records, no text, no tags.
  const size = 4 + 2 + 3 * 8 + 3;
  const count = frame.readUInt8(from - 1) - 1;
  for (let nth = 0, at = from; nth < count && at + size <= frame.length; nth += 1, at += size)
    places.set(frame.readInt32BE(at), at + 4);
  return places;
}

/** The requests or responses in data that begins and ends with one, without their sizes. */
function framesIn(data: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at + 4 <= data.length; at += 4 + data.readUInt32BE(at))
    frames.push(data.subarray(at + 4, at + 4 + data.readUInt32BE(at)));
  return frames.filter(({ length }) => length >= 8);
}
