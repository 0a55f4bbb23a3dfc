/** Encodes the properties of a PUBLISH packet (MQTT 5, section 3.3.2.3). */

export interface PublishProperties {
  expirySecs?: number;
  contentType?: string;
  responseTopic?: string;
  correlationData?: Buffer;
  /** Names and values. A name may come more than once. */
  userProperties?: readonly (readonly [string, string])[];
}

/** With their length in front; one zero byte when there are none. Texts and data are at most 65,535 bytes. */
export function encodeProperties(properties: PublishProperties): Buffer {
  const parts: Buffer[] = [];
  const { expirySecs, contentType, responseTopic, correlationData, userProperties = [] } = properties;
  if (expirySecs !== undefined) parts.push(Buffer.of(0x02), uint32(expirySecs));
  if (contentType !== undefined) parts.push(Buffer.of(0x03), ...prefixed(contentType));
  if (responseTopic !== undefined) parts.push(Buffer.of(0x08), ...prefixed(responseTopic));
  if (correlationData !== undefined) parts.push(Buffer.of(0x09), ...prefixed(correlationData));
  for (const [name, value] of userProperties)
    parts.push(Buffer.of(0x26), ...prefixed(name), ...prefixed(value));
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([variableInteger(length), ...parts]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function prefixed(data: string | Buffer): [Buffer, Buffer] {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return [length, bytes];
}

/** A variable byte integer (section 1.5.5). */
function variableInteger(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push(rest > 127 ? (rest & 127) | 128 : rest);
    rest >>= 7;
  } while (rest > 0);
  return Buffer.from(bytes);
}
