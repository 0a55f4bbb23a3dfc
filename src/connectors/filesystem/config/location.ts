/** The `path` of a table: a local folder, or a prefix in a bucket. */

export type Location = { local: string } | { bucket: string; prefix: string };

const bucketForm = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

/** Returns a sentence, without its subject, for a path that is not supported. */
export function locationOf(path: string): Location | string {
  const [, scheme = '', rest = ''] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is.exec(path) ?? [];
  const kind = scheme.toLowerCase();
  if (kind === '' || kind === 'file') return { local: path };
  if (kind !== 's3' && kind !== 's3a')
    return `has the scheme ${kind}, which is not supported: use a local path, or s3://bucket/prefix with the endpoint in the profile`;
  const [bucket = '', ...parts] = rest.split('/');
  if (!bucketForm.test(bucket) || bucket.includes('..'))
    return 'names no valid bucket: write it like s3://bucket/prefix';
  if (parts.some((part) => part === '..' || part === '.')) return 'has . or .. as a part of the prefix';
  const prefix = parts.filter((part) => part !== '').join('/');
  if (Buffer.byteLength(prefix) > 700) return 'has a prefix of more than 700 bytes';
  return { bucket, prefix };
}

/** Throws for a path that `validateTable` refuses. */
export function validLocation(path: string): Location {
  const location = locationOf(path);
  if (typeof location === 'string') throw new Error(`The path ${location}`);
  return location;
}
