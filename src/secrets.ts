import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TSchema } from 'typebox';
import { Environment, matchesName } from './config.ts';
import { PenstockError } from './errors.ts';

/**
 * Secret values: sealed in the database, masked in answers, opened only where a connection is made.
 *
 * A connector's schema lists its secret properties under `sensitive`, as paths such as `password` or `tls/key`. In
 * a stored configuration each of them is replaced by `{"$sealed": "v1.<key id>.<iv>.<tag>.<ciphertext>"}`:
 * AES-256-GCM, bound by its additional data to the row and the field it belongs to.
 */

/** What is answered in place of a secret. Sent back, it keeps the stored value. */
export const mask = '********';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isSealed = (value: Json | undefined): value is { $sealed: string } =>
  isObject(value) && typeof value.$sealed === 'string';

const keyId = (key: Buffer): string => createHash('sha256').update(key).digest('hex').slice(0, 8);

/** Seals and opens single values. The first key seals; every key opens what it sealed. */
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
    if (first === undefined) throw new PenstockError('invalid_config', 'At least one secret key is needed');
    this.#current = first;
  }

  /** Whether a sealed value was sealed with the key that seals now. */
  isCurrent(blob: string): boolean {
    return blob.split('.')[1] === this.#current;
  }

  /** Whether there is the key that sealed a value. */
  hasKeyOf(blob: string): boolean {
    return this.#keys.has(blob.split('.')[1] ?? '');
  }

  seal(text: string, belongsTo: string): string {
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#keys.get(this.#current) as Buffer, iv);
    cipher.setAAD(Buffer.from(belongsTo));
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return [
      'v1',
      this.#current,
      ...[iv, cipher.getAuthTag(), sealed].map((part) => part.toString('base64url')),
    ].join('.');
  }

  /** Throws `secret_unreadable` when no configured key fits, or when the value was moved or altered. */
  open(blob: string, belongsTo: string): string {
    const [version, id = '', ...parts] = blob.split('.');
    const key = this.#keys.get(id);
    const [iv, tag, sealed] = parts.map((part) => Buffer.from(part, 'base64url'));
    if (version !== 'v1' || !key || !iv || !tag || !sealed) {
      throw new PenstockError('secret_unreadable', `A secret of ${belongsTo} was sealed with the key ${id}`, {
        hint: 'Add the key it was sealed with to PENSTOCK_SECRET_KEY, or enter the secret again.',
      });
    }
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, iv);
      decipher.setAAD(Buffer.from(belongsTo));
      decipher.setAuthTag(tag);
      return Buffer.concat([decipher.update(sealed), decipher.final()]).toString('utf8');
    } catch (cause) {
      throw new PenstockError('secret_unreadable', `A secret of ${belongsTo} was altered or moved`, {
        hint: 'Enter the secret again.',
        cause,
      });
    }
  }
}

/** The configured keys, or the one in the data folder, which is made (mode 0600) when it is not there yet. */
export function loadSecretKeys(configured: string[] | undefined, dataDir: string): string[] {
  if (configured) return configured;
  const path = join(dataDir, 'secret.key');
  mkdirSync(dataDir, { recursive: true });
  if (!existsSync(path)) writeOnce(path, `${randomBytes(32).toString('base64')}\n`);
  return [readFileSync(path, 'utf8').trim()];
}

/** Writes a file that is there whole or not at all, and stays as the first who writes it has it. */
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

/** The paths that a connector's schema marks as secret. */
export function sensitivePaths(schema: TSchema): string[] {
  return 'sensitive' in schema ? (schema.sensitive as string[]) : [];
}

/** Answers a copy of `config` in which each secret that is set has become what `change` makes of it. */
function mapSecrets(
  config: JsonObject,
  schema: TSchema,
  change: (value: Json, path: string) => Json,
): JsonObject {
  const copy = structuredClone(config);
  for (const path of sensitivePaths(schema)) {
    const names = path.split('/');
    const last = names.pop() as string;
    const parent = names.reduce<Json | undefined>((at, name) => (isObject(at) ? at[name] : undefined), copy);
    const value = isObject(parent) ? parent[last] : undefined;
    if (isObject(parent) && value !== undefined && value !== null) parent[last] = change(value, path);
  }
  return copy;
}

export function sealConfig(
  config: JsonObject,
  schema: TSchema,
  box: SecretBox,
  belongsTo: string,
): JsonObject {
  return mapSecrets(config, schema, (value, path) =>
    typeof value === 'string' ? { $sealed: box.seal(value, `${belongsTo}/${path}`) } : value,
  );
}

export function openConfig(
  config: JsonObject,
  schema: TSchema,
  box: SecretBox,
  belongsTo: string,
): JsonObject {
  return mapSecrets(config, schema, (value, path) =>
    isSealed(value) ? box.open(value.$sealed, `${belongsTo}/${path}`) : value,
  );
}

/** The sealed values of a stored configuration. */
export function sealedIn(config: JsonObject, schema: TSchema): string[] {
  const found: string[] = [];
  mapSecrets(config, schema, (value) => {
    if (isSealed(value)) found.push(value.$sealed);
    return value;
  });
  return found;
}

/** What may be shown of a configuration, stored or sent: every secret masked, `{{ NAME }}` left as it is. */
export function maskConfig(config: JsonObject, schema: TSchema): JsonObject {
  return mapSecrets(config, schema, () => mask);
}

/** The paths whose value is the mask itself: nothing is stored yet that it could stand for. */
export function maskedPaths(config: JsonObject, schema: TSchema): string[] {
  const found: string[] = [];
  mapSecrets(config, schema, (value, path) => {
    if (value === mask) found.push(`/${path}`);
    return value;
  });
  return found;
}

/** Answers a copy of `config` in which each secret that is the mask has become the one `stored` has there. */
export function keepMasked(config: JsonObject, stored: JsonObject, schema: TSchema): JsonObject {
  const kept = new Map<string, Json>();
  mapSecrets(stored, schema, (value, path) => {
    kept.set(path, value);
    return value;
  });
  return mapSecrets(config, schema, (value, path) => (value === mask ? (kept.get(path) ?? mask) : value));
}

export type Variables = (name: string) => string;

/** Reads `{{ NAME }}` from `env`, for the allowed names only; throws `variable_not_allowed` for any other. */
export function variablesFrom(env: Record<string, string | undefined>, allowed: string[]): Variables {
  return (name) => {
    // Our own settings hold keys and passwords, whatever the patterns say.
    const readable =
      !(name in Environment.properties) && allowed.some((pattern) => matchesName(pattern, name));
    if (!readable)
      throw new PenstockError('variable_not_allowed', `The variable ${name} may not be read`, {
        hint: `List ${name} in PENSTOCK_ALLOWED_VARS where Penstock runs, or use a name that is allowed there.`,
      });
    const value = env[name];
    if (value !== undefined) return value;
    throw new PenstockError('variable_not_allowed', `The variable ${name} is not set`, {
      hint: `Set ${name} where Penstock runs, and start it again.`,
    });
  };
}

/** What a connector's schema says of one property; `format` and `file` are explained in the connector contract. */
interface Property {
  format?: string;
  file?: boolean;
  properties?: Record<string, Property>;
}

/** Answers a copy of `config` in which each string has become what `change` makes of it; `path` is its JSON pointer. */
export function mapStrings(
  config: JsonObject,
  schema: TSchema,
  change: (value: string, property: Property, path: string) => string,
): JsonObject {
  const map = (value: Json, at: Property | undefined, path: string): Json => {
    if (typeof value === 'string') return at === undefined ? value : change(value, at, path);
    if (!isObject(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [
        name,
        map(inner, at?.properties?.[name], `${path}/${name}`),
      ]),
    );
  };
  return map(config, schema as Property, '') as JsonObject;
}

/** Answers a copy of `config` with each `{{ NAME }}` in its strings of format `var-str` replaced. */
export const resolveVariables = (config: JsonObject, schema: TSchema, variables: Variables): JsonObject =>
  mapStrings(config, schema, (value, { format }) =>
    format === 'var-str'
      ? value.replaceAll(/\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}/g, (_, name: string) => variables(name))
      : value,
  );
