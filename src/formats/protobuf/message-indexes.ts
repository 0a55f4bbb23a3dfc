import protobuf from 'protobufjs';
import type { Codec } from '../format.ts';
import { badData, badRow } from '../values/bad.ts';
import type { ProtobufSchema } from './definition.ts';

/**
 * Adds what Confluent's serializers write before a Protobuf message, after their header: the place of its type in the
 * file, as indexes among the messages of each level. They are checked if the definition itself has the type.
 */
export function behindIndexes(codec: Codec, type: protobuf.Type, definition: ProtobufSchema): Codec {
  const { decodeAll } = codec;
  const place = placeOf(type.fullName, fileOf(definition.schema));
  const lowest = place?.map(({ index }) => index);
  const body = (payload: Buffer): Buffer => {
    const { indexes, end } = readIndexes(payload);
    if (place && !isAt(place, indexes))
      throw badData(
        '',
        `was written for the message with the indexes ${indexes} of its schema; ${type.name} has ${lowest}`,
      );
    return payload.subarray(end);
  };
  return {
    decode: (payload) => codec.decode(body(payload)),
    ...(decodeAll && { decodeAll: (payload, bad) => decodeAll(body(payload), bad) }),
    encode(row) {
      if (!lowest) throw badRow('', `cannot be written: the definition itself does not have ${type.name}`);
      return Buffer.concat([written(lowest), codec.encode(row)]);
    },
  };
}

/** A step from a message to one inside it. */
interface Step {
  index: number;
  /** Number of maps beside it: serializers for Python count those before it in the text as messages. */
  maps: number;
}

const isAt = (place: readonly Step[], indexes: readonly number[]): boolean =>
  place.length === indexes.length &&
  place.every(({ index, maps }, level) => {
    const found = indexes[level] as number;
    return found >= index && found <= index + maps;
  });

interface ParsedFile {
  top: protobuf.NamespaceBase;
  prefix: string;
}

/** Undefined if the file itself does not have a message of that full name, as one that a dependency has. */
const placeOf = (fullName: string, { top, prefix }: ParsedFile): Step[] | undefined =>
  fullName.startsWith(prefix) ? placeIn(top, fullName.slice(prefix.length).split('.')) : undefined;

function fileOf(schema: string): ParsedFile {
  const { root, package: name = '' } = protobuf.parse(schema, new protobuf.Root(), { keepCase: true });
  const top = name ? root.lookup(`.${name}`) : root;
  return { top: top as protobuf.NamespaceBase, prefix: name ? `.${name}.` : '.' };
}

/** A file with the schema of messages, which say by indexes of which type they are. */
export class IndexedFile {
  readonly #file: ParsedFile;

  /** Throws if the text is no Protobuf. */
  constructor(schema: string) {
    this.#file = fileOf(schema);
  }

  /** Whether the indexes are those of the message of that full name. */
  has(indexes: readonly number[], fullName: string): boolean {
    const place = placeOf(fullName, this.#file);
    return place !== undefined && isAt(place, indexes);
  }

  /** The full name of the message at the indexes, counted without the entries of maps. Undefined if there is none. */
  nameAt(indexes: readonly number[]): string | undefined {
    let at: protobuf.NamespaceBase | undefined = this.#file.top;
    for (const index of indexes) at = at && messagesOf(at)[index];
    return at instanceof protobuf.Type ? at.fullName : undefined;
  }
}

const messagesOf = (parent: protobuf.NamespaceBase): protobuf.Type[] =>
  parent.nestedArray.filter((nested) => nested instanceof protobuf.Type);

function placeIn(parent: protobuf.NamespaceBase, [name, ...rest]: readonly string[]): Step[] | undefined {
  const messages = messagesOf(parent);
  const index = messages.findIndex((message) => message.name === name);
  const found = messages[index];
  if (!found) return undefined;
  const below = rest.length === 0 ? [] : placeIn(found, rest);
  const maps = parent instanceof protobuf.Type ? parent.fieldsArray.filter(({ map }) => map).length : 0;
  return below && [{ index, maps }, ...below];
}

const maxIndexes = 32;

/** A count and as many indexes, as varints in zigzag; a single 0 is the first message. */
export function readIndexes(payload: Buffer): { indexes: number[]; end: number } {
  const reader = protobuf.Reader.create(payload);
  try {
    const count = reader.sint32();
    if (count < 0 || count > maxIndexes) throw new RangeError('no such count');
    const indexes = count === 0 ? [0] : Array.from({ length: count }, () => reader.sint32());
    return { indexes, end: reader.pos };
  } catch {
    throw badData('', "has no message indexes after Confluent's header");
  }
}

function written(place: readonly number[]): Uint8Array {
  const writer = protobuf.Writer.create();
  if (place.length === 1 && place[0] === 0) return writer.uint32(0).finish();
  writer.sint32(place.length);
  for (const index of place) writer.sint32(index);
  return writer.finish();
}
