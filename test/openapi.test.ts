import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Document, openApiDocument, operationsOf } from './support/document.ts';

const text = await openApiDocument();
const document = JSON.parse(text) as Document;
const operations = operationsOf(document);

/** A media type with the components that it refers to, as text. */
const resolved = (media: object): string =>
  JSON.stringify(media).replaceAll(/\{"\$ref":"#\/components\/schemas\/(\w+)"\}/g, (_, name: string) =>
    JSON.stringify(document.components.schemas[name]),
  );

describe('the OpenAPI document', () => {
  test('is the one that is committed (npm run openapi writes it)', () => {
    expect(text).toBe(readFileSync(new URL('../openapi/openapi.json', import.meta.url), 'utf8'));
  });

  test('gives every operation an id of its own', () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(ids).not.toContain(undefined);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test.each(operations)('$name says what it does, takes and answers', ({ name, operation, example }) => {
    expect(operation.summary).toMatch(/^[A-Z].*[^.]$/);
    expect(operation.tags).toHaveLength(1);
    const success = operation.responses['200'];
    expect(success).toBeDefined();
    const answers = Object.values(success?.content ?? {});
    for (const media of answers) expect(resolved(media), 'an example of the answer').toMatch(/"examples?":/);
    expect(operation.responses['500']?.content).toHaveProperty(['application/problem+json', 'schema']);
    if (operation.requestBody) {
      const more = name.startsWith('PATCH') ? ['application/merge-patch+json'] : [];
      if (name.endsWith('/apply')) more.push('application/yaml');
      expect(Object.keys(operation.requestBody.content)).toEqual(['application/json', ...more]);
      expect(operation.responses['400']).toBeDefined();
      expect(example).toBeDefined();
    }
  });

  test('refers only to components that it has', () => {
    const referred = [...text.matchAll(/"\$ref": "#\/components\/schemas\/([^"]+)"/g)].map(
      (match) => match[1] as string,
    );
    expect(referred.length).toBeGreaterThan(0);
    expect(referred.filter((name) => !(name in document.components.schemas))).toEqual([]);
    expect(text.match(/"\$ref": "(?!#\/components)/)).toBeNull();
  });
});
