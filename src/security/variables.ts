import type { TSchema } from 'typebox';
import { Environment, matchesName } from '../config.ts';
import { PenstockError } from '../errors.ts';
import { type JsonObject, mapStrings } from './config-secrets.ts';

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

/** Answers a copy of `config` with each `{{ NAME }}` in its strings of format `var-str` replaced. */
export const resolveVariables = (config: JsonObject, schema: TSchema, variables: Variables): JsonObject =>
  mapStrings(config, schema, (value, { format }) =>
    format === 'var-str'
      ? value.replaceAll(/\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}/g, (_, name: string) => variables(name))
      : value,
  );
