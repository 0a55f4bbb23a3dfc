import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import S3rver from 's3rver';
import { atEnd } from './at-end.ts';

/** An S3-compatible store with one bucket. It stops by itself: see `atEnd`. */
export async function startS3(bucket: string): Promise<{ port: number; profile: Record<string, unknown> }> {
  const directory = mkdtempSync(join(tmpdir(), 'penstock-s3-'));
  const server = new S3rver({
    port: 0,
    address: '127.0.0.1',
    silent: true,
    directory,
    configureBuckets: [{ name: bucket, configs: [] }],
  });
  const { port } = await server.run();
  atEnd(async () => {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const login = { access_key_id: 'S3RVER', secret_access_key: 'S3RVER' };
  return { port, profile: { endpoint: `http://127.0.0.1:${port}`, path_style: true, ...login } };
}
