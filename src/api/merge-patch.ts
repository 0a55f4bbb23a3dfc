import type { ConnectorDefinition } from '../connectors/connector.ts';
import { PenstockError } from '../errors.ts';
import type { JsonObject } from '../security/config-secrets.ts';

type PatchValue = JsonObject[string];

/** Applies an RFC 7396 merge patch: null removes, objects are merged, everything else replaces. Changes neither. */
export function mergePatch(target: PatchValue | undefined, patch: PatchValue): PatchValue {
  if (!isObject(patch)) return patch;
  const merged = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}

const isObject = (value: PatchValue | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Refuses another connector: the config would then have another meaning. */
export function refuseOtherConnector(connector: ConnectorDefinition, sent: string | undefined): void {
  if (sent === undefined || sent === connector.id) return;
  const error = { path: '/connector', message: `cannot be changed from ${connector.id}` };
  throw new PenstockError('invalid_request', `${error.path} ${error.message}`, { errors: [error] });
}
