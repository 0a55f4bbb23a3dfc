/** TypeScript types for clients, generated from the OpenAPI document: one for each component and each operation. */

interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  patternProperties?: Record<string, Schema>;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  description?: string;
}
type Content = Record<string, { schema: Schema }>;
interface Operation {
  operationId: string;
  summary: string;
  parameters?: { in: string; name: string; required?: boolean; schema: Schema }[];
  requestBody?: { content: Content };
  responses: Record<string, { content?: Content }>;
}
interface ApiDocument {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

/** The text of examples/typed-client/types.ts. */
export function clientTypes({ paths, components }: ApiDocument): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  return [
    '// Generated from openapi/openapi.json by `npm run openapi`.\n',
    ...Object.entries(components.schemas).map(
      ([name, schema]) => `export type ${name} = ${typeOf(schema, '')};\n`,
    ),
    '/** The parameters, body and response of each operation; `events` are those of its stream. */',
    'export interface Operations {',
    ...operations.flatMap(({ operation }) => [`  /** ${operation.summary}. */`, `  ${entryOf(operation)};`]),
    '}\n',
    '/** The method and path of each operation. */',
    'export const operations = {',
    ...operations.map(
      ({ path, method, operation }) => `  ${operation.operationId}: ['${method}', '${path}'],`,
    ),
    '} as const;',
    '',
  ].join('\n');
}

function entryOf({ operationId, parameters = [], requestBody, responses }: Operation): string {
  const object = (place: string) => {
    const of = parameters.filter((one) => one.in === place);
    const properties = Object.fromEntries(of.map(({ name, schema }) => [name, schema]));
    const required = of.filter((one) => one.required);
    return typeOf(
      { type: 'object', properties, required: required.map(({ name }) => name), additionalProperties: false },
      '    ',
    );
  };
  const { content = {} } = responses['200'] ?? {};
  const parts = [
    ['params', object('path')],
    ['query', object('query')],
    ['headers', object('header')],
    ['body', bodyOf(requestBody?.content)],
    ['answer', bodyOf(content)],
    ['events', content['text/event-stream'] ? typeOf(content['text/event-stream'].schema, '    ') : 'never'],
  ];
  return `${operationId}: {\n${parts.map(([name, type]) => `    ${name}: ${type};\n`).join('')}  }`;
}

function bodyOf(content: Content = {}): string {
  const json = content['application/json'];
  if (json) return typeOf(json.schema, '    ');
  return 'text/plain' in content ? 'string' : 'undefined';
}

const primitives: Record<string, string> = {
  string: 'string',
  integer: 'number',
  number: 'number',
  boolean: 'boolean',
  null: 'null',
};

function typeOf(schema: Schema, indent: string): string {
  const { $ref, anyOf, oneOf, allOf, type } = schema;
  if ($ref) return $ref.split('/').at(-1) as string;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return unionOf(schema.enum.map((value) => JSON.stringify(value)));
  const union = anyOf ?? oneOf;
  if (union) return unionOf(union.map((one) => typeOf(one, indent)));
  if (allOf) return allOf.map((one) => `(${typeOf(one, indent)})`).join(' & ');
  if (Array.isArray(type)) return unionOf(type.map((one) => typeOf({ ...schema, type: one }, indent)));
  if (type === 'array') return `Array<${typeOf(schema.items ?? {}, indent)}>`;
  if (type === 'object' || schema.properties) return objectOf(schema, indent);
  return (type && primitives[type]) ?? 'unknown';
}

function objectOf(schema: Schema, indent: string): string {
  const { properties = {}, required = [], additionalProperties, patternProperties } = schema;
  const inner = `${indent}  `;
  const fields = Object.entries(properties).flatMap(([name, one]) => {
    const said = one.description ? [`${inner}/** ${one.description.replaceAll('*/', '* /')} */`] : [];
    return [...said, `${inner}${keyOf(name)}${required.includes(name) ? '' : '?'}: ${typeOf(one, inner)};`];
  });
  if (fields.length > 0) return `{\n${fields.join('\n')}\n${indent}}`;
  if (additionalProperties === false) return 'Record<string, never>';
  const [pattern] = Object.values(patternProperties ?? {});
  const value = typeof additionalProperties === 'object' ? additionalProperties : (pattern ?? {});
  return `Record<string, ${typeOf(value, indent)}>`;
}

const keyOf = (name: string): string => (/^\w+$/.test(name) ? name : `'${name}'`);

const unionOf = (types: string[]): string => [...new Set(types)].join(' | ');
