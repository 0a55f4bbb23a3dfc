import { eventExamples } from './event-examples.ts';
import { codesFor, problemExamples } from './problem-examples.ts';

/** What is added to the document that comes of the routes: nothing of it is needed to serve them. */

interface Schema {
  $ref?: string;
  title?: string;
  type?: string | string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  examples?: unknown[];
  discriminator?: object;
  oneOf?: Schema[];
}
interface Media {
  schema?: Schema;
  example?: unknown;
  examples?: Record<string, object>;
}
interface Operation {
  operationId: string;
  parameters?: { required?: boolean; schema: object }[];
  responses: Record<string, { description: string; content?: Record<string, Media> }>;
}
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema>; examples?: object };
}

const reference = (kind: 'schemas' | 'examples', name: string) => ({ $ref: `#/components/${kind}/${name}` });

/**
 * Schemas with a title become components of that name, so that clients have types of that name; every error and every
 * kind of event gets an example, and so does an answer made of parts that have one. A parameter with a default may be left out.
 */
export function finish(document: Document): Document {
  // A copy, since the schemas of the routes are shared between them.
  const own = structuredClone(document);
  nameSchemas(own);
  own.components.examples = problemExamples();
  for (const operation of Object.values(own.paths).flatMap((methods) => Object.values(methods))) {
    // Ajv fills it in before it looks for what is required.
    for (const one of operation.parameters ?? []) if ('default' in one.schema) one.required = false;
    for (const [status, response] of Object.entries(operation.responses)) {
      for (const [type, media] of Object.entries(response.content ?? {})) {
        if (type === 'application/problem+json') media.examples = problemsOf(operation.operationId, status);
        else if (type === 'text/event-stream') describeEvents(response, media);
        else addExample(media, own);
      }
    }
  }
  return own;
}

const problemsOf = (operationId: string, status: string): Record<string, object> =>
  Object.fromEntries(codesFor(operationId, status).map((code) => [code, reference('examples', code)]));

/** OpenAPI 3.1 cannot say that a schema is that of one event: the text does, and shows a whole stream. */
function describeEvents(response: { description: string }, media: Media): void {
  const events = eventExamples[nameOf(media.schema) ?? ''] ?? [];
  media.examples = Object.fromEntries(
    events.map((value, index) => {
      const { name = `event_${index + 1}` } = value as { name?: string };
      return [name, { value }];
    }),
  );
  const stream = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('');
  response.description +=
    `. As text/event-stream, the schema and the examples are those of the data of one event: JSON in one line, without ` +
    `an event type or an id. A comment every 15 seconds keeps a quiet stream open. A stream:\n\n~~~\n${stream}~~~`;
}

function addExample(media: Media, { components }: Document): void {
  const schema = resolve(media.schema ?? {}, components.schemas);
  if (media.example !== undefined || media.examples || schema.examples) return;
  media.example = compose(schema, components.schemas);
}

function compose(schema: Schema, schemas: Record<string, Schema>): unknown {
  const { examples, type, properties = {}, items = {} } = resolve(schema, schemas);
  if (examples) return examples[0];
  if (type === 'array') return [compose(items, schemas)];
  if (type === 'boolean') return false;
  if (type !== 'object') return undefined;
  return Object.fromEntries(
    Object.entries(properties).map(([name, inner]) => [name, compose(inner, schemas)]),
  );
}

const nameOf = (schema: Schema | undefined): string | undefined => schema?.$ref?.split('/').at(-1);

function resolve(schema: Schema, schemas: Record<string, Schema>): Schema {
  const name = nameOf(schema);
  return name === undefined ? schema : (schemas[name] ?? {});
}

/** Not schemas, whatever they look like. */
const values = ['example', 'examples', 'default', 'enum', 'const'];

function nameSchemas({ paths, components }: Document): void {
  const { schemas } = components;
  const named = (name: string, { title: _, ...schema }: Schema): Schema => {
    const known = schemas[name];
    if (known && textOf(known) !== textOf(schema))
      throw new Error(`Two schemas of the document are called ${name}`);
    schemas[name] = { ...known, ...schema };
    return reference('schemas', name);
  };
  /** The same with references in it; `key` is the property it is the schema of. */
  const walk = (node: unknown, key: string): unknown => {
    if (Array.isArray(node)) return node.map((inner) => walk(inner, key));
    if (typeof node !== 'object' || node === null) return node;
    const { discriminator, oneOf } = node as Schema;
    // The variants of a union are named after themselves and it: Json of a format is JsonFormat.
    const tagged = discriminator && oneOf;
    const suffix = key.charAt(0).toUpperCase() + key.slice(1);
    const walked = Object.fromEntries(
      Object.entries(node).map(([name, inner]) => {
        if (values.includes(name)) return [name, inner];
        if (name === 'oneOf' && tagged)
          return [name, tagged.map((one) => walk({ ...one, title: `${one.title}${suffix}` }, key))];
        if (name === 'properties')
          return [name, mapValues(inner as object, (property, its) => walk(property, its))];
        return [name, walk(inner, key)];
      }),
    ) as Schema;
    return typeof walked.title === 'string' ? named(walked.title, walked) : walked;
  };
  for (const [name, schema] of Object.entries(schemas)) schemas[name] = walk(schema, '') as Schema;
  for (const [path, methods] of Object.entries(paths)) paths[path] = walk(methods, '') as typeof methods;
}

/** Examples of a whole body stand beside its schema. */
const textOf = ({ examples: _, ...schema }: Schema): string => JSON.stringify(schema);

const mapValues = (object: object, change: (value: unknown, key: string) => unknown): object =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value, key)]));
