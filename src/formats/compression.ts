import { gunzipSync, gzipSync } from 'node:zlib';
import type { Codec } from './format.ts';
import { badData } from './values/bad.ts';

/** What a message may unpack to: a packet of a few kilobytes can hold gigabytes. */
const maxUnpacked = 16 * 1024 * 1024;

/** Packs what a codec writes with gzip, and unpacks what it reads. */
export function gzipped(codec: Codec): Codec {
  const packed: Codec = {
    decode: (payload) => codec.decode(gunzip(payload)),
    encode: (row) => gzipSync(codec.encode(row)),
  };
  if (codec.decodeAll) {
    const decodeAll = codec.decodeAll.bind(codec);
    packed.decodeAll = (payload, bad) => decodeAll(gunzip(payload), bad);
  }
  return packed;
}

function gunzip(payload: Buffer): Buffer {
  try {
    return gunzipSync(payload, { maxOutputLength: maxUnpacked });
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE')
      throw badData('', `is more than ${maxUnpacked} bytes when it is unpacked`);
    throw badData('', 'is not gzip');
  }
}
