import { createHash } from 'node:crypto';
import { inflateRawSync, zstdDecompressSync } from 'node:zlib';
import { badData } from '../values/bad.ts';
import { AvroInput, AvroOutput } from './bytes.ts';

/** Object container files (Avro specification, "Object Container Files"), one to a message. */

const magic = Buffer.from('Obj\x01');

/** What the blocks of one message may come to when they are decompressed. */
const maxInflated = 64 * 1024 * 1024;

/** A longer schema in a message is refused before it is parsed. */
const maxSchema = 200_000;

export interface Container {
  /** The text of the schema that it was written with. */
  schema: string;
  blocks: { count: number; input: AvroInput }[];
}

/** Takes a container apart; its blocks are decompressed, their objects not yet read. Throws `bad_data`. */
export function readContainer(payload: Buffer): Container {
  if (!payload.subarray(0, 4).equals(magic)) throw badData('', 'is not an Avro container file');
  const input = new AvroInput(payload, 4);
  const header = new Map<string, Buffer>();
  input.blocks(() => {
    header.set(input.string(''), input.view(input.int()));
  });
  const schema = header.get('avro.schema');
  if (!schema || schema.length > maxSchema) throw badData('', 'has no Avro schema, or one that is too long');
  const decompress = decompressor(header.get('avro.codec')?.toString() ?? 'null');
  const sync = input.view(16);
  const blocks: Container['blocks'] = [];
  let left = maxInflated;
  while (input.at < payload.length) {
    const count = input.int();
    const block = decompress(input.view(input.int()), left);
    left -= block.length;
    if (count < 0 || !input.view(16).equals(sync)) throw badData('', 'is a damaged Avro container file');
    blocks.push({ count, input: new AvroInput(block) });
  }
  return { schema: schema.toString(), blocks };
}

function decompressor(codec: string): (block: Buffer, maxOutputLength: number) => Buffer {
  if (codec === 'null') return (block) => block;
  const known = { deflate: inflateRawSync, zstandard: zstdDecompressSync };
  if (codec !== 'deflate' && codec !== 'zstandard') {
    throw badData('', 'is compressed with a codec other than deflate and zstandard');
  }
  return (block, left) => {
    try {
      return known[codec](block, { maxOutputLength: Math.max(1, left) });
    } catch {
      throw badData('', 'has a block that cannot be decompressed, or to more than 64 MiB');
    }
  };
}

/** Compiles what puts one datum into a container of its own, uncompressed. */
export function containerOf(schema: string): (datum: Buffer) => Buffer {
  // Any 16 bytes will do that the data is not likely to hold; these make the same row the same message.
  const sync = createHash('sha256').update(schema).digest().subarray(0, 16);
  const output = new AvroOutput();
  output.fixed(magic);
  output.int(2);
  output.string('avro.schema');
  output.string(schema);
  output.string('avro.codec');
  output.string('null');
  output.int(0);
  output.fixed(sync);
  const header = output.finish();
  return (datum) => {
    output.start();
    output.fixed(header);
    output.int(1);
    output.buffer(datum);
    output.fixed(sync);
    return output.finish();
  };
}
