import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { AutocompleteContext } from '../../connector.ts';
import { localPath } from '../../files/paths.ts';
import type { S3Profile } from '../config/profile.ts';
import { requestError, s3Client } from '../connection/s3-client.ts';

const maxPaths = 100;
const maxDepth = 3;

/** Folders below the operator's folder, and the buckets of the profile's store. */
export async function autocomplete(
  context: AutocompleteContext<S3Profile>,
): Promise<Record<string, string[]>> {
  const { profile, targets } = context;
  const hasStore = Boolean(profile.endpoint ?? profile.access_key_id);
  const folders = targets.fileDir === undefined ? [] : await foldersIn(context);
  const buckets = hasStore ? await bucketsOf(context) : [];
  return { path: [...buckets, ...folders].slice(0, maxPaths) };
}

async function foldersIn({ targets, signal }: AutocompleteContext<S3Profile>): Promise<string[]> {
  const { real } = await localPath('.', targets);
  const found: string[] = [];
  let level = [''];
  for (let depth = 0; depth < maxDepth && level.length > 0 && found.length < maxPaths; depth += 1) {
    const next: string[] = [];
    for (const below of level.slice(0, maxPaths)) {
      signal.throwIfAborted();
      const entries = await readdir(join(real, below), { withFileTypes: true }).catch(() => []);
      const folders = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'));
      next.push(...folders.map(({ name }) => join(below, name)).sort());
    }
    found.push(...next);
    level = next;
  }
  return found;
}

async function bucketsOf({ profile, targets, signal }: AutocompleteContext<S3Profile>): Promise<string[]> {
  const { ListBucketsCommand } = await import('@aws-sdk/client-s3');
  const client = await s3Client({ profile, targets });
  try {
    const { Buckets = [] } = await client.send(new ListBucketsCommand({}), { abortSignal: signal });
    return Buckets.flatMap(({ Name }) => (Name === undefined ? [] : [`s3://${Name}/`]));
  } catch (error) {
    signal.throwIfAborted();
    throw requestError(error, profile);
  } finally {
    client.destroy();
  }
}
