import { isDeepStrictEqual } from 'node:util';
import { checkTableConfig } from '../../definitions/config-checks.ts';
import type { JsonObject } from '../../security/config-secrets.ts';
import type { Tx } from '../../store/db.ts';
import {
  type Approve,
  Broken,
  compiled,
  concerned,
  type Drains,
  isMeantToRun,
  refusalOf,
  usingProfile,
  usingTable,
} from '../dependents.ts';
import type { Deps } from '../deps.ts';

/** Changes of profiles and tables whose dependents are looked at when everything else is written. */
interface Changed {
  profiles: Set<string>;
  tables: Set<string>;
}

/** Approves of everything, and remembers what has to be settled later. */
export function deferring(): { changed: Changed; approve: Approve } {
  const changed: Changed = { profiles: new Set(), tables: new Set() };
  const later = { drains: [], announce: async () => undefined };
  return {
    changed,
    approve: {
      async profile(_deps, { id }) {
        changed.profiles.add(id);
        return later;
      },
      async table(_deps, { id }) {
        changed.tables.add(id);
        return later;
      },
    },
  };
}

/**
 * Checks what uses the changed profiles and tables as all of it stands by now, tells the jobs, and answers which of them
 * drain. `recompiled` are pipelines that were written, and told, themselves; `tolerated` may be broken. Throws `Broken`.
 *
 * The rows of the profiles and tables are held, so that nobody else begins to use them; those of the jobs are from the
 * first statement on.
 */
export async function settle(
  deps: Deps,
  tx: Tx,
  { profiles, tables }: Changed,
  recompiled: string[],
  tolerated: ReadonlySet<string>,
): Promise<Drains> {
  if (profiles.size + tables.size === 0) return [];
  const where = {
    id: { notIn: recompiled },
    OR: [...[...profiles].map(usingProfile), ...[...tables].map(usingTable)],
  };
  await tx.job.updateMany({ where: { pipeline: where }, data: { editRequests: { increment: 1 } } });
  const brokenTables = await tablesBrokenBy(deps, tx, profiles);
  const broken: Broken['pipelines'] = [];
  const pipelines = await concerned(tx, where);
  for (const { id, name, query, graph, parallelism } of pipelines) {
    const result = await compiled(deps, deps.catalog.query({ id, query }), parallelism, {});
    if (typeof result !== 'string') {
      if (!isDeepStrictEqual(JSON.parse(graph), result))
        await tx.pipeline.update({ where: { id }, data: { graph: JSON.stringify(result) } });
    } else if (!tolerated.has(id))
      broken.push({ id, reason: { path: '', message: `pipeline ${name}: ${result}` } });
  }
  if (brokenTables.length + broken.length > 0) throw new Broken(brokenTables, broken);
  return pipelines.filter(({ job }) => isMeantToRun(job)).map(({ id, name }) => ({ id, name }));
}

async function tablesBrokenBy(deps: Deps, tx: Tx, profiles: Set<string>): Promise<Broken['tables']> {
  const rows = await tx.connectionTable.findMany({
    where: { connectionProfileId: { in: [...profiles] } },
    include: { connectionProfile: true },
  });
  return rows.flatMap(({ name, connector, config, connectionProfile }) =>
    refusalOf(`table ${name}`, () =>
      checkTableConfig(
        connector,
        JSON.parse(config) as JsonObject,
        connectionProfile ? deps.catalog.profile(connectionProfile) : {},
      ),
    ),
  );
}

/** Which of these pipelines do not compile as everything is stored. */
export async function wereBroken(deps: Deps, pipelines: Broken['pipelines']): Promise<Set<string>> {
  const found = new Set<string>();
  for (const { id } of pipelines) {
    const row = await deps.db.pipeline.findUnique({ where: { id } });
    if (row && typeof (await compiled(deps, deps.catalog.query(row), row.parallelism, {})) === 'string')
      found.add(id);
  }
  return found;
}
