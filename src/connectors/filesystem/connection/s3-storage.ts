import type { S3Client } from '@aws-sdk/client-s3';
import type { RunContext } from '../../connector.ts';
import type { S3Profile } from '../config/profile.ts';
import type { SinkTable } from '../config/table.ts';
import { requestError, s3Client } from './s3-client.ts';
import type { Storage } from './storage.ts';

/**
 * A prefix in a bucket. An object is visible once its only request, or the last one of an upload in parts, has succeeded. The
 * parts of an upload that a crash left behind are removed when the task starts again.
 */

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
  readonly #cancel = new AbortController();

  private constructor(
    sdk: Sdk,
    client: S3Client,
    profile: S3Profile,
    { bucket, prefix }: { bucket: string; prefix: string },
    multipart: Multipart,
  ) {
    this.#sdk = sdk;
    this.#client = client;
    this.#profile = profile;
    this.#bucket = bucket;
    this.#base = prefix === '' ? '' : `${prefix}/`;
    this.#multipart = multipart;
  }

  /** `end` is how the names of the task's own files end, before the suffix; undefined if that cannot be told. */
  static async open(
    context: Pick<RunContext<S3Profile, unknown>, 'profile' | 'targets' | 'signal'>,
    location: { bucket: string; prefix: string },
    multipart: Multipart,
    end: string | undefined,
  ): Promise<S3Storage> {
    const [sdk, client] = await Promise.all([import('@aws-sdk/client-s3'), s3Client(context)]);
    const storage = new S3Storage(sdk, client, context.profile, location, multipart);
    try {
      await storage.#removeLeftovers(end, context.signal);
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
      await this.#abort(upload);
      throw error;
    }
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

  async #abort(upload: { Bucket: string; Key: string; UploadId: string | undefined }): Promise<void> {
    // If it fails, the next start of the task tries again.
    await this.#client.send(new this.#sdk.AbortMultipartUploadCommand(upload)).catch(() => {});
  }

  async names(folder: string): Promise<string[]> {
    const Prefix = `${this.#base}${folder === '' ? '' : `${folder}/`}`;
    const names: string[] = [];
    let token: string | undefined;
    try {
      do {
        const page = await this.#client.send(
          new this.#sdk.ListObjectsV2Command({
            Bucket: this.#bucket,
            Prefix,
            Delimiter: '/',
            ContinuationToken: token,
          }),
          this.#options(),
        );
        for (const { Key = '' } of page.Contents ?? []) names.push(Key.slice(Prefix.length));
        token = page.IsTruncated ? page.NextContinuationToken : undefined;
      } while (token !== undefined);
      return names;
    } catch (error) {
      throw requestError(error, this.#profile);
    }
  }

  async close(): Promise<void> {
    this.#cancel.abort();
    this.#client.destroy();
  }

  #options(): { abortSignal: AbortSignal } {
    return { abortSignal: this.#cancel.signal };
  }

  async #removeLeftovers(end: string | undefined, abortSignal: AbortSignal): Promise<void> {
    const { ListMultipartUploadsCommand } = this.#sdk;
    const place = { Bucket: this.#bucket, Prefix: this.#base };
    let marker: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } = {};
    for (let seen = 0; seen < maxUploads; ) {
      const page = await this.#client
        .send(new ListMultipartUploadsCommand({ ...place, ...marker }), { abortSignal })
        .catch((error: unknown) => this.#withoutListing(error));
      const uploads = page.Uploads ?? [];
      seen += uploads.length;
      for (const { Key = '', UploadId } of uploads)
        if (end !== undefined && nameWithoutSuffix(Key).endsWith(end))
          await this.#abort({ Bucket: this.#bucket, Key, UploadId });
      if (!page.IsTruncated || uploads.length === 0) return;
      marker = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
    }
  }

  /** Some stores cannot list uploads, and some policies do not allow it. */
  #withoutListing(
    error: unknown,
  ): { Uploads?: undefined; IsTruncated?: undefined } & Record<string, undefined> {
    const raised = requestError(error, this.#profile);
    const own = String(raised.code);
    const { status } = raised.facts as { status?: number };
    if (own === 's3_refused' || status === 501 || (error as Error).name === 'AccessDenied') return {};
    throw raised;
  }
}

const nameWithoutSuffix = (key: string): string => (key.split('/').at(-1) as string).split('.')[0] as string;
