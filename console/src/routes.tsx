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

const pipelines = () => patiently(() => import('./pipelines/pages.ts'));
const tables = () => patiently(() => import('./tables/pages.ts'));
const connections = () => patiently(() => import('./connections/pages.ts'));
const admin = () => patiently(() => import('./admin/pages.ts'));

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

const routes = root.addChildren([
  createRoute({ ...common, path: '/', component: lazyRouteComponent(pipelines, 'PipelinesPage') }),
  createRoute({
    ...common,
    path: '/pipelines/new',
    component: lazyRouteComponent(pipelines, 'NewPipelinePage'),
  }),
  createRoute({
    ...common,
    path: '/pipelines/$id',
    component: lazyRouteComponent(pipelines, 'PipelinePage'),
  }),
  createRoute({ ...common, path: '/tables', component: lazyRouteComponent(tables, 'TablesPage') }),
  createRoute({ ...common, path: '/tables/new', component: lazyRouteComponent(tables, 'NewTablePage') }),
  createRoute({ ...common, path: '/tables/$id', component: lazyRouteComponent(tables, 'TablePage') }),
  createRoute({
    ...common,
    path: '/connections',
    component: lazyRouteComponent(connections, 'ConnectionsPage'),
  }),
  createRoute({
    ...common,
    path: '/connections/new',
    component: lazyRouteComponent(connections, 'NewConnectionPage'),
  }),
  createRoute({
    ...common,
    path: '/connections/$id',
    component: lazyRouteComponent(connections, 'ConnectionPage'),
  }),
  createRoute({ ...common, path: '/bundles', component: lazyRouteComponent(admin, 'BundlesPage') }),
  createRoute({ ...common, path: '/workers', component: lazyRouteComponent(admin, 'WorkersPage') }),
  createRoute({ ...common, path: '/audit', component: lazyRouteComponent(admin, 'AuditPage') }),
  createRoute({ ...common, path: '/keys', component: lazyRouteComponent(admin, 'KeysPage') }),
  createRoute({ ...common, path: '/about', component: lazyRouteComponent(admin, 'AboutPage') }),
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
