import Type, { type Static } from 'typebox';
import type { Parser } from 'yaml';
import { PenstockError } from '../../errors.ts';
import { ConnectionProfilePost } from '../connection-profiles/wire.ts';
import { ConnectionTablePost } from '../connection-tables/wire.ts';
import { AffectedPipelines } from '../dependents.ts';
import { SelectorQuery } from '../labels.ts';
import { PipelinePost } from '../pipelines/wire.ts';
import { Name, strict } from '../schemas.ts';
import { WriteQuery } from '../write.ts';

/** Bundles: objects that refer to each other by name. */

/** Maximum number of objects in a bundle. One transaction writes them all, and other writers wait for it. */
export const maxObjects = 500;
export const maxBytes = 1024 * 1024;
/** Maximum size in YAML, which takes many times longer to parse than JSON and blocks all other requests. */
export const maxYamlBytes = 256 * 1024;

const { connection_profile_id: _id, ...ofTable } = ConnectionTablePost.properties;
const BundledTable = Type.Object(
  {
    ...ofTable,
    connection_profile: Type.Intersect([Name], {
      description: 'Name of its connection profile; the id of its connector if that needs none',
    }),
  },
  strict,
);
export type BundledTable = Static<typeof BundledTable>;

const exampleBundle = {
  connection_profiles: [
    {
      name: 'plant',
      connector: 'mqtt',
      config: { url: 'mqtt://localhost:1883', username: 'penstock', password: '{{ PENSTOCK_VAR_PLANT }}' },
      labels: { app: 'overheating' },
    },
  ],
  connection_tables: [
    {
      name: 'plant_readings',
      connector: 'mqtt',
      connection_profile: 'plant',
      config: { topic: 'plant/+/readings', qos: 'AtLeastOnce', type: {} },
      schema: { format: { type: 'json' }, fields: [{ name: 'celsius', type: 'float64' }] },
      labels: { app: 'overheating' },
    },
    {
      name: 'plant_alerts',
      connector: 'mqtt',
      connection_profile: 'plant',
      config: { topic: 'plant/alerts', qos: 'AtLeastOnce', type: { retain: false } },
      schema: { format: { type: 'json' }, fields: [{ name: 'celsius', type: 'float64' }] },
      labels: { app: 'overheating' },
    },
  ],
  pipelines: [
    {
      name: 'overheating',
      query: 'INSERT INTO plant_alerts SELECT celsius FROM plant_readings WHERE celsius > 90',
      parallelism: 1,
      labels: { app: 'overheating' },
    },
  ],
};

const listOf = <T extends Type.TSchema>(item: T) => Type.Optional(Type.Array(item, { maxItems: maxObjects }));
const contents = {
  connection_profiles: listOf(ConnectionProfilePost),
  connection_tables: listOf(BundledTable),
  pipelines: listOf(PipelinePost),
};

export const Bundle = Type.Object(
  {
    ...contents,
    prune: Type.Optional(
      Type.Object(
        {
          label_selector: Type.String({
            minLength: 1,
            maxLength: 1000,
            description: 'As in lists. It must require a label: objects without labels are never pruned',
          }),
        },
        {
          ...strict,
          description: 'Deletes the matching objects that are not in the bundle',
        },
      ),
    ),
  },
  {
    ...strict,
    title: 'Bundle',
    examples: [{ ...exampleBundle, prune: { label_selector: 'app=overheating' } }],
  },
);
export type Bundle = Static<typeof Bundle>;

export const Exported = Type.Object(contents, { title: 'Exported', examples: [exampleBundle] });

const planPattern = '^[0-9a-f]{64}$';

export const ApplyQuery = Type.Object(
  {
    ...WriteQuery.properties,
    plan: Type.Optional(
      Type.String({
        pattern: planPattern,
        description: 'Hash of a plan. If the plan is out of date, the response is 412',
      }),
    ),
  },
  strict,
);

export const ExportQuery = Type.Object(
  {
    ...SelectorQuery.properties,
    format: Type.Enum(['json', 'yaml'], { default: 'json', description: 'Format of the bundle' }),
  },
  strict,
);

const Difference = Type.Object({
  path: Type.String({ description: 'JSON pointer into the object in the bundle' }),
  before: Type.Optional(Type.Unknown({ description: 'Left out if there was no value' })),
  after: Type.Optional(Type.Unknown({ description: 'Left out if the value is removed' })),
  secret: Type.Optional(
    Type.Literal('changed', { description: 'A secret is set, changed or removed. Its value is not shown' }),
  ),
});
export type Difference = Static<typeof Difference>;

const kinds = ['connection_profiles', 'connection_tables', 'pipelines'] as const;
const actions = ['created', 'updated', 'unchanged', 'deleted'] as const;

const BundleChange = Type.Object({
  kind: Type.Enum([...kinds]),
  name: Type.String(),
  action: Type.Enum([...actions]),
  id: Type.Union([Type.String(), Type.Null()], {
    description: 'Null in a plan for an object that does not exist yet',
  }),
  diff: Type.Array(Difference, { description: 'The differences of an updated object; otherwise empty' }),
});
export type BundleChange = Static<typeof BundleChange>;

const count = Type.Integer();

export const Applied = Type.Object(
  {
    plan: Type.String({
      pattern: planPattern,
      description:
        'Hash of the changes, of the versions they were compared with and of the affected pipelines',
    }),
    applied: Type.Boolean({ description: 'False in a plan' }),
    summary: Type.Object({ created: count, updated: count, unchanged: count, deleted: count }),
    changes: Type.Array(BundleChange, {
      description: 'One for each object, in the order of execution',
    }),
    affected_pipelines: AffectedPipelines,
  },
  {
    title: 'Applied',
    examples: [
      {
        plan: '9c1f'.repeat(16),
        applied: true,
        summary: { created: 0, updated: 2, unchanged: 0, deleted: 1 },
        changes: [
          {
            kind: 'connection_profiles',
            name: 'plant',
            action: 'updated',
            id: 'cp_3fK0x9QzLm',
            diff: [{ path: '/config/password', secret: 'changed' }],
          },
          {
            kind: 'connection_tables',
            name: 'plant_readings',
            action: 'updated',
            id: 'ct_8Qm2Vh4TzX',
            diff: [{ path: '/config/topic', before: 'plant/+/readings', after: 'plant/+/celsius' }],
          },
          { kind: 'pipelines', name: 'old', action: 'deleted', id: 'pl_9aB3cD4eF5', diff: [] },
        ],
        affected_pipelines: [{ id: 'pl_5TgR7bN1wC', name: 'overheating' }],
      },
    ],
  },
);
export type Applied = Static<typeof Applied>;

/** YAML 1.2 as a notation for JSON. Everything else, such as tags and dates, is refused. */

/** Maximum number of aliases, nested ones included. */
const maxAliases = 100;
const maxDepth = 100;

/**
 * Reads one document. Throws `invalid_request` with the line of a syntax error, and for aliases that expand to more than
 * a megabyte.
 */
export async function readYaml(text: string): Promise<unknown> {
  const { parseDocument, visit, isScalar, isAlias, Lexer, LineCounter, Parser } = await import('yaml');
  refuseDeep(new Parser(), new Lexer().lex(text));
  const lines = new LineCounter();
  // Comparing each key with all others takes time quadratic in their number, and so does describing each error.
  const options = {
    schema: 'core',
    resolveKnownTags: false,
    uniqueKeys: false,
    prettyErrors: false,
  } as const;
  const document = attempt(() =>
    withoutTraces(() => parseDocument(text, { ...options, lineCounter: lines })),
  );
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) {
    const { line, col } = lines.linePos(problem.pos[0]);
    throw unreadable(`${firstLine(problem.message)} at line ${line}, column ${col}`);
  }
  let aliases = 0;
  attempt(() =>
    visit(document, {
      Alias() {
        aliases += 1;
        if (aliases > maxAliases) throw unreadable(`it has more than ${maxAliases} aliases`);
      },
      Map(_key, { items }) {
        const seen = new Set<string>();
        for (const { key } of items) {
          if (isAlias(key) || !isScalar(key)) throw unreadable('the keys of a mapping must be plain text');
          const name = String(key.value);
          if (name === '__proto__') throw unreadable('__proto__ is not allowed as a key');
          if (seen.has(name))
            throw unreadable(`the key ${JSON.stringify(name.slice(0, 100))} is a duplicate`);
          seen.add(name);
        }
      },
    }),
  );
  const value: unknown = attempt(() => document.toJS({ maxAliasCount: maxAliases }));
  measure(value, { left: maxBytes }, maxDepth);
  return value;
}

/** Runs a part of the parser that may make a hundred thousand errors: the stack traces are most of their cost. */
function withoutTraces<T>(run: () => T): T {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return run();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/** The parser keeps a stack of its own, but what composes its tokens is recursive. */
function refuseDeep(parser: Parser, lexemes: Iterable<string>): void {
  for (const lexeme of lexemes) {
    // The tokens themselves are of no interest.
    for (const _token of parser.next(lexeme));
    // The document and the innermost value have places of their own.
    if (parser.stack.length > maxDepth + 2) throw tooDeep();
  }
}

const tooDeep = (): PenstockError => unreadable(`it is nested more than ${maxDepth} levels deep`);

export async function writeYaml(value: object): Promise<string> {
  const { stringify } = await import('yaml');
  return stringify(value, { schema: 'core', lineWidth: 0, aliasDuplicateObjects: false });
}

/** Runs a part of the parser, which may overflow the stack on deeply nested text. */
function attempt<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof PenstockError) throw error;
    if (error instanceof RangeError) throw tooDeep();
    if (error instanceof ReferenceError) throw unreadable(firstLine(error.message));
    throw error;
  }
}

/** Measures the value as JSON would write it, so that aliases and cycles cannot multiply it. */
function measure(value: unknown, budget: { left: number }, levels: number): void {
  budget.left -= typeof value === 'string' ? value.length + 2 : 2;
  if (budget.left < 0) throw unreadable('it is larger than 1 MiB once its aliases are resolved');
  if (typeof value === 'number' && !Number.isFinite(value)) throw unreadable(`${value} is not a JSON number`);
  if (typeof value !== 'object' || value === null) return;
  if (levels === 0) throw tooDeep();
  for (const [name, inner] of Object.entries(value)) {
    budget.left -= name.length;
    measure(inner, budget, levels - 1);
  }
}

const firstLine = (text: string): string => (text.split('\n')[0] as string).replace(/:$/, '');

const unreadable = (why: string): PenstockError =>
  new PenstockError('invalid_request', `The YAML body cannot be read: ${why}`, {
    hint: 'Send one YAML 1.2 document without tags, or JSON as application/json.',
  });
