import type protobuf from 'protobufjs';
import { badData } from '../values/bad.ts';
import { formatDecimal } from '../values/decimal.ts';
import { timestampFromParts } from '../values/timestamp.ts';
import { wrappedOf } from './fields.ts';
import {
  type MessageReader,
  messageValue,
  placesOf,
  type Reader,
  type ReadValue,
  type Step,
  signed,
  valueStep,
  walker,
} from './wire.ts';

/** Readers of the messages of google.protobuf that stand for a value. */

/** Reads a wrapper: `empty` is what one without a value stands for. */
export function wrapperReader(
  member: protobuf.Field,
  type: protobuf.Type,
  read: ReadValue,
  empty: unknown,
): ReadValue {
  const inner = wrappedOf(type);
  const place = placesOf([inner], undefined)(inner);
  return messageValue(member, {
    begin: () => [empty],
    walk: walker(new Map([[inner.id, valueStep(inner, place, read)]])),
    finish: ([value]) => value,
  });
}

/** The seconds and nanoseconds of a Timestamp or Duration. */
interface Parts {
  seconds: bigint;
  nanos: bigint;
}

const steps = new Map<number, Step>([
  [
    1,
    (reader, wire, depth, slots) => {
      if (wire === 0) slots[0] = signed(reader.int64());
      else reader.skipType(wire, depth, 1);
    },
  ],
  [
    2,
    (reader, wire, depth, slots) => {
      if (wire === 0) slots[1] = reader.int32();
      else reader.skipType(wire, depth, 2);
    },
  ],
]);
const partsReader: MessageReader<Parts> = {
  begin: () => [0n, 0],
  walk: walker(steps),
  finish: ([seconds, nanos]) => ({ seconds: seconds as bigint, nanos: BigInt(nanos as number) }),
};

/** Reads a Timestamp as a count of nanoseconds. */
export function timestampReader(
  member: protobuf.Field,
  path: string,
): (reader: Reader, depth: number) => bigint {
  const parts = messageValue(member, partsReader);
  return (reader, depth) => {
    const { seconds, nanos } = parts(reader, depth);
    const time = timestampFromParts(seconds, nanos, 'nanosecond');
    if (time === undefined) throw badData(path, 'is a time that does not fit 64 bits of nanoseconds');
    return time;
  };
}

/** Of 10,000 years, which is what a Duration may span. */
const maxSeconds = 10n ** 12n - 1n;

/** Reads a Duration as the text of its seconds with nine digits behind the point. */
export function durationReader(
  member: protobuf.Field,
  path: string,
): (reader: Reader, depth: number) => string {
  const parts = messageValue(member, partsReader);
  return (reader, depth) => {
    const { seconds, nanos } = parts(reader, depth);
    if (seconds > maxSeconds || seconds < -maxSeconds) throw badData(path, 'is too long a duration');
    return formatDecimal(seconds * 1_000_000_000n + nanos, 9);
  };
}
