import {
  ActionIcon,
  Anchor,
  AppShell,
  Badge,
  Burger,
  Center,
  Group,
  Loader,
  NavLink,
  Text,
  Tooltip,
  useComputedColorScheme,
  useMantineColorScheme,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import {
  IconActivity,
  IconFileDiff,
  IconHistory,
  IconInfoCircle,
  IconKey,
  IconLogout,
  IconMoon,
  IconPlugConnected,
  IconServer2,
  IconSun,
  IconTable,
} from '@tabler/icons-react';
import { useIsMutating, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useRouterState } from '@tanstack/react-router';
import { type ReactNode, useEffect, useMemo, useRef } from 'react';
import { type Caller, CallerContext, makesKey, mayAct, type Role, useCaller } from '../api/caller.tsx';
import { call, hasKey, keepKey, Refused, statusOf } from '../api/client.ts';
import { Problem } from '../parts/parts.tsx';
import { Name } from '../parts/text.tsx';
import { Login } from './login.tsx';

/** The frame of every page: who uses it, where to go, light or dark. */

interface Place {
  to: string;
  text: string;
  icon: typeof IconActivity;
  role?: Role;
}

const places: Place[] = [
  { to: '/', text: 'Pipelines', icon: IconActivity },
  { to: '/tables', text: 'Tables', icon: IconTable },
  { to: '/connections', text: 'Connections', icon: IconPlugConnected },
  { to: '/bundles', text: 'Bundles', icon: IconFileDiff },
  { to: '/workers', text: 'Workers', icon: IconServer2 },
  { to: '/audit', text: 'Audit log', icon: IconHistory, role: 'admin' },
  { to: '/keys', text: 'API keys', icon: IconKey, role: 'admin' },
  { to: '/about', text: 'About', icon: IconInfoCircle },
];

/** Lets in who may read, and asks others for a key. */
export function Shell(): ReactNode {
  const client = useQueryClient();
  const makes = useIsMutating({ mutationKey: makesKey }) > 0;
  const query = useQuery({
    queryKey: ['caller'],
    queryFn: () => call('getCaller', {}),
    // The page that asks for a key would replace the one that shows the new key, which is shown only once.
    enabled: !makes,
    retry: retryUnlessRefused,
  });
  const refused = query.error instanceof Refused && query.error.problem.status === 401;
  const login = (key: string | undefined): void => {
    keepKey(key);
    client.clear();
    void client.invalidateQueries();
    void query.refetch();
  };
  const caller = useMemo<Caller | undefined>(
    () =>
      query.data && {
        name: query.data.name,
        role: query.data.role,
        keysRequired: query.data.keys_required,
      },
    [query.data],
  );
  if (refused) return <Login onKey={login} refused={hasKey() ? query.error : undefined} />;
  if (caller === undefined)
    return (
      <Center mih="100vh" p="md" component="main">
        {query.error ? <Problem error={query.error} /> : <Loader aria-label="Loading" />}
      </Center>
    );
  return (
    <CallerContext.Provider value={caller}>
      <Frame onLogout={() => login(undefined)} />
    </CallerContext.Provider>
  );
}

const retryUnlessRefused = (failures: number, error: unknown): boolean =>
  (statusOf(error) ?? 500) >= 500 && failures < 100;

function Frame({ onLogout }: { onLogout(): void }): ReactNode {
  const [open, { toggle, close }] = useDisclosure(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const main = useRef<HTMLElement>(null);
  const shown = useRef(path);
  useEffect(() => {
    if (shown.current === path) return;
    shown.current = path;
    close();
    // A screen reader goes on at the new page, not at the link that led to it.
    main.current?.focus({ preventScroll: true });
  }, [path, close]);
  return (
    <AppShell
      header={{ height: 52 }}
      navbar={{ width: 200, breakpoint: 'sm', collapsed: { mobile: !open } }}
      padding="md"
    >
      <button type="button" className="skip" onClick={() => main.current?.focus()}>
        Skip to the page
      </button>
      <AppShell.Header px="md">
        <Group h="100%" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger opened={open} onClick={toggle} hiddenFrom="sm" size="sm" aria-label="Menu" />
            <Anchor component={Link} to="/" fw={700} c="inherit" underline="never">
              Penstock
            </Anchor>
          </Group>
          <Tools onLogout={onLogout} />
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" aria-label="Pages">
        <Places />
      </AppShell.Navbar>
      <AppShell.Main ref={main} tabIndex={-1}>
        <Outlet />
      </AppShell.Main>
    </AppShell>
  );
}

function Places(): ReactNode {
  const { role } = useCaller();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const here = (to: string): boolean =>
    to === '/' ? path === '/' || path.startsWith('/pipelines') : path.startsWith(to);
  return places
    .filter((place) => mayAct(role, place.role ?? 'viewer'))
    .map(({ to, text, icon: Icon }) => (
      <NavLink
        key={to}
        component={Link}
        to={to}
        label={text}
        active={here(to)}
        aria-current={here(to) ? 'page' : undefined}
        leftSection={<Icon size={18} stroke={1.6} />}
      />
    ));
}

function Tools({ onLogout }: { onLogout(): void }): ReactNode {
  const { name, role, keysRequired } = useCaller();
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme('light') === 'dark';
  return (
    <Group gap="xs" wrap="nowrap">
      {keysRequired && (
        <Text size="sm" visibleFrom="xs" component="span">
          <Name>{name}</Name> <Badge variant="default">{role}</Badge>
        </Text>
      )}
      <Tooltip label={dark ? 'Light' : 'Dark'}>
        <ActionIcon
          variant="subtle"
          color="gray"
          aria-label={dark ? 'Use light colors' : 'Use dark colors'}
          onClick={() => setColorScheme(dark ? 'light' : 'dark')}
        >
          {dark ? <IconSun size={18} /> : <IconMoon size={18} />}
        </ActionIcon>
      </Tooltip>
      {keysRequired && (
        <Tooltip label="Log out">
          <ActionIcon variant="subtle" color="gray" aria-label="Log out" onClick={onLogout}>
            <IconLogout size={18} />
          </ActionIcon>
        </Tooltip>
      )}
    </Group>
  );
}
