import { readFileSync } from 'node:fs';
import { Registry } from '@prometheus-io/client';
import { pino } from 'pino';
import { buildApp } from '../../src/api/app.ts';
import type { Deps } from '../../src/api/deps.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** Returns the OpenAPI document. Needs no database, because no route is called. */
export async function openApiDocument(): Promise<string> {
  const unused = {} as Deps;
  const app = await buildApp({
    ...unused,
    logger: pino({ level: 'silent' }),
    metrics: new Registry(),
    version,
    limits: { requestsPerMinute: 0, maxEventLoopDelayMs: 0 },
    nudge: () => {},
  });
  await app.ready();
  const document = app.swagger();
  await app.close();
  return `${JSON.stringify(document, null, 2)}\n`;
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

interface Schema {
  $ref?: string;
  examples?: Json[];
  example?: Json;
}
interface Media {
  schema?: Schema;
  example?: Json;
  examples?: Record<string, { value: Json } | { $ref: string }>;
}
export interface Operation {
  operationId?: string;
  summary?: string;
  tags?: string[];
  parameters?: { in: string; name: string; schema: { [key: string]: Json } }[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { description?: string; content?: Record<string, Media> }>;
}
export interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema>; examples: Record<string, { value: Json }> };
}

/** The operations of a document, with an example of the body. */
export function operationsOf(document: Document) {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const media = operation.requestBody?.content['application/json'];
      return {
        name: `${method.toUpperCase()} ${path}`,
        method,
        path,
        operation,
        example: media && examplesOf(media, document)[0],
      };
    }),
  );
}

/** The examples of a body, or those of its schema. */
export function examplesOf({ schema, example, examples }: Media, { components }: Document): Json[] {
  if (example !== undefined) return [example];
  if (examples)
    return Object.values(examples).map(
      (one) => ('$ref' in one ? components.examples[nameOf(one.$ref)]?.value : one.value) as Json,
    );
  const meant = schema?.$ref ? components.schemas[nameOf(schema.$ref)] : schema;
  return meant?.example === undefined ? (meant?.examples ?? []) : [meant.example];
}

const nameOf = (ref: string): string => ref.split('/').at(-1) as string;
