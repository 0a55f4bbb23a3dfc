import { isDeepStrictEqual } from 'node:util';
import type { TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import type { ConnectorDefinition } from '../connectors/connector.ts';
import { connectorFor } from '../connectors/registry.ts';
import { registryPlace } from '../connectors/schema-registry/schemas.ts';
import { type FieldError, PenstockError } from '../errors.ts';
import { usesRegistry } from '../formats/confluent.ts';
import { checkColumnUses } from '../formats/schema/column-use.ts';
import type { ConnectionSchema, Field } from '../formats/schema/schema.ts';
import type { WithOptions } from '../sql/plan.ts';
import { optionName } from '../sql/table-options.ts';
import { explainViolations } from '../violations.ts';

interface Checks {
  definition: ConnectorDefinition;
  profile: Validator;
  table: Validator;
}

/** Compiled on the first use of a connector. */
const checks = new Map<string, Checks>();

function checksOf(id: string): Checks {
  const definition = connectorFor(id);
  const found = checks.get(definition.id) ?? {
    definition,
    profile: Compile(definition.profile as TSchema),
    table: Compile(definition.table as TSchema),
  };
  checks.set(definition.id, found);
  return found;
}

/** Throws `invalid_config` with a path for each problem of a profile's `config`. */
export function checkProfileConfig(id: string, config: unknown, at = '/config'): void {
  const { definition, profile } = checksOf(id);
  const { renamed = {}, validateProfile } = definition;
  const errors = explainViolations(profile.Errors(config)).map(({ path, message }) => ({
    path,
    message: renamed[path] ?? message,
  }));
  refuse(errors.length > 0 ? errors : (validateProfile?.(config) ?? []), at);
}

/** As above for a table's `config`; `profile` is the config of its profile, when known. */
export function checkTableConfig(id: string, config: unknown, profile: unknown, at = '/config'): void {
  const { definition, table } = checksOf(id);
  const errors = explainViolations(table.Errors(config));
  refuse(errors.length > 0 ? errors : (definition.validateTable?.(config, profile) ?? []), at);
}

/** As above for the columns that a valid config refers to. */
export function checkTableColumns(
  id: string,
  config: unknown,
  fields: readonly Field[],
  at = '/config',
): void {
  refuse(checkColumnUses(checksOf(id).definition.columnsOf?.(config) ?? [], fields), at);
}

/**
 * Returns the schema of a table, completed with its connector's default. Throws `invalid_schema` if it differs from the
 * fields that the connector fixes.
 */
export function withDefaultSchema(
  id: string,
  given: ConnectionSchema | undefined,
): ConnectionSchema | undefined {
  const own = connectorFor(id).defaultSchema;
  if (!own) return given;
  const schema = given ?? { inferred: true };
  if (!own.fields) return { ...schema, format: schema.format ?? own.format, fields: schema.fields ?? [] };
  const { fields = [], format, inferred: _, ...rest } = schema;
  const isMetadata = (field: Field): boolean => typeof field.metadata_key === 'string';
  const kindsOf = (some: readonly Field[]) => some.map(({ name, type }) => ({ name, type }));
  const payload = kindsOf(fields.filter((field) => !isMetadata(field)));
  const differs = payload.length > 0 && !isDeepStrictEqual(payload, kindsOf(own.fields));
  if (differs || rest.definition || rest.framing || (format && !isDeepStrictEqual(format, own.format))) {
    const columns = own.fields.map(({ name, type }) => `${name} (${type})`).join(' and ');
    const message = `must be left out: messages of ${id} have the columns ${columns}`;
    throw new PenstockError('invalid_schema', `/schema ${message}`, { errors: [{ path: '', message }] });
  }
  return { ...rest, format: own.format, fields: [...own.fields, ...fields.filter(isMetadata)] };
}

/** Returns why a table cannot have a schema beyond what holds for every table. Paths begin at the schema. */
export function checkTableSchema(
  id: string,
  config: unknown,
  profile: unknown,
  schema: ConnectionSchema,
): FieldError[] {
  const connector = connectorFor(id);
  const { validateSchema, registryOf, subjectOf, name } = connector;
  const errors = validateSchema?.(config, schema) ?? [];
  const { subject } = subjectOf?.(config) ?? {};
  if (!usesRegistry(schema.format) && subject)
    return [
      ...errors,
      {
        path: '/format/confluent_schema_registry',
        message: `must be true, because the table has the subject ${JSON.stringify(subject)}: set it, or remove the subject`,
      },
    ];
  if (!usesRegistry(schema.format) || registryOf?.(profile, config)) return errors;
  const message = registryOf
    ? `needs a schema registry: set it in the ${registryPlace(connector)}, or remove confluent_schema_registry`
    : `cannot be set: ${name} has no schema registry`;
  return [...errors, { path: '/format/confluent_schema_registry', message }];
}

/** Throws `invalid_config` if an option has a former name. */
export function refuseRenamedOptions({ renamed = {} }: ConnectorDefinition, options: WithOptions): void {
  const given = Object.entries(renamed).filter(
    ([path]) => options.take(optionName(path.slice(1))) !== undefined,
  );
  // The names within the sentence become options too.
  const errors = given.map(([path, message]) => ({ path, message: optionName(message) }));
  refuse(errors, '');
}

function refuse(errors: FieldError[], at: string): void {
  if (errors.length === 0) return;
  const located = errors.map(({ path, message }) => ({ path: `${at}${path}`, message }));
  const sentences = located.map(({ path, message }) => `${path} ${message}`).join('; ');
  throw new PenstockError('invalid_config', `The configuration is not valid: ${sentences}`, {
    errors: located,
  });
}
