import { readFileSync } from 'node:fs';
import { Registry } from '@prometheus-io/client';
import { pino } from 'pino';
import { buildApp } from '../../src/api/app.ts';
import type { Deps } from '../../src/api/deps.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** The OpenAPI document as it is committed: needs no database, because no route is called. */
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
  examples?: Record<string, { value: Json }>;
}
export interface Operation {
  operationId?: string;
  summary?: string;
  tags?: string[];
  parameters?: { in: string; name: string }[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { description?: string; content?: Record<string, Media> }>;
}
export interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

/** Every operation of a document, with the example of its body. */
export function operationsOf(document: Document) {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const media = operation.requestBody?.content['application/json'];
      return {
        name: `${method.toUpperCase()} ${path}`,
        method,
        path,
        operation,
        example: exampleOf(media, document),
      };
    }),
  );
}

function exampleOf(media: Media | undefined, document: Document): Json | undefined {
  const name = media?.schema?.$ref?.split('/').at(-1);
  const schema = name ? document.components.schemas[name] : media?.schema;
  const [named] = Object.values(media?.examples ?? {});
  return media?.example ?? named?.value ?? schema?.example ?? schema?.examples?.[0];
}
