import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { existsSync, linkSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PenstockError } from '../errors.ts';
import { makePrivateFolder } from '../store/private-folder.ts';

const keyId = (key: Buffer): string => createHash('sha256').update(key).digest('hex').slice(0, 8);

export interface SealedBytes {
  /** Version and key of the seal. */
  sealed: string;
  data: Uint8Array<ArrayBuffer>;
}

/** Seals and opens single values with AES-256-GCM. The first key seals; every key opens. */
export class SecretBox {
  readonly #keys = new Map<string, Buffer>();
  readonly #current: string;

  /** `keys` are 32 bytes in base64 each; throws `invalid_config` when one is not. */
  constructor(keys: string[]) {
    for (const text of keys) {
      const key = Buffer.from(text, 'base64');
      if (key.length !== 32)
        throw new PenstockError(
          'invalid_config',
          'PENSTOCK_SECRET_KEY must be 32 bytes in base64 (openssl rand -base64 32)',
        );
      this.#keys.set(keyId(key), key);
    }
    const [first] = this.#keys.keys();
    if (first === undefined) throw new PenstockError('invalid_config', 'PENSTOCK_SECRET_KEY holds no key');
    this.#current = first;
  }

  isCurrent(blob: string): boolean {
    return blob.split('.')[1] === this.#current;
  }

  hasKeyOf(blob: string): boolean {
    return this.#keys.has(blob.split('.')[1] ?? '');
  }

  seal(text: string, belongsTo: string): string {
    const parts = this.#encrypt(Buffer.from(text), belongsTo);
    return [this.#label, ...parts.map((part) => part.toString('base64url'))].join('.');
  }

  /** Throws `secret_unreadable` when no configured key fits, or when the value was moved or altered. */
  open(blob: string, belongsTo: string): string {
    const [version, id, ...parts] = blob.split('.');
    const bytes = parts.map((part) => Buffer.from(part, 'base64url'));
    return this.#decrypt(`${version}.${id}`, bytes, belongsTo).toString('utf8');
  }

  /** Seals bytes. `sealed` says how, for `openBytes`, `isCurrent` and `hasKeyOf`. */
  sealBytes(bytes: Uint8Array, belongsTo: string): SealedBytes {
    return { sealed: this.#label, data: Buffer.concat(this.#encrypt(bytes, belongsTo)) };
  }

  /** Throws `secret_unreadable`. */
  openBytes({ sealed, data }: SealedBytes, belongsTo: string): Uint8Array<ArrayBuffer> {
    const parts = [data.subarray(0, 12), data.subarray(12, 28), data.subarray(28)];
    return this.#decrypt(sealed, parts, belongsTo);
  }

  get #label(): string {
    return `v1.${this.#current}`;
  }

  #encrypt(bytes: Uint8Array, belongsTo: string): [iv: Buffer, tag: Buffer, sealed: Buffer] {
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#keys.get(this.#current) as Buffer, iv);
    cipher.setAAD(Buffer.from(belongsTo));
    const sealed = Buffer.concat([cipher.update(bytes), cipher.final()]);
    return [iv, cipher.getAuthTag(), sealed];
  }

  #decrypt(label: string, parts: readonly Uint8Array[], belongsTo: string): Buffer<ArrayBuffer> {
    const [version, id = ''] = label.split('.');
    const key = this.#keys.get(id);
    const [iv, tag, sealed] = parts;
    if (version !== 'v1' || !key || !iv || !tag || !sealed)
      throw new PenstockError('secret_unreadable', `A secret of ${belongsTo} was sealed with the key ${id}`, {
        hint: 'Add the key it was sealed with to PENSTOCK_SECRET_KEY, or enter the secret again.',
      });
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, iv);
      decipher.setAAD(Buffer.from(belongsTo));
      decipher.setAuthTag(tag);
      return Buffer.concat([decipher.update(sealed), decipher.final()]);
    } catch (cause) {
      throw new PenstockError('secret_unreadable', `A secret of ${belongsTo} was altered or moved`, {
        hint: 'Enter the secret again.',
        cause,
      });
    }
  }
}

/** Returns the configured keys, or the one in the data folder, which is created (mode 0600) when missing. */
export function loadSecretKeys(configured: string[] | undefined, dataDir: string): string[] {
  if (configured) return configured;
  const path = join(dataDir, 'secret.key');
  makePrivateFolder(dataDir);
  if (!existsSync(path)) writeOnce(path, `${randomBytes(32).toString('base64')}\n`);
  return [readFileSync(path, 'utf8').trim()];
}

/** Writes a file atomically; when several processes do, the first one wins. */
function writeOnce(path: string, text: string): void {
  const draft = `${path}.${randomBytes(4).toString('hex')}`;
  writeFileSync(draft, text, { mode: 0o600, flag: 'wx', flush: true });
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(draft);
  }
}
