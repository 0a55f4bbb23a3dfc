import { type ApiDocument, breaksOf } from './compatibility.ts';

export const body = (schema: object): object => ({
  required: true,
  content: { 'application/json': { schema } },
});
export const answer = (schema: object): object => ({ content: { 'application/json': { schema } } });

const item = {
  type: 'object',
  additionalProperties: false,
  required: ['name', 'format'],
  properties: {
    name: { type: 'string', maxLength: 100, minLength: 1, pattern: '^a' },
    count: { anyOf: [{ type: 'integer', minimum: 1, maximum: 10 }, { type: 'null' }] },
    mode: { enum: ['fast', 'slow'] },
    tags: { type: 'object', patternProperties: { '^.*$': { type: 'string' } } },
    labels: {
      type: 'object',
      propertyNames: { type: 'string', pattern: '^[a-z]+$' },
      additionalProperties: { type: 'string' },
    },
    settings: { type: 'object' },
    format: {
      oneOf: [
        {
          type: 'object',
          required: ['type'],
          properties: { type: { const: 'json' }, pretty: { type: 'boolean' } },
        },
        { type: 'object', required: ['type'], properties: { type: { const: 'csv' } } },
      ],
      discriminator: { propertyName: 'type' },
    },
    inner: { $ref: '#/components/schemas/Tree' },
  },
};

/** A document with one of each construct, which each test changes. */
const sample = () => ({
  security: [{ key: [] }, {}],
  paths: {
    '/ping': { get: { operationId: 'ping', security: [], responses: { 200: answer({ type: 'string' }) } } },
    '/items': {
      post: {
        operationId: 'createItem',
        parameters: [
          { in: 'query', name: 'dry_run', required: false, schema: { type: 'boolean' } },
          { in: 'query', name: 'limit', required: false, schema: { type: 'integer', maximum: 100 } },
        ],
        requestBody: body(structuredClone(item)),
        responses: {
          200: { headers: { etag: {} }, ...answer(structuredClone(item)) },
          404: answer({ type: 'object', properties: { code: { enum: ['not_found'] } } }),
        },
      },
      get: {
        operationId: 'listItems',
        responses: { 200: answer({ type: 'array', items: { type: 'string' } }) },
      },
    },
  },
  components: {
    schemas: {
      Tree: {
        type: 'object',
        properties: {
          leaf: { type: 'string' },
          more: { type: 'array', items: { $ref: '#/components/schemas/Tree' } },
        },
      },
    },
  },
});

// biome-ignore lint/suspicious/noExplicitAny: tests reach anywhere into a document
export type Loose = any;
/** Returns the breaking changes of a changed sample. */
export const change = (edit: (post: Loose, document: Loose) => void): string[] => {
  const current = sample();
  const post = current.paths['/items'].post as Loose;
  const parts = {
    operation: post,
    sent: post.requestBody.content['application/json'].schema,
    answered: post.responses[200].content['application/json'].schema,
  };
  edit(parts, current);
  return breaksOf(sample() as unknown as ApiDocument, current as unknown as ApiDocument);
};
