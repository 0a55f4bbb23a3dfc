import { Refused, type TestMessage } from '../api/client.ts';
import { visible } from './text.tsx';

/** Values of forms that are made from a JSON Schema, and the errors that belong to them. */

export type Json = Record<string, unknown>;

export interface Schema {
  type?: string;
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  additionalProperties?: Schema | boolean;
  oneOf?: Schema[];
  anyOf?: Schema[];
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  examples?: unknown[];
  deprecated?: boolean;
  /** Paths of secrets below it. */
  sensitive?: string[];
}

/** The API's stand-in for a secret that is stored. Sent back, it keeps the secret. */
export const mask = '********';

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === '' ||
  (Array.isArray(value) && value.length === 0) ||
  (isObject(value) && Object.keys(value).length === 0);

/** Leaves out what is empty, and adds what is required and has only one meaning when nobody touched it. */
export function cleaned(schema: Schema, value: Json): Json {
  const kept: Json = {};
  const names = new Set([...Object.keys(schema.properties ?? {}), ...Object.keys(value)]);
  for (const name of names) {
    const inner = schema.properties?.[name];
    const required = schema.required?.includes(name) ?? false;
    const given = cleanedValue(inner, value[name], required);
    if (given !== undefined && (required || !isEmpty(given))) kept[name] = given;
  }
  return kept;
}

function cleanedValue(schema: Schema | undefined, value: unknown, required: boolean): unknown {
  const only = schema?.enum?.length === 1 ? schema.enum[0] : undefined;
  if (value === undefined || value === null || value === '') {
    if (!required) return undefined;
    if (schema?.type === 'boolean') return false;
    return schema?.properties ? cleaned(schema, {}) : only;
  }
  if (schema?.properties && isObject(value)) return cleaned(schema, value);
  const numeric = schema?.anyOf?.some(({ type }) => type === 'integer' || type === 'number');
  return numeric && typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
}

/** Options that only refuse or ignore something; a form shows them if they are set. */
const withoutEffect = /^(Refused when|Known from Arroyo)/;

/** The schema as a form draws it best: alternatives of scalars are a text, options without effect are left out. */
export function drawn(schema: Schema, value: unknown): Schema {
  if (schema.anyOf?.every(({ type }) => type !== 'object' && type !== 'array')) {
    const { anyOf: _, ...rest } = schema;
    return { ...rest, type: 'string' };
  }
  if (!schema.properties) return schema;
  const given = isObject(value) ? value : {};
  const shown = Object.entries(schema.properties).filter(
    ([name, inner]) =>
      name in given ||
      !(inner.deprecated || inner.enum?.length === 1 || withoutEffect.test(inner.description ?? '')),
  );
  const properties = shown.map(([name, inner]) => [name, drawn(inner, given[name])]);
  return { ...schema, properties: Object.fromEntries(properties) };
}

/** Errors by JSON pointer into the body of a request. */
export type FieldErrors = Readonly<Record<string, readonly string[]>>;

export const noErrors: FieldErrors = {};

export function errorsOf(error: unknown): FieldErrors {
  if (!(error instanceof Refused)) return noErrors;
  return merged(...error.problem.errors.map(({ path, message }) => ({ [path]: [visible(message)] })));
}

/** Those below a pointer, which they begin without. */
export const errorsBelow = (errors: FieldErrors, pointer: string): FieldErrors =>
  Object.fromEntries(
    Object.entries(errors)
      .filter(([path]) => path === pointer || path.startsWith(`${pointer}/`))
      .map(([path, messages]) => [path.slice(pointer.length), messages]),
  );

export const errorAt = (errors: FieldErrors, pointer: string): string | undefined =>
  errors[pointer]?.join('\n');

export const merged = (...all: FieldErrors[]): FieldErrors => {
  const found: Record<string, string[]> = {};
  for (const errors of all)
    for (const [path, messages] of Object.entries(errors))
      found[path] = [...(found[path] ?? []), ...messages];
  return found;
};

/** A config for eyes and scripts: secrets that were typed are left out. */
export function withoutSecrets(schema: Schema, config: Json): Json {
  const shown: Json = {};
  for (const [name, value] of Object.entries(config)) {
    const inner = schema.properties?.[name];
    const secret = schema.sensitive?.includes(name) === true && typeof value === 'string' && value !== mask;
    shown[name] = secret ? `<${name}>` : inner && isObject(value) ? withoutSecrets(inner, value) : value;
  }
  return shown;
}

/** Errors of the labels of an object, which have one place in a form. */
export const labelErrors = (errors: FieldErrors): string | undefined =>
  Object.entries(errorsBelow(errors, '/labels'))
    .flatMap(([path, messages]) => messages.map((message) => `${path.slice(1)} ${message}`.trim()))
    .join('\n') || undefined;

/** A merge patch (RFC 7396) that makes `after` of `before`. */
export function patchOf(before: object, after: object): Json {
  const patch: Json = {};
  for (const name of Object.keys(before)) if (!(name in after)) patch[name] = null;
  for (const [name, value] of Object.entries(after)) {
    const former = (before as Json)[name];
    if (JSON.stringify(former) === JSON.stringify(value)) continue;
    const change = isObject(former) && isObject(value) ? patchOf(former, value) : value;
    // Members in another order are no change.
    if (change === value || Object.keys(change).length > 0) patch[name] = change;
  }
  return patch;
}

/** Names of fields that a failed step of a test may point to, by the code of its error or by its name. */
const address = ['url', 'host', 'endpoint'];
const suspects: [RegExp, string[]][] = [
  [/^(mqtt_bad_credentials|mqtt_not_authorized|postgres_login_refused)$/, ['username', 'user', 'password']],
  [/^(http_unauthorized)$/, ['headers']],
  [/^mqtt_client_id/, ['clientPrefix']],
  [/^mqtt_protocol_refused$/, ['protocolVersion']],
  [/^mqtt_will_refused$/, ['will']],
  [/^tls_not_spoken$/, address],
  [/^tls_name_mismatch$/, ['serverName', 'url', 'host', 'endpoint']],
  [/^tls_(unknown_issuer|self_signed|certificate_expired)$/, ['tls/ca', 'tls']],
  [/^tls_client_certificate/, ['tls/cert', 'tls']],
  [/^tls_|^tls$/, ['tls', ...address]],
  [/^s3_(access_denied|credentials_missing)$/, ['access_key_id', 'secret_access_key']],
  [/^s3_wrong_region$/, ['region']],
  [/^postgres_database_missing$/, ['database']],
  [/^postgres_(table_missing|not_a_table|forbidden)$/, ['table']],
  [/^(name_not_resolved|target_not_allowed|connection_|network_|websocket_|mqtt_not_spoken)/, address],
  [/^(resolve|tcp|server|mqtt_connect|request|websocket)$/, address],
  [/^(subscribe|publish|topic|first_message|shared)$/, ['topic']],
  [/^(folder|file|bucket)$/, ['path', 'table_type/path']],
  [/^(table|stored)$/, ['table']],
];

const has = (schema: Schema, path: string): boolean => {
  let at: Schema | undefined = schema;
  for (const name of path.split('/')) at = at?.properties?.[name];
  return at !== undefined;
};

/** Marks the fields of a config that a failed step tells something about: `/url`, say. */
export function marksOf(step: TestMessage | undefined, schema: Schema): FieldErrors {
  if (step === undefined || step.outcome !== 'failed') return noErrors;
  for (const said of [step.code ?? '', step.name])
    for (const [pattern, names] of suspects) {
      const found = pattern.test(said) ? names.filter((name) => has(schema, name)) : [];
      const fields = names === address ? found.slice(0, 1) : found;
      if (fields.length > 0)
        return Object.fromEntries(fields.map((name) => [`/${name}`, [visible(step.message)]]));
    }
  return noErrors;
}
