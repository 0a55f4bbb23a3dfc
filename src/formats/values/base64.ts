const shape = /^[A-Za-z0-9+/_-]*={0,2}$/;

/**
 * Reads base64 in the standard or the URL-safe alphabet (RFC 4648), padded or not; undefined when it is neither. SenML
 * and the JSON mapping of Protobuf have either.
 */
export function bytesOfBase64(text: string): Buffer | undefined {
  if (!shape.test(text)) return undefined;
  const isPadded = text.endsWith('=');
  if (isPadded ? text.length % 4 !== 0 : text.length % 4 === 1) return undefined;
  return Buffer.from(text, 'base64');
}
