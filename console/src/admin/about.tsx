import {
  Anchor,
  Badge,
  Button,
  Card,
  Group,
  Kbd,
  List,
  Loader,
  SimpleGrid,
  Stack,
  Text,
  Title,
} from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useCaller } from '../api/caller.tsx';
import { base, call, unchanging } from '../api/client.ts';
import { Automate } from '../parts/automate.tsx';
import { count } from '../parts/format.ts';
import { Loaded, Page, Problem } from '../parts/parts.tsx';
import { LongText, Name } from '../parts/text.tsx';

/** The version, whether Penstock is ready, and the way to the API. */

export function AboutPage(): ReactNode {
  return (
    <Page
      title="About"
      actions={
        <Automate
          calls={[
            { title: 'Check that it can handle requests', method: 'GET', path: '/readyz' },
            { title: 'List the workers', method: 'GET', path: '/api/v1/workers' },
            { title: 'Get the metrics', method: 'GET', path: '/metrics' },
          ]}
        />
      }
    >
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        <Health />
        <Access />
        <Api />
        <Keyboard />
      </SimpleGrid>
      <Metrics />
    </Page>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }): ReactNode {
  return (
    <Card withBorder component="section" aria-label={title}>
      <Title order={2} size="h4" mb="xs">
        {title}
      </Title>
      <Stack gap="xs">{children}</Stack>
    </Card>
  );
}

function Health(): ReactNode {
  const ready = useQuery({ queryKey: ['ready'], queryFn: () => call('getReadiness', {}), retry: false });
  const workers = useQuery({ queryKey: ['workers'], queryFn: () => call('listWorkers', {}) });
  const version = useQuery({
    queryKey: ['version'],
    queryFn: async () => {
      const response = await fetch(`${base}/api/v1/api-docs/openapi.json`);
      return ((await response.json()) as { info: { version: string } }).info.version;
    },
    ...unchanging,
  });
  return (
    <Part title="This Penstock">
      <Group gap="xs">
        <Text size="sm">Version</Text>
        <Loaded query={version}>
          {(text) => (
            <Text size="sm" fw={600}>
              <Name>{text}</Name>
            </Text>
          )}
        </Loaded>
        {ready.isPending && <Loader size="xs" aria-label="Loading" />}
        {!ready.isPending && (
          <Badge color={ready.error ? 'red' : 'teal'} variant="light" role="status">
            {ready.error ? 'not ready' : 'ready'}
          </Badge>
        )}
      </Group>
      {ready.error ? (
        <Problem error={ready.error} />
      ) : (
        <Text size="sm" c="dimmed">
          Ready means that the database takes writes. This process serves the API.
        </Text>
      )}
      <Loaded query={workers}>{({ data }) => <WorkerFacts workers={data} />}</Loaded>
    </Part>
  );
}

function WorkerFacts({
  workers,
}: {
  workers: readonly { alive: boolean; version: string; tasks: number }[];
}): ReactNode {
  const alive = workers.filter((worker) => worker.alive);
  const tasks = alive.reduce((sum, worker) => sum + worker.tasks, 0);
  const versions = [...new Set(alive.map(({ version }) => version))].sort();
  return (
    <Text size="sm">
      {count(alive.length)} {alive.length === 1 ? 'worker' : 'workers'} alive, {count(tasks)}{' '}
      {tasks === 1 ? 'task' : 'tasks'}
      {versions.length > 0 && (
        <>
          , version <Name>{versions.join(', ')}</Name>
        </>
      )}
    </Text>
  );
}

function Access(): ReactNode {
  const { name, role, keysRequired } = useCaller();
  return (
    <Part title="Your access">
      {keysRequired ? (
        <Text size="sm">
          You use the key <Name>{name}</Name> with the role {role}. It is kept in this tab until you close it.
        </Text>
      ) : (
        <Text size="sm">No key is needed: nobody has made one, and only this machine can connect.</Text>
      )}
      <Text size="sm" c="dimmed">
        A viewer reads. An operator also writes and tests. An admin also manages keys and reads the audit log.
      </Text>
    </Part>
  );
}

function Api(): ReactNode {
  return (
    <Part title="The API">
      <List size="sm">
        <List.Item>
          <Anchor inherit underline="always" href={`${base}/api/v1/swagger-ui/`}>
            Swagger UI
          </Anchor>
          : every call, to read and to try
        </List.Item>
        <List.Item>
          <Anchor inherit underline="always" href={`${base}/api/v1/api-docs/openapi.json`}>
            OpenAPI document
          </Anchor>
          : for generators of clients
        </List.Item>
        <List.Item>
          <Anchor inherit underline="always" href={`${base}/readyz`}>
            Readiness
          </Anchor>{' '}
          and{' '}
          <Anchor inherit underline="always" href={`${base}/healthz`}>
            health
          </Anchor>
          : for probes, without a key
        </List.Item>
      </List>
      <Text size="sm" c="dimmed">
        The documentation is in the folder docs/ of Penstock’s repository: begin with docs/console.md and
        docs/operate.md. The page of each error code is docs/errors.md.
      </Text>
      <Text size="sm" c="dimmed">
        The console is made with React, Mantine, CodeMirror, React Flow, uPlot and others:{' '}
        <Anchor inherit underline="always" href={`${base}/assets/licenses.md`}>
          their licenses
        </Anchor>
        .
      </Text>
    </Part>
  );
}

const keys: [string[], string][] = [
  [['Tab', 'Shift + Tab'], 'to the next or the previous field, link or button'],
  [['Enter', 'Space'], 'presses a button, opens a row'],
  [['←', '→'], 'to another tab of a page'],
  [['Esc'], 'closes a dialog or a list'],
  [['Ctrl + Z'], 'takes back a change in an editor; Tab leaves the editor'],
];

function Keyboard(): ReactNode {
  return (
    <Part title="Keyboard">
      {keys.map(([names, text]) => (
        <Group key={text} gap="xs">
          {names.map((name) => (
            <Kbd key={name}>{name}</Kbd>
          ))}
          <Text size="sm">{text}</Text>
        </Group>
      ))}
    </Part>
  );
}

function Metrics(): ReactNode {
  const { keysRequired } = useCaller();
  const metrics = useMutation({ mutationFn: () => call('getMetrics', {}), gcTime: 0 });
  return (
    <Part title="Metrics">
      <Text size="sm">
        Prometheus reads{' '}
        <Anchor inherit underline="always" href={`${base}/metrics`}>
          {new URL(base).pathname.replace(/\/$/, '')}/metrics
        </Anchor>
        .
        {keysRequired &&
          ' It needs a key with the role viewer, which the browser does not send with this link. Give Prometheus one as a bearer token, or show the metrics here.'}
      </Text>
      <Group>
        <Button variant="default" onClick={() => metrics.mutate()} loading={metrics.isPending}>
          Show the metrics
        </Button>
      </Group>
      <Problem error={metrics.error} />
      {metrics.data !== undefined && <LongText text={String(metrics.data)} label="Metrics" />}
    </Part>
  );
}
