import type { TSchema } from 'typebox';
import type { SecretBox } from './secret-box.ts';

/**
 * Secrets in configurations: sealed in the database, masked in responses, opened only to connect.
 *
 * A connector's schema lists its secret properties under `sensitive`, as paths such as `password` or `tls/key`. A stored
 * configuration has `{"$sealed": "v1.<key id>.<iv>.<tag>.<ciphertext>"}` in their place: AES-256-GCM, bound by its
 * additional data to the row and the field.
 */

/** Replaces a secret in responses. Sent back, it keeps the stored value. */
export const mask = '********';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isSealed = (value: Json | undefined): value is { $sealed: string } =>
  isObject(value) && typeof value.$sealed === 'string';

export function sensitivePaths(schema: TSchema): string[] {
  return 'sensitive' in schema ? (schema.sensitive as string[]) : [];
}

/** Returns a copy of `config` with `change` applied to each secret that is set. */
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

export function sealedIn(config: JsonObject, schema: TSchema): string[] {
  const found: string[] = [];
  mapSecrets(config, schema, (value) => {
    if (isSealed(value)) found.push(value.$sealed);
    return value;
  });
  return found;
}

export function maskConfig(config: JsonObject, schema: TSchema): JsonObject {
  return mapSecrets(config, schema, () => mask);
}

export function maskedPaths(config: JsonObject, schema: TSchema): string[] {
  const found: string[] = [];
  mapSecrets(config, schema, (value, path) => {
    if (value === mask) found.push(`/${path}`);
    return value;
  });
  return found;
}

/** Returns a copy of `config` with each mask replaced by the secret that `stored` has in its place. */
export function keepMasked(config: JsonObject, stored: JsonObject, schema: TSchema): JsonObject {
  const kept = new Map<string, Json>();
  mapSecrets(stored, schema, (value, path) => {
    kept.set(path, value);
    return value;
  });
  return mapSecrets(config, schema, (value, path) => (value === mask ? (kept.get(path) ?? mask) : value));
}

interface Property {
  format?: string;
  file?: boolean;
  properties?: Record<string, Property>;
  oneOf?: Property[];
}

/** The property of an object by its schema, or of the first alternative that has it. */
const propertyOf = (at: Property | undefined, name: string): Property | undefined =>
  at?.properties?.[name] ??
  at?.oneOf?.map((each) => propertyOf(each, name)).find((found) => found !== undefined);

/** Returns a copy of `config` with `change` applied to each string; `path` is its JSON pointer. */
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
        map(inner, propertyOf(at, name), `${path}/${name}`),
      ]),
    );
  };
  return map(config, schema as Property, '') as JsonObject;
}
