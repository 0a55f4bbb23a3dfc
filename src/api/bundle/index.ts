import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import { PenstockError } from '../../errors.ts';
import type { Deps } from '../deps.ts';
import { readSelector } from '../labels.ts';
import { bodyProblems, problems } from '../problem.ts';
import { applyBundle } from './apply.ts';
import { bundledKinds } from './kinds.ts';
import {
  Applied,
  ApplyQuery,
  Bundle,
  Exported,
  ExportQuery,
  maxBytes,
  maxObjects,
  maxYamlBytes,
} from './wire.ts';
import { readYaml, writeYaml } from './yaml.ts';

const yamlTypes = ['application/yaml', 'application/x-yaml', 'text/yaml'];

/** Everything at once, by name: what automation sends, and what it gets. */
export const bundles =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    app.addContentTypeParser(
      yamlTypes,
      { parseAs: 'string', bodyLimit: maxBytes },
      async (_request: unknown, body: string) => {
        if (Buffer.byteLength(body) <= maxYamlBytes) return readYaml(body);
        throw new PenstockError('payload_too_large', 'The body is YAML of more than 256 KiB', {
          hint: 'Send it as JSON (application/json), which may have 1 MiB, or make several bundles of it.',
        });
      },
    );

    app.post(
      '/apply',
      {
        bodyLimit: maxBytes,
        schema: {
          operationId: 'apply',
          summary: 'Make profiles, tables and pipelines as a bundle says, all or nothing',
          description:
            'Objects are found by their names, and tables refer to their profiles by name; the order does not matter. ' +
            'What is already as the bundle says is left alone, and nothing restarts. The mask keeps a stored secret. ' +
            'With `dry_run=true` it answers the plan and its hash, which `plan` then holds the real one to. What is ' +
            'not in the bundle stays, unless `prune` selects it; a pipeline is only pruned when it does not run.',
          tags: ['automation'],
          consumes: ['application/json', 'application/yaml'],
          querystring: ApplyQuery,
          body: Bundle,
          response: { 200: Applied, ...bodyProblems(409, 412) },
        },
      },
      async ({ body, query }) => {
        return applyBundle(deps, body, { dryRun: query.dry_run, plan: query.plan });
      },
    );

    app.get(
      '/export',
      {
        schema: {
          operationId: 'export',
          summary: 'Get profiles, tables and pipelines as a bundle for apply',
          description:
            'Secrets are masked: applied where they are stored, the bundle changes nothing. Whether a pipeline runs is ' +
            'not part of it.',
          tags: ['automation'],
          querystring: ExportQuery,
          response: {
            200: {
              description: 'The bundle, each kind sorted by name',
              content: {
                'application/json': { schema: Exported },
                'application/yaml': {
                  schema: Type.String({
                    examples: ['connection_profiles: []\nconnection_tables: []\npipelines: []\n'],
                  }),
                },
              },
            } as never,
            ...problems(400),
          },
        },
      },
      async ({ query }, reply) => {
        const bundle = await exported(deps, query);
        const text = query.format === 'yaml' ? await writeYaml(bundle) : JSON.stringify(bundle);
        // What is exported can be applied.
        if (Buffer.byteLength(text) > maxBytes) throw tooMuch('more than 1 MiB');
        if (query.format === 'yaml' && Buffer.byteLength(text) > maxYamlBytes)
          throw tooMuch(
            'more than 256 KiB of YAML',
            'Choose a part of it with label_selector, or format=json.',
          );
        return reply
          .type(
            query.format === 'yaml' ? 'application/yaml; charset=utf-8' : 'application/json; charset=utf-8',
          )
          .serializer((written: unknown) => String(written))
          .send(text as never);
      },
    );
  };

async function exported(deps: Deps, query: { label_selector?: string }): Promise<object> {
  const selector = readSelector(query);
  const bundle: Record<string, object[]> = {};
  let count = 0;
  for (const kind of bundledKinds(deps)) {
    const objects = await kind.export(selector);
    count += objects.length;
    if (count > maxObjects) throw tooMuch(`more than ${maxObjects} objects`);
    bundle[kind.path] = objects;
  }
  return bundle;
}

const tooMuch = (what: string, hint = 'Choose a part of it with label_selector.'): PenstockError =>
  new PenstockError('invalid_request', `One bundle cannot hold all of it: it would have ${what}`, { hint });
