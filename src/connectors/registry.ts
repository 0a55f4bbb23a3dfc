import type { TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import { explainViolations, type FieldError, PenstockError } from '../errors.ts';
import { checkColumnUses } from '../formats/column-use.ts';
import type { Field } from '../formats/schema.ts';
import * as all from './all.ts';
import type { ConnectorDefinition } from './connector.ts';

interface Registered {
  definition: ConnectorDefinition;
  profile: Validator;
  table: Validator;
}

const registry = new Map<string, Registered>(
  Object.values(all).map((definition: ConnectorDefinition) => [
    definition.id,
    {
      definition,
      profile: Compile(definition.profile as TSchema),
      table: Compile(definition.table as TSchema),
    },
  ]),
);

function registered(id: string): Registered {
  const found = registry.get(id);
  if (found) return found;
  throw new PenstockError('unknown_connector', `There is no connector called ${JSON.stringify(id)}`, {
    hint: `Use one of: ${[...registry.keys()].join(', ')}.`,
    errors: [{ path: '/connector', message: `must be one of ${[...registry.keys()].join(', ')}` }],
  });
}

export const connectors: readonly ConnectorDefinition[] = [...registry.values()].map(
  ({ definition }) => definition,
);

/** Throws `unknown_connector`. */
export const connectorFor = (id: string): ConnectorDefinition => registered(id).definition;

/** Throws `invalid_config` with a path for each thing that is wrong with a profile's `config`. */
export function checkProfileConfig(id: string, config: unknown, at = '/config'): void {
  const { definition, profile } = registered(id);
  const errors = explainViolations(profile.Errors(config));
  refuse(errors.length > 0 ? errors : (definition.validateProfile?.(config) ?? []), at);
}

/** The same for a table's `config`; `profile` is the config of the profile it goes with, when it is known. */
export function checkTableConfig(id: string, config: unknown, profile: unknown, at = '/config'): void {
  const { definition, table } = registered(id);
  const errors = explainViolations(table.Errors(config));
  refuse(errors.length > 0 ? errors : (definition.validateTable?.(config, profile) ?? []), at);
}

/** The same for the columns that a valid config refers to. */
export function checkTableColumns(
  id: string,
  config: unknown,
  fields: readonly Field[],
  at = '/config',
): void {
  refuse(checkColumnUses(registered(id).definition.columnsOf?.(config) ?? [], fields), at);
}

function refuse(errors: FieldError[], at: string): void {
  if (errors.length === 0) return;
  const located = errors.map(({ path, message }) => ({ path: `${at}${path}`, message }));
  const sentences = located.map(({ path, message }) => `${path} ${message}`).join('; ');
  throw new PenstockError('invalid_config', `The configuration is not valid: ${sentences}`, {
    errors: located,
  });
}
