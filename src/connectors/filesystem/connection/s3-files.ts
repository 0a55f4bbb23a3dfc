import type { Readable } from 'node:stream';
import type { Reachable } from '../../connector.ts';
import type { ReadableFiles } from '../../files/read-records.ts';
import type { S3Profile } from '../config/profile.ts';
import { requestError, s3Client } from './s3-client.ts';

/**
 * The objects below a prefix, whose names `wanted` accepts. Hidden ones and folders are left out. Throws if the prefix
 * cannot be listed.
 */
export async function s3Files(
  { profile, targets }: Reachable<S3Profile>,
  { bucket, prefix }: { bucket: string; prefix: string },
  wanted: (name: string) => boolean,
  signal: AbortSignal,
): Promise<ReadableFiles> {
  const [client, { GetObjectCommand, ListObjectsV2Command }] = await Promise.all([
    s3Client({ profile, targets }),
    import('@aws-sdk/client-s3'),
  ]);
  const base = prefix === '' ? '' : `${prefix}/`;

  async function* list(first: string | undefined, signal: AbortSignal): AsyncGenerator<string> {
    let token: string | undefined;
    do {
      const page = await client
        .send(new ListObjectsV2Command({ Bucket: bucket, Prefix: base, ContinuationToken: token }), {
          abortSignal: signal,
        })
        .catch((error: unknown) => failed(error, signal));
      for (const { Key = '' } of page.Contents ?? []) {
        const name = Key.slice(base.length);
        const isShown = name !== '' && !name.split('/').some((part) => part === '' || part.startsWith('.'));
        if (!isShown || !wanted(name)) continue;
        if (first === undefined || Buffer.compare(Buffer.from(name), Buffer.from(first)) >= 0) yield name;
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  function failed(error: unknown, signal: AbortSignal): never {
    signal.throwIfAborted();
    throw requestError(error, profile);
  }

  await client
    .send(new ListObjectsV2Command({ Bucket: bucket, Prefix: base }), { abortSignal: signal })
    .catch((error: unknown) => {
      client.destroy();
      return failed(error, signal);
    });
  return {
    list,
    async open(name, offset, signal) {
      const range = offset > 0 ? { Range: `bytes=${offset}-` } : {};
      const command = new GetObjectCommand({ Bucket: bucket, Key: base + name, ...range });
      try {
        const { Body } = await client.send(command, { abortSignal: signal });
        return Body as Readable;
      } catch (error) {
        const { name: kind } = error as Error;
        // Gone since it was listed, or nothing is behind the offset.
        if (kind === 'NoSuchKey' || kind === 'InvalidRange') return undefined;
        return failed(error, signal);
      }
    },
    failed: (error) => requestError(error, profile),
    close: () => client.destroy(),
  };
}
