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

export const bundles =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    app.addContentTypeParser(
      yamlTypes,
      { parseAs: 'string', bodyLimit: maxBytes },
      async (_request: unknown, body: string) => {
        if (Buffer.byteLength(body) <= maxYamlBytes) return readYaml(body);
        throw new PenstockError('payload_too_large', 'The YAML body is larger than 256 KiB', {
          hint: 'Send it as JSON (application/json, up to 1 MiB), or split it into several bundles.',
        });
      },
    );

    app.post(
      '/apply',
      {
        bodyLimit: maxBytes,
        schema: {
          operationId: 'apply',
          summary: 'Apply a bundle of profiles, tables and pipelines, all or nothing',
          description:
            'Objects are matched by name, and tables refer to their profiles by name, in any order. Unchanged objects are ' +
            'left alone, and nothing restarts. The mask keeps a stored secret. `dry_run=true` returns the plan and its ' +
            'hash; with `plan` only that plan is applied. Objects outside of the bundle stay, unless `prune` selects ' +
            'them. Running pipelines are never pruned.',
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
          summary: 'Export profiles, tables and pipelines as a bundle',
          description:
            'Secrets are masked, so applying the bundle where they are stored changes nothing. The bundle does not say ' +
            'whether a pipeline runs.',
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
        // Every export can be applied again.
        if (Buffer.byteLength(text) > maxBytes) throw tooMuch('more than 1 MiB');
        if (query.format === 'yaml' && Buffer.byteLength(text) > maxYamlBytes)
          throw tooMuch(
            'more than 256 KiB of YAML',
            'Select a part with label_selector, or use format=json.',
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

const tooMuch = (what: string, hint = 'Select a part with label_selector.'): PenstockError =>
  new PenstockError('invalid_request', `The export does not fit into one bundle: it has ${what}`, { hint });
