import { Ajv, type ErrorObject } from 'ajv';
import addFormats from 'ajv-formats';
import type { FastifyInstance, FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { PenstockError } from '../errors.ts';

/** Looking for every error takes time quadratic in their number: larger bodies are told of the first one only. */
const allErrorsUpTo = 16 * 1024;
/** How deep arrays and objects in a body may be nested in each other. */
const maxDepth = 100;

interface Validate {
  (data: unknown): boolean;
  errors?: ErrorObject[] | null;
}

/**
 * Bodies are taken as they were sent: nothing is coerced, dropped or filled in. Parameters, which arrive as text,
 * are converted to the type they are declared with. Fastify's default does the latter to both.
 */
export function validatorCompiler(shared: readonly TSchema[]): FastifySchemaCompiler<TSchema> {
  const exact = { coerceTypes: false, useDefaults: false };
  const body = validator(shared, { ...exact, allErrors: false });
  const thorough = validator(shared, { ...exact, allErrors: true });
  const parameters = validator(shared, { coerceTypes: true, useDefaults: true, allErrors: true });
  return ({ schema, httpPart }) =>
    httpPart === 'body'
      ? inTwoPasses(body.compile(schema), () => thorough.compile(schema))
      : parameters.compile(schema);
}

/** `makeThorough` is called for the first body that is wrong: for most routes none ever is. */
function inTwoPasses(first: Validate, makeThorough: () => Validate): Validate {
  let thorough: Validate | undefined;
  const validate: Validate = (data) => {
    if (first(data)) return true;
    const small = (JSON.stringify(data) ?? '').length <= allErrorsUpTo;
    if (!small) {
      validate.errors = first.errors;
      return false;
    }
    thorough ??= makeThorough();
    thorough(data);
    validate.errors = thorough.errors;
    return false;
  };
  return validate;
}

function validator(
  shared: readonly TSchema[],
  options: { coerceTypes: boolean; useDefaults: boolean; allErrors: boolean },
): Ajv {
  const ajv = new Ajv({ strict: false, removeAdditional: false, discriminator: true, ...options });
  addFormats.default(ajv);
  for (const schema of shared) ajv.addSchema(schema);
  return ajv;
}

/**
 * Reads JSON bodies and nothing else. An empty one counts as none, because many clients always say that they send
 * JSON; a route that needs a body refuses it.
 */
export function readJsonOnly(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  const types = ['application/json', 'application/merge-patch+json'];
  app.addContentTypeParser(types, { parseAs: 'string' }, (request, body, done) => {
    if (body === '') return done(null, undefined);
    // With a callback it returns nothing.
    void parse(request, body as string, (error, value) => {
      if (error || isNestedWithin(value, maxDepth)) return done(error, value);
      done(new PenstockError('invalid_request', `The body is nested more than ${maxDepth} levels deep`));
    });
  });
}

function isNestedWithin(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return levels > 0 && Object.values(value).every((inner) => isNestedWithin(inner, levels - 1));
}
