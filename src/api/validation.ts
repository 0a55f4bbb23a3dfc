import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';

/**
 * Bodies are taken as they were sent: nothing is coerced, dropped or filled in. Parameters, which arrive as text,
 * are converted to the type they are declared with. Fastify's default does the latter to both.
 */
export function validatorCompiler(shared: readonly TSchema[]): FastifySchemaCompiler<TSchema> {
  const body = validator(shared, { coerceTypes: false, useDefaults: false });
  const parameters = validator(shared, { coerceTypes: true, useDefaults: true });
  return ({ schema, httpPart }) => (httpPart === 'body' ? body : parameters).compile(schema);
}

function validator(shared: readonly TSchema[], options: { coerceTypes: boolean; useDefaults: boolean }): Ajv {
  // allErrors is affordable because bodies are small (bodyLimit) and explainViolations stops at 20.
  const ajv = new Ajv({ strict: false, allErrors: true, removeAdditional: false, ...options });
  addFormats.default(ajv);
  for (const schema of shared) ajv.addSchema(schema);
  return ajv;
}
