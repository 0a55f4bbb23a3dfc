import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type ApiDocument, breaksOf } from './support/compatibility.ts';
import { answer, change, type Loose } from './support/compatibility-sample.ts';

const read = (name: string): ApiDocument & { info: { version: string } } =>
  JSON.parse(readFileSync(new URL(`../openapi/${name}.json`, import.meta.url), 'utf8'));

/** Version 0.2.0 refused a parquet message whatever its options, so no client can have sent one. */
const alwaysRefused = /\/format\/(compression is narrower: it was "anything"|row_group_bytes is gone)/;

test('the API keeps what the last released document promised', () => {
  const breaks = breaksOf(read('released'), read('openapi'));
  expect(breaks.filter((one) => !alwaysRefused.test(one))).toEqual([]);
});

describe('a break is found', () => {
  const breaks: [string, (parts: Loose, document: Loose) => void, string][] = [
    ['a path that is gone', (_, doc) => delete doc.paths['/items'], 'POST /items is gone'],
    ['a method that is gone', (_, doc) => delete doc.paths['/items'].get, 'GET /items is gone'],
    [
      'another operationId',
      ({ operation }) => {
        operation.operationId = 'makeItem';
      },
      'operationId was createItem',
    ],
    [
      'a parameter that is gone',
      ({ operation }) => operation.parameters.pop(),
      'query parameter limit is gone',
    ],
    [
      'a parameter that is required',
      ({ operation }) => {
        operation.parameters[0].required = true;
      },
      'dry_run is required',
    ],
    [
      'a new required parameter',
      ({ operation }) => operation.parameters.push({ in: 'query', name: 'x', required: true }),
      'x is required',
    ],
    [
      'a narrowed parameter',
      ({ operation }) => {
        operation.parameters[1].schema.maximum = 50;
      },
      'maximum was 100 and is 50',
    ],
    ['no body any more', ({ operation }) => delete operation.requestBody, 'takes no body'],
    [
      'another media type',
      ({ operation }) => {
        operation.requestBody.content = {};
      },
      'body is no application/json',
    ],
    ['a status that is gone', ({ operation }) => delete operation.responses[404], 'never answers 404'],
    [
      'a header that is gone',
      ({ operation }) => delete operation.responses[200].headers.etag,
      'no header etag',
    ],
    [
      'an answer of another type',
      ({ operation }) => {
        operation.responses[200].content = {};
      },
      '200 is no application/json',
    ],
    ['a new required field', ({ sent }) => sent.required.push('mode'), 'body/mode is required now'],
    ['a field that is not taken', ({ sent }) => delete sent.properties.mode, 'body/mode is gone'],
    [
      'a type that is narrower',
      ({ sent }) => {
        sent.properties.count = { type: 'integer', minimum: 1, maximum: 10 };
      },
      'body/count is narrower',
    ],
    [
      'another type',
      ({ sent }) => {
        sent.properties.name = { type: 'integer' };
      },
      'body/name is narrower',
    ],
    [
      'an enum that is narrower',
      ({ sent }) => {
        sent.properties.mode.enum = ['fast'];
      },
      'body/mode is narrower',
    ],
    [
      'a new enum',
      ({ sent }) => {
        sent.properties.name.enum = ['a'];
      },
      'body/name is narrower',
    ],
    [
      'a lower maximum',
      ({ sent }) => {
        sent.properties.count.anyOf[0].maximum = 9;
      },
      'maximum was 10 and is 9',
    ],
    [
      'a higher minimum',
      ({ sent }) => {
        sent.properties.count.anyOf[0].minimum = 2;
      },
      'minimum was 1 and is 2',
    ],
    [
      'a new bound',
      ({ sent }) => {
        sent.properties.tags.maxProperties = 3;
      },
      'maxProperties was none and is 3',
    ],
    [
      'another pattern',
      ({ sent }) => {
        sent.properties.name.pattern = '^b';
      },
      'pattern was ^a and is ^b',
    ],
    [
      'a narrower map',
      ({ sent }) => {
        sent.properties.tags.patternProperties['^.*$'].maxLength = 3;
      },
      'body/tags/* is narrower',
    ],
    [
      'no other fields',
      ({ sent }) => {
        sent.properties.tags.additionalProperties = false;
      },
      'body/tags takes no other fields',
    ],
    [
      'other names of fields',
      ({ sent }) => {
        sent.properties.labels.propertyNames.pattern = '^[a-f]+$';
      },
      'body/labels/{name} is narrower: pattern',
    ],
    [
      'other fields that may not be anything any more',
      ({ sent }) => {
        sent.properties.settings.additionalProperties = { type: 'string' };
      },
      'body/settings/* is narrower',
    ],
    [
      'other fields that may be anything in an answer',
      ({ answered }) => delete answered.properties.labels.additionalProperties,
      '200/labels/* is wider',
    ],
    [
      'a key for what needed none',
      (_, doc) => delete doc.paths['/ping'].get.security,
      'GET /ping: asks for a key',
    ],
    [
      'a key for everything',
      (_, doc) => {
        doc.security = [{ key: [] }];
      },
      'POST /items: asks for a key',
    ],
    [
      'a variant that is gone',
      ({ sent }) => sent.properties.format.oneOf.pop(),
      'body/format(csv) is not taken',
    ],
    [
      'a narrower variant',
      ({ sent }) => {
        sent.properties.format.oneOf[0].properties.pretty.const = true;
      },
      'body/format(json)/pretty',
    ],
    [
      'a change in a component',
      (_, doc) => {
        doc.components.schemas.Tree.properties.leaf.maxLength = 5;
      },
      'body/inner/leaf is narrower',
    ],
    ['an answer without a field', ({ answered }) => delete answered.properties.mode, '200/mode is gone'],
    [
      'an answer that may miss a field',
      ({ answered }) => answered.required.pop(),
      '200/format may be missing',
    ],
    [
      'an answer that may be null',
      ({ answered }) => {
        answered.properties.name.type = ['string', 'null'];
      },
      '200/name is wider',
    ],
    [
      'an answer of a wider type',
      ({ answered }) => {
        answered.properties.count.anyOf[0].type = 'number';
      },
      '200/count is wider',
    ],
    [
      'an answer of any type',
      ({ answered }) => {
        answered.properties.name = {};
      },
      '200/name is wider',
    ],
    [
      'an answer that is no list of values',
      ({ answered }) => {
        answered.properties.mode = { type: 'string' };
      },
      '200/mode is wider',
    ],
    [
      'a wider item',
      (_, doc) => {
        doc.paths['/items'].get.responses[200].content['application/json'].schema.items.type = [
          'string',
          'null',
        ];
      },
      '200/[] is wider',
    ],
  ];
  test.each(breaks)('%s', (_name, edit, expected) => {
    const found = change(edit);
    expect(found.join('\n')).toContain(expected);
  });
});

describe('an addition is accepted', () => {
  const additions: [string, (parts: Loose, document: Loose) => void][] = [
    ['nothing', () => {}],
    [
      'a path',
      (_, doc) => {
        doc.paths['/more'] = doc.paths['/items'];
      },
    ],
    ['an optional parameter', ({ operation }) => operation.parameters.push({ in: 'query', name: 'x' })],
    [
      'another status',
      ({ operation }) => {
        operation.responses[409] = answer({});
      },
    ],
    [
      'an optional field',
      ({ sent }) => {
        sent.properties.more = { type: 'string' };
      },
    ],
    ['a field that is not required any more', ({ sent }) => sent.required.pop()],
    [
      'a wider type',
      ({ sent }) => {
        sent.properties.name.type = ['string', 'null'];
      },
    ],
    ['a wider enum', ({ sent }) => sent.properties.mode.enum.push('careful')],
    [
      'a higher maximum',
      ({ sent }) => {
        sent.properties.count.anyOf[0].maximum = 20;
      },
    ],
    ['no pattern', ({ sent }) => delete sent.properties.name.pattern],
    ['any names of fields', ({ sent }) => delete sent.properties.labels.propertyNames],
    ['any other fields', ({ sent }) => delete sent.properties.labels.additionalProperties],
    [
      'other fields in an answer that are always text',
      ({ answered }) => {
        answered.properties.settings.additionalProperties = { type: 'string' };
      },
    ],
    [
      'no key',
      ({ operation }) => {
        operation.security = [];
      },
    ],
    [
      'another variant',
      ({ sent, answered }) => {
        for (const one of [sent, answered])
          one.properties.format.oneOf.push({ type: 'object', properties: { type: { const: 'avro' } } });
      },
    ],
    [
      'a field in an answer',
      ({ answered }) => {
        answered.properties.more = { type: 'string' };
        answered.required.push('more');
      },
    ],
    [
      'a value of an enum in an answer',
      ({ operation }) =>
        operation.responses[404].content['application/json'].schema.properties.code.enum.push('gone'),
    ],
    [
      'an answer that is never null any more',
      ({ answered }) => {
        answered.properties.count = { type: 'integer' };
      },
    ],
    [
      'a reference instead of the schema',
      (_, doc) => {
        const post = doc.paths['/items'].post;
        doc.components.schemas.Item = post.requestBody.content['application/json'].schema;
        post.requestBody.content['application/json'].schema = { $ref: '#/components/schemas/Item' };
      },
    ],
  ];
  test.each(additions)('%s', (_name, edit) => {
    expect(change(edit)).toEqual([]);
  });
});
