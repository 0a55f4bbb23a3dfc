import { readFileSync } from 'node:fs';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { describe, expect, test } from 'vitest';
import {
  type Document,
  examplesOf,
  type Json,
  openApiDocument,
  operationsOf,
} from '../scripts/docs/document.ts';

const text = await openApiDocument();
const document = JSON.parse(text) as Document;
const operations = operationsOf(document);

describe('the OpenAPI document', () => {
  test('is up to date (npm run openapi writes it)', () => {
    expect(text).toBe(readFileSync(new URL('../openapi/openapi.json', import.meta.url), 'utf8'));
  });

  test('gives every operation a unique id', () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(ids).not.toContain(undefined);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test.each(operations)(
    '$name describes its purpose, request and responses',
    ({ name, operation, example }) => {
      expect(operation.summary).toMatch(/^[A-Z].*[^.]$/);
      expect(operation.tags).toHaveLength(1);
      const success = operation.responses['200'];
      expect(success).toBeDefined();
      expect(operation.responses['500']?.content).toHaveProperty(['application/problem+json', 'schema']);
      if (operation.requestBody) {
        const more = name.startsWith('PATCH') ? ['application/merge-patch+json'] : [];
        if (name.endsWith('/apply')) more.push('application/yaml');
        expect(Object.keys(operation.requestBody.content)).toEqual(['application/json', ...more]);
        expect(operation.responses['400']).toBeDefined();
        expect(example).toBeDefined();
      }
    },
  );

  test('has parameters whose schemas compile, which the service does only when they are used', () => {
    const ajv = new Ajv({ strict: false, discriminator: true });
    addFormats.default(ajv);
    const schemas = operations.flatMap(({ operation }) =>
      (operation.parameters ?? []).map(({ schema }) => schema),
    );
    expect(schemas.length).toBeGreaterThan(0);
    for (const schema of schemas) expect(ajv.compile(schema)).toBeTypeOf('function');
  });

  test('refers only to existing components', () => {
    const referred = [...text.matchAll(/"\$ref": "#\/components\/(\w+)\/([^"]+)"/g)].map(
      ([, kind, name]) => [kind, name] as ['schemas' | 'examples', string],
    );
    expect(referred.length).toBeGreaterThan(0);
    expect(referred.filter(([kind, name]) => !(name in document.components[kind]))).toEqual([]);
    expect(text.match(/"\$ref": "(?!#\/components)/)).toBeNull();
  });

  test('satisfies the recommended rules of Redocly', async () => {
    const config = await createConfig({ extends: ['recommended'] });
    const found = await lintFromString({ source: text, absoluteRef: 'openapi.json', config });
    const about = found.map(
      ({ ruleId, message }) =>
        `${ruleId}: ${
          message
            .match(/`[^`]+`/g)
            ?.sort()
            .join(' ') ?? message
        }`,
    );
    // by-name is never an id, and the router prefers fixed words (docs/decisions/0010-paths-by-name.md).
    const known = [
      ['connection_profiles', 'dependents'],
      ['connection_profiles', 'test'],
      ['connection_tables', 'dependents'],
      ['connection_tables', 'test'],
      ['pipelines', 'jobs'],
      ['pipelines', 'restart'],
    ].map(([of, what]) => `\`/api/v1/${of}/by-name/{name}\` \`/api/v1/${of}/{id}/${what}\``);
    expect(about.sort()).toEqual(known.map((paths) => `no-ambiguous-paths: ${paths}`));
  });
});

describe('its examples', () => {
  const ajv = new Ajv({ strict: false, discriminator: true, allErrors: true });
  addFormats.default(ajv);
  ajv.addSchema(document, 'document');
  /** The errors in a value, by the schema at a place of the document. */
  const wrong = (place: string[], component: string | undefined, value: Json): string => {
    const pointer = place.map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1')).join('/');
    const ref = `document${component ?? `#/${encodeURI(pointer)}`}`;
    const validate = ajv.getSchema(ref) ?? ajv.compile({ $ref: ref });
    return validate(value) ? '' : ajv.errorsText(validate.errors);
  };

  const bodies = operations.flatMap(({ path, method, operation }) => {
    const at = ['paths', path, method];
    const sent = Object.entries(operation.requestBody?.content ?? {}).map(([type, media]) => ({
      name: `${operation.operationId} sends ${type}`,
      at: [...at, 'requestBody', 'content', type, 'schema'],
      media,
      status: undefined as string | undefined,
    }));
    const answered = Object.entries(operation.responses).flatMap(([status, { content = {} }]) =>
      Object.entries(content).map(([type, media]) => ({
        name: `${operation.operationId} answers ${status} ${type}`,
        at: [...at, 'responses', status, 'content', type, 'schema'],
        media,
        status,
      })),
    );
    return [...sent, ...answered];
  });

  test('exist for every body, error and stream, and satisfy its schema', () => {
    const findings = bodies.flatMap(({ name, at, media, status }) => {
      const values = examplesOf(media, document);
      const found = values.length > 0 ? [] : [`${name}: there is none`];
      for (const value of values) {
        const problem = wrong(at, media.schema?.$ref, value);
        if (problem) found.push(`${name}: ${problem}`);
        const said = (value as { status?: unknown } | null)?.status;
        if (/^[45]/.test(status ?? '') && String(said) !== status)
          found.push(`${name}: its status is ${said}`);
      }
      return found;
    });
    expect(findings).toEqual([]);
  });

  test('show every kind of event of a stream, in order', () => {
    const streams = bodies.filter(({ at }) => at.includes('text/event-stream'));
    expect(streams).toHaveLength(8);
    for (const { at, media } of streams) {
      const [, path = '', method = '', , status = ''] = at;
      const description = document.paths[path]?.[method]?.responses[status]?.description ?? '';
      const shown = [...description.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json as string));
      expect(shown).toEqual(examplesOf(media, document));
      const schema = document.components.schemas[media.schema?.$ref?.split('/').at(-1) ?? ''];
      const names = (schema as { properties: { name?: { enum?: string[] } } }).properties.name?.enum;
      if (names) expect(shown.map(({ name }) => name)).toEqual(expect.arrayContaining(names));
    }
  });
});
