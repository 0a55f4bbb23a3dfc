import type { TSchema } from 'typebox';
import { Environment, matchesName } from '../config.ts';
import { PenstockError } from '../errors.ts';
import { type JsonObject, mapStrings } from './config-secrets.ts';

export type Variables = (name: string) => string;

/** Reads `{{ NAME }}` from `env`, for the allowed names only; throws `variable_not_allowed` for any other. */
export function variablesFrom(env: Record<string, string | undefined>, allowed: string[]): Variables {
  return (name) => {
    // Settings of Penstock hold keys and passwords: no pattern makes them readable.
    const readable =
      !(name in Environment.properties) && allowed.some((pattern) => matchesName(pattern, name));
    if (!readable)
      throw new PenstockError(
        'variable_not_allowed',
        `The variable ${name} is not allowed in configurations`,
        {
          hint: `Add ${name} to PENSTOCK_ALLOWED_VARS where Penstock runs, or use a name that it allows.`,
        },
      );
    const value = env[name];
    if (value !== undefined) return value;
    throw new PenstockError('variable_not_allowed', `The variable ${name} is not set`, {
      hint: `Set ${name} where Penstock runs, and restart it.`,
    });
  };
}

/** Returns a copy of `config` with `{{ NAME }}` replaced in its strings of format `var-str`. */
export const resolveVariables = (config: JsonObject, schema: TSchema, variables: Variables): JsonObject =>
  mapStrings(config, schema, (value, { format }) =>
    format === 'var-str'
      ? value.replaceAll(/\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}/g, (_, name: string) => variables(name))
      : value,
  );
