import { createHash } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import Type, { type Static } from 'typebox';
import { PenstockError } from '../../errors.ts';
import type { Db } from '../../store/db.ts';
import type { AffectedPipelines } from '../dependents.ts';
import type { Deps } from '../deps.ts';
import { readText } from '../http.ts';
import { writeObjects } from '../kind.ts';
import { readSelector, type Selector } from '../labels.ts';
import { bodyProblems, problems } from '../problem.ts';
import { optionsOf } from '../write.ts';
import { type AppliedChange, bundledKinds, type PlannedChange } from './kinds.ts';
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
      { parseAs: 'buffer', bodyLimit: maxBytes },
      async (request: FastifyRequest, body: Buffer) => {
        if (body.length <= maxYamlBytes) return readYaml(readText(request, body));
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
        return applyBundle(deps, body, { ...optionsOf(query), plan: query.plan });
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
            'whether a pipeline runs. With `kind` it has the objects of that kind, of these only one with `name`, and the ' +
            'tables and profiles that they need.',
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
            ...problems(400, 404),
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

async function exported(deps: Deps, query: Static<typeof ExportQuery>): Promise<object> {
  const { kind, name } = query;
  const selector = readSelector(query);
  if (kind === undefined && name !== undefined)
    throw new PenstockError('invalid_request', 'name needs kind, which says what has this name', {
      errors: [{ path: '/kind', message: 'is required beside name' }],
    });
  const kinds = bundledKinds(deps);
  const chosen = kinds.find(({ path }) => path === kind);
  const needed = chosen && (await needs(deps.db, chosen.path, await chosen.ids({ selector, name })));
  const bundle: Record<string, object[]> = {};
  let count = 0;
  for (const one of kinds) {
    const objects = await one.export(needed ? { ids: needed[one.path] } : { selector });
    count += objects.length;
    if (count > maxObjects) throw tooMuch(`more than ${maxObjects} objects`);
    bundle[one.path] = objects;
  }
  return bundle;
}

type Ids = Record<NonNullable<Static<typeof ExportQuery>['kind']>, string[]>;

/** The ids of objects of a kind, with the tables and profiles that they need. */
async function needs(db: Db, kind: keyof Ids, ids: string[]): Promise<Ids> {
  const found: Ids = { connection_profiles: [], connection_tables: [], pipelines: [] };
  found[kind] = bounded(ids);
  if (kind === 'pipelines') {
    const where = { pipelineId: { in: ids } };
    const tables = await db.pipelineTable.findMany({ where });
    const profiles = await db.pipelineProfile.findMany({ where });
    found.connection_tables = bounded(tables.map(({ connectionTableId: id }) => id));
    found.connection_profiles = profiles.map(({ connectionProfileId: id }) => id);
  }
  const where = { id: { in: found.connection_tables } };
  const tables = await db.connectionTable.findMany({ where, select: { connectionProfileId: true } });
  const profiles = tables.flatMap(({ connectionProfileId: id }) => id ?? []);
  found.connection_profiles = bounded([...found.connection_profiles, ...profiles]);
  return found;
}

/** Each once. Throws if there are more than a bundle can hold. */
function bounded(ids: readonly string[]): string[] {
  const distinct = [...new Set(ids)];
  if (distinct.length > maxObjects) throw tooMuch(`more than ${maxObjects} objects`);
  return distinct;
}

const tooMuch = (what: string, hint = 'Select a part with label_selector.'): PenstockError =>
  new PenstockError('invalid_request', `The export does not fit into one bundle: it has ${what}`, { hint });

interface ApplyOptions {
  dryRun: boolean;
  discardState: boolean;
  plan: string | undefined;
}

/** Limit of the transaction, which blocks writers of the same objects, and on SQLite all writers. */
const transactionMs = 30_000;

/**
 * Makes everything as the bundle says, or changes nothing. Each object is checked against the definitions as the
 * objects before it leave them. Users of a changed profile or table are checked against the whole bundle, so a table
 * and the query that reads it can change together.
 *
 * Throws what a single write throws, with paths into the bundle; `plan_stale`; and, for objects to prune that are still
 * used or still run, what deleting them throws.
 */
async function applyBundle(deps: Deps, bundle: Bundle, options: ApplyOptions): Promise<Applied> {
  refuseTooMany(bundle);
  refuseDuplicates(bundle);
  const selector = pruneSelector(bundle);
  const { dryRun, discardState } = options;
  const write = { dryRun, discardState, byName: true, timeoutMs: transactionMs };
  return writeObjects<AppliedChange, Applied>(deps, write, async (staged) => {
    const kinds = bundledKinds(deps);
    const changes: PlannedChange[] = [];
    for (const kind of kinds) changes.push(...(await kind.save(bundle[kind.path] ?? [], staged)));
    if (selector)
      for (const kind of kinds.toReversed()) {
        const kept = new Set((bundle[kind.path] ?? []).map(({ name }) => name));
        changes.push(...(await kind.prune(selector, kept)));
      }
    return { changes, finish: (applied, affected) => resultOf(applied, affected, options) };
  });
}

function resultOf(
  applied: AppliedChange[],
  affected: AffectedPipelines,
  { dryRun, plan }: ApplyOptions,
): Applied {
  const affected_pipelines = affected.toSorted(byName);
  const hash = hashOf(applied, affected_pipelines);
  if (plan !== undefined && plan !== hash)
    throw new PenstockError('plan_stale', 'The plan is out of date', {
      hint: 'Make a new plan (dry_run=true), review it, and apply that one.',
    });
  const changes = applied.map(({ kind, name, action, id, diff }) => ({
    kind,
    name,
    action,
    id: dryRun && action === 'created' ? null : id,
    diff,
  }));
  const summary = { created: 0, updated: 0, unchanged: 0, deleted: 0 };
  for (const { action } of applied) summary[action] += 1;
  return { plan: hash, applied: !dryRun, summary, changes, affected_pipelines };
}

const byName = (one: { name: string }, other: { name: string }): number => (one.name < other.name ? -1 : 1);

/** The identity of a plan. It omits secrets, because a reader of the hash could guess short ones. */
function hashOf(applied: AppliedChange[], affected: AffectedPipelines): string {
  const changes = applied.map(({ kind, name, action, before, diff }) => [
    kind,
    name,
    action,
    before ? [before.id, before.version] : null,
    diff,
  ]);
  const text = JSON.stringify([changes, affected.map(({ id }) => id)]);
  return createHash('sha256').update(text).digest('hex');
}

function refuseTooMany({ connection_profiles = [], connection_tables = [], pipelines = [] }: Bundle): void {
  const count = connection_profiles.length + connection_tables.length + pipelines.length;
  if (count > maxObjects)
    throw invalid('', `has ${count} objects; the maximum is ${maxObjects}. Split it into several bundles`);
}

function refuseDuplicates(bundle: Bundle): void {
  for (const kind of ['connection_profiles', 'connection_tables', 'pipelines'] as const) {
    const seen = new Set<string>();
    for (const [index, { name }] of (bundle[kind] ?? []).entries()) {
      if (seen.has(name)) throw invalid(`/${kind}/${index}/name`, 'is a duplicate');
      seen.add(name);
    }
  }
}

/** Refuses a selector that matches objects without labels: it would delete other people's. */
function pruneSelector({ prune }: Bundle): Selector | undefined {
  if (!prune) return undefined;
  const selector = readSelector(prune);
  if (selector && !selector.matches({})) return selector;
  throw invalid('/prune/label_selector', 'must require a label, such as app=overheating');
}

const invalid = (path: string, message: string): PenstockError =>
  new PenstockError('invalid_request', `${path || 'The bundle'} ${message}`, { errors: [{ path, message }] });
