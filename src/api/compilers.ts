import { SerializerSelector } from '@fastify/fast-json-stringify-compiler';
import { Ajv, type ErrorObject } from 'ajv';
import addFormats from 'ajv-formats';
import type { FastifyInstance, FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { PenstockError } from '../errors.ts';

/** Maximum size of a body that is checked for all errors, which takes quadratic time; a larger one reports the first. */
const allErrorsUpTo = 16 * 1024;
/** Maximum nesting of arrays and objects in a body. */
const maxDepth = 100;

interface Validate {
  (data: unknown): boolean;
  errors?: ErrorObject[] | null;
}

/**
 * Validates bodies as they were sent: nothing is coerced, removed or filled in. Parameters arrive as text, so they are
 * converted to their declared type. Fastify by default coerces both.
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

/** Calls `makeThorough` for the first invalid body; most routes never get one. */
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
 * Accepts only JSON bodies. An empty body counts as none, because many clients always send the JSON content type; a
 * route that needs a body refuses it.
 */
export function readJsonOnly(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  const types = ['application/json', 'application/merge-patch+json'];
  app.addContentTypeParser(types, { parseAs: 'string' }, (request, body, done) => {
    if (body === '') return done(null, undefined);
    // With a callback it returns no promise.
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

type BuildSerializers = ReturnType<typeof SerializerSelector>;

/**
 * Compiles the serializer of a response on its first use, and equal ones once. Compiling all of them, mostly for errors,
 * took half of the startup time.
 */
export function lazySerializers(): BuildSerializers {
  const build = SerializerSelector();
  return (shared, options) => {
    const compile = build(shared, options);
    const compiled = new Map<string, ReturnType<typeof compile>>();
    return (route) => {
      const text = JSON.stringify(route.schema);
      return (value) => {
        const serialize = compiled.get(text) ?? compile(route);
        compiled.set(text, serialize);
        return serialize(value);
      };
    };
  };
}
