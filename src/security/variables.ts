import type { TSchema } from 'typebox';
import { Environment, matchesName } from '../config.ts';
import { PenstockError } from '../errors.ts';
import { type JsonObject, mapStrings, sensitivePaths } from './config-secrets.ts';

/** Returns the value of a variable as it was set. */
export type Variables = (name: string) => string;

const lineBreakAtEnd = /[\r\n]+$/;
const isPem = (text: string): boolean => text.includes('-----BEGIN ');

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

const reference = /\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}/g;

/**
 * Returns a copy of `config` with `{{ NAME }}` replaced in its strings of format `var-str`. Line breaks at the end of a
 * value are removed, as from every setting.
 */
export const resolveVariables = (config: JsonObject, schema: TSchema, variables: Variables): JsonObject =>
  mapStrings(config, schema, (value, { format }) =>
    format === 'var-str'
      ? value.replaceAll(reference, (_, name: string) => variables(name).replace(lineBreakAtEnd, ''))
      : value,
  );

/** Oddities at the ends of secrets and of variables' values: each a sentence that shows no value. */
export function oddEnds(config: JsonObject, schema: TSchema, variables: Variables): string[] {
  const found = new Set<string>();
  const secrets = sensitivePaths(schema).map((path) => `/${path}`);
  mapStrings(config, schema, (text, { format }, path) => {
    if (format === 'var-str')
      for (const [, name = ''] of text.matchAll(reference)) {
        const value = variables(name);
        if (isPem(value)) continue;
        if (lineBreakAtEnd.test(value))
          found.add(`The value of ${name} ends in a line break. It is used without the line break`);
        if (isPadded(value.replace(lineBreakAtEnd, '')))
          found.add(`The value of ${name} begins or ends with white space, which is sent as it is`);
      }
    if (secrets.includes(path) && !isPem(text)) {
      if (lineBreakAtEnd.test(text)) found.add(`${path} ends in a line break, which is sent as it is`);
      else if (isPadded(text)) found.add(`${path} begins or ends with white space, which is sent as it is`);
    }
    return text;
  });
  return [...found];
}

const isPadded = (text: string): boolean => text !== text.trim();
