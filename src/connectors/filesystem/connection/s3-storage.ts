import { randomBytes } from 'node:crypto';
import type { S3Client } from '@aws-sdk/client-s3';
import type { RunContext } from '../../connector.ts';
import type { S3Profile } from '../config/profile.ts';
import type { SinkTable } from '../config/table.ts';
import { requestError, s3Client } from './s3-client.ts';
import type { Storage } from './storage.ts';

/**
 * A prefix in a bucket. An object is visible once its only request, or the last one of an upload in parts, has succeeded. The
 * parts of an upload that a crash left behind are removed when the task starts again. A small hidden object, the mark, has the
 * key of an upload until that is over, because some stores, such as MinIO, list the uploads of a whole key only.
 */

/** How a task recognises the uploads that it has left. */
export interface Recognition {
  /** The start of the names of its marks. */
  mark: string;
  /** The end of the names of its files, before the suffix; undefined if they have none. */
  end: string | undefined;
}

type Sdk = typeof import('@aws-sdk/client-s3');
type Multipart = NonNullable<SinkTable['multipart']>;

const defaultPartBytes = 8 * 1024 * 1024;
const defaultMultipartBytes = 16 * 1024 * 1024;
/** Number of parts of an object that are sent at the same time. */
const maxSending = 4;
/** Maximum number of unfinished uploads to look through. */
const maxUploads = 10_000;

export class S3Storage implements Storage {
  readonly #sdk: Sdk;
  readonly #client: S3Client;
  readonly #profile: S3Profile;
  readonly #bucket: string;
  readonly #base: string;
  readonly #multipart: Multipart;
  readonly #own: Recognition;
  /** Whether the store lets us write and remove marks, as far as is known. */
  #marks = true;
  readonly #cancel = new AbortController();

  private constructor(
    sdk: Sdk,
    client: S3Client,
    profile: S3Profile,
    { bucket, prefix }: { bucket: string; prefix: string },
    multipart: Multipart,
    own: Recognition,
  ) {
    this.#sdk = sdk;
    this.#client = client;
    this.#profile = profile;
    this.#bucket = bucket;
    this.#base = prefix === '' ? '' : `${prefix}/`;
    this.#multipart = multipart;
    this.#own = own;
  }

  static async open(
    context: Pick<RunContext<S3Profile, unknown>, 'profile' | 'targets' | 'signal'>,
    location: { bucket: string; prefix: string },
    multipart: Multipart,
    own: Recognition,
  ): Promise<S3Storage> {
    const [sdk, client] = await Promise.all([import('@aws-sdk/client-s3'), s3Client(context)]);
    const storage = new S3Storage(sdk, client, context.profile, location, multipart, own);
    try {
      await storage.#removeLeftovers(context.signal);
      return storage;
    } catch (error) {
      await storage.close();
      context.signal.throwIfAborted();
      throw error;
    }
  }

  async put(folder: string, name: string, data: Buffer[], exclusive: boolean): Promise<boolean> {
    const Key = `${this.#base}${folder === '' ? '' : `${folder}/`}${name}`;
    const body = data.length === 1 ? (data[0] as Buffer) : Buffer.concat(data);
    const { minimum_multipart_size: fromSize = defaultMultipartBytes } = this.#multipart;
    const condition = exclusive ? { IfNoneMatch: '*' } : {};
    try {
      if (body.length < Math.max(fromSize, 1)) {
        const command = new this.#sdk.PutObjectCommand({
          Bucket: this.#bucket,
          Key,
          Body: body,
          ...condition,
        });
        await this.#client.send(command, this.#options());
      } else await this.#upload(Key, body, condition);
      return true;
    } catch (error) {
      if ((error as Error).name === 'PreconditionFailed') return false;
      throw requestError(error, this.#profile);
    }
  }

  async #upload(Key: string, body: Buffer, condition: { IfNoneMatch?: string }): Promise<void> {
    const { CreateMultipartUploadCommand, CompleteMultipartUploadCommand } = this.#sdk;
    const place = { Bucket: this.#bucket, Key };
    const mark = await this.#mark(Key);
    const { UploadId } = await this.#client.send(new CreateMultipartUploadCommand(place), this.#options());
    const upload = { ...place, UploadId };
    try {
      const Parts = await this.#sendParts(upload, body);
      const complete = new CompleteMultipartUploadCommand({
        ...upload,
        MultipartUpload: { Parts },
        ...condition,
      });
      await this.#client.send(complete, this.#options());
    } catch (error) {
      if (await this.#abort(upload)) await this.#unmark(mark);
      throw error;
    }
    await this.#unmark(mark);
  }

  /** Returns the key of the mark, before the upload begins; undefined if the store denies marks. */
  async #mark(key: string): Promise<string | undefined> {
    if (!this.#marks) return undefined;
    const Key = `${this.#base}${this.#own.mark}${randomBytes(6).toString('hex')}.tmp`;
    const command = new this.#sdk.PutObjectCommand({ Bucket: this.#bucket, Key, Body: key });
    try {
      await this.#client.send(command, this.#options());
      return Key;
    } catch (error) {
      if (!isDenied(error)) throw error;
      this.#marks = false;
      return undefined;
    }
  }

  async #unmark(Key: string | undefined): Promise<void> {
    if (Key === undefined) return;
    const command = new this.#sdk.DeleteObjectCommand({ Bucket: this.#bucket, Key });
    // If it fails, the next start of the task tries again. Marks that may not be removed would become many.
    await this.#client.send(command).catch((error: unknown) => {
      if (isDenied(error)) this.#marks = false;
    });
  }

  async #sendParts(
    upload: { Bucket: string; Key: string; UploadId: string | undefined },
    body: Buffer,
  ): Promise<{ ETag: string | undefined; PartNumber: number }[]> {
    const { target_part_size_bytes: wanted = defaultPartBytes, max_parts: max = 10_000 } = this.#multipart;
    const size = Math.max(wanted, Math.ceil(body.length / max));
    const count = Math.ceil(body.length / size);
    const parts: { ETag: string | undefined; PartNumber: number }[] = [];
    let next = 0;
    const send = async (): Promise<void> => {
      while (next < count) {
        const at = next++;
        const Body = body.subarray(at * size, (at + 1) * size);
        const part = new this.#sdk.UploadPartCommand({ ...upload, PartNumber: at + 1, Body });
        const { ETag } = await this.#client.send(part, this.#options());
        parts[at] = { ETag, PartNumber: at + 1 };
      }
    };
    const sent = await Promise.allSettled(Array.from({ length: maxSending }, send));
    for (const outcome of sent) if (outcome.status === 'rejected') throw outcome.reason;
    return parts;
  }

  /** Returns whether it succeeded. If it did not, the next start of the task tries again. */
  async #abort(upload: { Bucket: string; Key: string; UploadId: string | undefined }): Promise<boolean> {
    return this.#client.send(new this.#sdk.AbortMultipartUploadCommand(upload)).then(
      () => true,
      (error: unknown) => (error as Error).name === 'NoSuchUpload',
    );
  }

  async names(folder: string): Promise<string[]> {
    const prefix = `${this.#base}${folder === '' ? '' : `${folder}/`}`;
    try {
      return (await this.#list(prefix, this.#options())).map((key) => key.slice(prefix.length));
    } catch (error) {
      throw requestError(error, this.#profile);
    }
  }

  /** The keys that begin with `Prefix` and have no further slash. */
  async #list(Prefix: string, options: { abortSignal: AbortSignal }): Promise<string[]> {
    const keys: string[] = [];
    let token: string | undefined;
    do {
      const command = new this.#sdk.ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix,
        Delimiter: '/',
        ContinuationToken: token,
      });
      const page = await this.#client.send(command, options);
      for (const { Key = '' } of page.Contents ?? []) keys.push(Key);
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
    return keys;
  }

  async close(): Promise<void> {
    this.#cancel.abort();
    this.#client.destroy();
  }

  #options(): { abortSignal: AbortSignal } {
    return { abortSignal: this.#cancel.signal };
  }

  async #removeLeftovers(abortSignal: AbortSignal): Promise<void> {
    const { mark: start, end } = this.#own;
    if (end !== undefined)
      await this.#abortAll(this.#base, (key) => nameWithoutSuffix(key).endsWith(end), abortSignal);
    try {
      for (const mark of await this.#list(this.#base + start, { abortSignal })) {
        const command = new this.#sdk.GetObjectCommand({ Bucket: this.#bucket, Key: mark });
        const { Body } = await this.#client.send(command, { abortSignal });
        const key = (await Body?.transformToString()) ?? '';
        await this.#abortAll(key, (found) => found === key, abortSignal);
        await this.#unmark(mark);
      }
    } catch (error) {
      this.#unlessDenied(error);
    }
  }

  /** Aborts the unfinished uploads whose keys begin with `Prefix` and are `own`. */
  async #abortAll(Prefix: string, own: (key: string) => boolean, abortSignal: AbortSignal): Promise<void> {
    const { ListMultipartUploadsCommand } = this.#sdk;
    const place = { Bucket: this.#bucket, Prefix };
    let marker: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } = {};
    for (let seen = 0; seen < maxUploads; ) {
      const page = await this.#client
        .send(new ListMultipartUploadsCommand({ ...place, ...marker }), { abortSignal })
        .catch((error: unknown) => this.#unlessDenied(error));
      const uploads = page?.Uploads ?? [];
      seen += uploads.length;
      for (const { Key = '', UploadId } of uploads)
        if (own(Key)) await this.#abort({ Bucket: this.#bucket, Key, UploadId });
      if (!page?.IsTruncated || uploads.length === 0) return;
      marker = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
    }
  }

  /** Some stores cannot list uploads, and some policies do not allow it. */
  #unlessDenied(error: unknown): undefined {
    const raised = requestError(error, this.#profile);
    const { status } = raised.facts as { status?: number };
    if (raised.code === 's3_refused' || status === 501 || isDenied(error)) return;
    throw raised;
  }
}

const isDenied = (error: unknown): boolean => (error as Error).name === 'AccessDenied';

const nameWithoutSuffix = (key: string): string => (key.split('/').at(-1) as string).split('.')[0] as string;
