import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import type { ServerOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import S3rver, { type Exchange } from 's3rver';
import { atEnd } from './at-end.ts';

export interface S3 {
  port: number;
  profile: Record<string, unknown>;
  /** The keys of uploads that are neither complete nor aborted. */
  uploads(): string[];
  /** Whether uploads are listed for a whole key only, as by MinIO. */
  listsWholeKeys: boolean;
  /** Tells which requests find a store that closes the connection. */
  cuts: (request: Exchange['req']) => boolean;
}

/** An S3-compatible store with one bucket. It stops by itself: see `atEnd`. */
export async function startS3(bucket: string, tls: ServerOptions = {}): Promise<S3> {
  const directory = mkdtempSync(join(tmpdir(), 'penstock-s3-'));
  const server = new S3rver({
    port: 0,
    address: '127.0.0.1',
    silent: true,
    directory,
    configureBuckets: [{ name: bucket, configs: [] }],
    ...tls,
  });
  const unfinished = new Unfinished(join(directory, bucket, '._S3rver_uploads'));
  server.middleware.unshift(async (exchange, next) => {
    if (store.cuts(exchange.req)) exchange.req.socket.destroy();
    else if (!unfinished.respond(exchange, store.listsWholeKeys)) await next();
  });
  const { port } = await server.run();
  atEnd(async () => {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const endpoint = `${tls.cert === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
  const login = { access_key_id: 'S3RVER', secret_access_key: 'S3RVER' };
  const store: S3 = {
    port,
    profile: { endpoint, path_style: true, ...login },
    uploads: () => [...unfinished.all().values()].sort(),
    listsWholeKeys: false,
    cuts: () => false,
  };
  return store;
}

/** The unfinished uploads of a bucket: s3rver keeps them, but can neither list nor abort them. */
class Unfinished {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  all(): Map<string, string> {
    if (!existsSync(this.#folder)) return new Map();
    const ids = readdirSync(this.#folder, { recursive: true, withFileTypes: true })
      .filter(({ name }) => name === 'key')
      .map(({ parentPath }) => parentPath.slice(this.#folder.length + 1));
    return new Map(ids.map((id) => [id, readFileSync(join(this.#folder, id, 'key'), 'utf8')]));
  }

  /** Responds to a request about them; false if it is another one. */
  respond(exchange: Exchange, wholeKeys: boolean): boolean {
    const { method, query } = exchange;
    if (method === 'DELETE' && typeof query.uploadId === 'string') {
      rmSync(join(this.#folder, query.uploadId), { recursive: true });
      exchange.status = 204;
      return true;
    }
    if (method !== 'GET' || !('uploads' in query)) return false;
    const uploads = [...this.all()]
      .filter(([, key]) => (wholeKeys ? key === query.prefix : key.startsWith(String(query.prefix ?? ''))))
      .map(([id, key]) => `<Upload><Key>${key}</Key><UploadId>${id}</UploadId></Upload>`);
    exchange.type = 'application/xml';
    exchange.body = `<ListMultipartUploadsResult>${uploads.join('')}</ListMultipartUploadsResult>`;
    return true;
  }
}
