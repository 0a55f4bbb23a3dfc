import { Anchor, Stack, Text } from '@mantine/core';
import {
  createHashHistory,
  createRootRoute,
  createRoute,
  createRouter,
  type ErrorComponentProps,
  Link,
  lazyRouteComponent,
} from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { patiently } from './parts/lazy.tsx';
import { Page, Problem } from './parts/parts.tsx';
import { Shell } from './shell/shell.tsx';

/** Every page and its address. Addresses are behind a `#`, so that they work below any prefix of a proxy. */

const root = createRootRoute({ component: Shell });
const getParentRoute = () => root;

const text = (value: unknown): string | undefined =>
  typeof value === 'string' || typeof value === 'number' ? `${value}` : undefined;
/** Search parameters that a page keeps in its address. */
const kept = (search: Record<string, unknown>): { tab?: string; search?: string; connector?: string } => {
  const { tab, search: words, connector } = search;
  return {
    ...(text(tab) !== undefined && { tab: text(tab) as string }),
    ...(text(words) !== undefined && { search: text(words) as string }),
    ...(text(connector) !== undefined && { connector: text(connector) as string }),
  };
};
const common = { getParentRoute, validateSearch: kept };

/** Each page is a script of its own, so that the first load has one of them. */
const page = <M extends Record<string, unknown>, N extends keyof M & string>(
  load: () => Promise<M>,
  name: N,
) => lazyRouteComponent(() => patiently(load), name);

const routes = root.addChildren([
  createRoute({
    ...common,
    path: '/',
    component: page(() => import('./pipelines/overview.tsx'), 'PipelinesPage'),
  }),
  createRoute({
    ...common,
    path: '/pipelines/new',
    component: page(() => import('./pipelines/new.tsx'), 'NewPipelinePage'),
  }),
  createRoute({
    ...common,
    path: '/pipelines/$id',
    component: page(() => import('./pipelines/pipeline.tsx'), 'PipelinePage'),
  }),
  createRoute({
    ...common,
    path: '/tables',
    component: page(() => import('./tables/list.tsx'), 'TablesPage'),
  }),
  createRoute({
    ...common,
    path: '/tables/new',
    component: page(() => import('./tables/new.tsx'), 'NewTablePage'),
  }),
  createRoute({
    ...common,
    path: '/tables/$id',
    component: page(() => import('./tables/table.tsx'), 'TablePage'),
  }),
  createRoute({
    ...common,
    path: '/connections',
    component: page(() => import('./connections/list.tsx'), 'ConnectionsPage'),
  }),
  createRoute({
    ...common,
    path: '/connections/new',
    component: page(() => import('./connections/new.tsx'), 'NewConnectionPage'),
  }),
  createRoute({
    ...common,
    path: '/connections/$id',
    component: page(() => import('./connections/connection.tsx'), 'ConnectionPage'),
  }),
  createRoute({
    ...common,
    path: '/bundles',
    component: page(() => import('./admin/bundles.tsx'), 'BundlesPage'),
  }),
  createRoute({
    ...common,
    path: '/workers',
    component: page(() => import('./admin/workers.tsx'), 'WorkersPage'),
  }),
  createRoute({
    ...common,
    path: '/audit',
    component: page(() => import('./admin/audit.tsx'), 'AuditPage'),
  }),
  createRoute({
    ...common,
    path: '/keys',
    component: page(() => import('./admin/keys.tsx'), 'KeysPage'),
  }),
  createRoute({
    ...common,
    path: '/about',
    component: page(() => import('./admin/about.tsx'), 'AboutPage'),
  }),
]);

/** As browsers say it. */
const notLoaded = /dynamically imported module|Importing a module script failed/i;

function Failed({ error, reset }: ErrorComponentProps): ReactNode {
  if (notLoaded.test(`${error}`))
    return (
      <Stack>
        <Problem
          error={new Error('It was lost on the way, or this Penstock has another version now.')}
          title="A part of the console could not be loaded"
        />
        <Anchor component="button" onClick={() => location.reload()}>
          Load the console again
        </Anchor>
      </Stack>
    );
  return (
    <Stack>
      <Problem error={error} title="This page failed" />
      <Anchor component="button" onClick={reset}>
        Try again
      </Anchor>
    </Stack>
  );
}

const Missing = (): ReactNode => (
  <Page title="There is no such page">
    <Text>
      <Anchor component={Link} to="/">
        Go to the pipelines
      </Anchor>
    </Text>
  </Page>
);

export const router = createRouter({
  routeTree: routes,
  history: createHashHistory(),
  defaultErrorComponent: Failed,
  defaultNotFoundComponent: Missing,
  defaultPreload: 'intent',
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
