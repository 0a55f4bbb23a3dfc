import { isDeepStrictEqual } from 'node:util';
import { type JsonObject, mask } from '../../security/config-secrets.ts';
import type { Difference } from './wire.ts';

type Json = JsonObject[string];

/** An object as a bundle has it, with its secrets masked and open. */
export interface Shown {
  masked: JsonObject;
  opened: JsonObject;
}

/**
 * Returns the differences down to single values; lists are compared as a whole. Open values are compared and masked
 * values are shown: of a secret, only that it changes.
 */
export function differences(before: Shown, after: Shown): Difference[] {
  return changedPaths(before.opened, after.opened, []).map((names) => {
    const path = names.map((name) => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
    const [was, is] = [valueAt(before.masked, names), valueAt(after.masked, names)];
    if (was === mask || is === mask || isDeepStrictEqual(was, is)) return { path, secret: 'changed' };
    return { path, ...(was !== undefined && { before: was }), ...(is !== undefined && { after: is }) };
  });
}

function changedPaths(before: Json | undefined, after: Json | undefined, at: string[]): string[][] {
  if (isDeepStrictEqual(before, after)) return [];
  if (!isObject(before) || !isObject(after)) return [at];
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names.flatMap((name) => changedPaths(own(before, name), own(after, name), [...at, name]));
}

const valueAt = (object: JsonObject, names: string[]): Json | undefined =>
  names.reduce<Json | undefined>((at, name) => (isObject(at) ? own(at, name) : undefined), object);

const own = (object: JsonObject, name: string): Json | undefined =>
  Object.hasOwn(object, name) ? object[name] : undefined;

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
