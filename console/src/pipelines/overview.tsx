import {
  Anchor,
  Button,
  Chip,
  Group,
  Paper,
  Skeleton,
  Stack,
  Text,
  TextInput,
  Timeline,
  Title,
} from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconCheck, IconPlus, IconSearch } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { type ReactNode, useEffect, useMemo, useState } from 'react';
import { Can, useMay } from '../api/caller.tsx';
import { call, statusOf } from '../api/client.ts';
import { useStream } from '../api/stream.ts';
import { Automate } from '../parts/automate.tsx';
import { clockTime, count } from '../parts/format.ts';
import { later } from '../parts/lazy.tsx';
import { Empty, Live, Page, Problem } from '../parts/parts.tsx';
import { firstOrder, type Order, OverviewList } from './overview-list.tsx';
import { type Filter, OverviewStore, useAt, useLabels, useSize, useView } from './overview-store.ts';

/** All pipelines, live. */

const calls = [
  { title: 'List all pipelines with their rates', method: 'GET', path: '/api/v1/overview' },
  { title: 'Follow what changes', method: 'GET', path: '/api/v1/overview', stream: true },
];

export function PipelinesPage(): ReactNode {
  const [store] = useState(() => new OverviewStore());
  const asked = useMemo(() => ({}), []);
  const { state, error } = useStream('getOverview', asked, { onEvent: store.apply, onOpen: store.begin });
  const size = useSize(store);
  const at = useAt(store);
  return (
    <Page
      title="Pipelines"
      actions={
        <>
          {state === 'lost' && at !== undefined && (
            <Text size="sm" c="dimmed">
              as of {clockTime(at)}
            </Text>
          )}
          <Live state={state} />
          <Automate calls={calls} />
          <Can role="operator">
            <Button component={Link} to="/pipelines/new" leftSection={<IconPlus size={16} />}>
              New pipeline
            </Button>
          </Can>
        </>
      }
    >
      {(state === 'refused' || (state === 'lost' && at === undefined) || statusOf(error) !== undefined) && (
        <Problem error={error} />
      )}
      {at === undefined && state !== 'refused' && <Waiting />}
      {at !== undefined && (size === 0 ? <FirstSteps /> : <Found store={store} />)}
    </Page>
  );
}

function Waiting(): ReactNode {
  return (
    <Stack gap={4} aria-busy>
      {[1, 2, 3, 4, 5, 6].map((nth) => (
        <Skeleton key={nth} height={48} />
      ))}
    </Stack>
  );
}

function Found({ store }: { store: OverviewStore }): ReactNode {
  const { search = '' } = useSearch({ from: '/' });
  const [text, setText] = useState(search);
  const [wanted] = useDebouncedValue(text, 150);
  const [states, setStates] = useState<string[]>([]);
  const [labels, setLabels] = useState<string[]>([]);
  const [order, setOrder] = useState<Order>(firstOrder('state'));
  const navigate = useNavigate({ from: '/' });
  useEffect(() => {
    void navigate({ search: wanted === '' ? {} : { search: wanted }, replace: true });
  }, [wanted, navigate]);
  const filter = useMemo<Filter>(
    () => ({ search: wanted, states, labels, ...order }),
    [wanted, states, labels, order],
  );
  const view = useView(store, filter);
  return (
    <Stack gap="sm">
      <Group gap="sm" align="flex-end">
        <TextInput
          aria-label="Search pipelines"
          placeholder="Name, label, worker or error"
          leftSection={<IconSearch size={16} />}
          value={text}
          onChange={({ currentTarget }) => setText(currentTarget.value)}
          maxLength={200}
          w={{ base: '100%', sm: 280 }}
        />
        <LabelFilter store={store} labels={labels} onLabels={setLabels} />
      </Group>
      <States counts={view.states} found={view.found} chosen={states} onChoose={setStates} />
      {view.ids.length === 0 ? (
        <Empty>No pipeline matches. Change the search or the filters.</Empty>
      ) : (
        <OverviewList store={store} ids={view.ids} order={order} onOrder={setOrder} />
      )}
      <Text size="sm" c="dimmed" role="status">
        {count(view.ids.length)} of {count(view.found)} pipelines shown
      </Text>
    </Stack>
  );
}

/** Most installations have no labels. */
const LabelSelect = later(async () => (await import('./label-select.tsx')).LabelSelect, 36);

interface LabelFilterProps {
  store: OverviewStore;
  labels: string[];
  onLabels(labels: string[]): void;
}

function LabelFilter({ store, labels, onLabels }: LabelFilterProps): ReactNode {
  const known = useLabels(store);
  if (known.length === 0) return null;
  return <LabelSelect known={[...known]} labels={labels} onLabels={onLabels} />;
}

interface StatesProps {
  counts: Readonly<Record<string, number>>;
  found: number;
  chosen: string[];
  onChoose(states: string[]): void;
}

/** A filter by state, with the number of pipelines in each. */
function States({ counts, found, chosen, onChoose }: StatesProps): ReactNode {
  const states = [...new Set([...Object.keys(counts), ...chosen])].sort(
    (a, b) => (counts[b] ?? 0) - (counts[a] ?? 0) || a.localeCompare(b),
  );
  return (
    <Group gap={6} role="group" aria-label="Filter by state">
      <Chip size="xs" checked={chosen.length === 0} onChange={() => onChoose([])}>
        All {count(found)}
      </Chip>
      <Chip.Group multiple value={chosen} onChange={onChoose}>
        {states.map((state) => (
          <Chip key={state} value={state} size="xs">
            {state} {count(counts[state] ?? 0)}
          </Chip>
        ))}
      </Chip.Group>
    </Group>
  );
}

const steps = [
  {
    ...{ title: 'Connect a broker, a database or another system', to: '/connections/new' },
    ...{ button: 'New connection', done: 'There is a connection.' },
    text: 'Its address and login are stored once, as a connection profile, and can be tested.',
  },
  {
    ...{ title: 'Describe what comes in and what goes out', to: '/tables/new' },
    ...{ button: 'New table', done: 'There are tables.' },
    text: 'A source table reads from a connection, a sink table writes to one. Both have a schema, which live messages can propose.',
  },
  {
    ...{ title: 'Run a query', to: '/pipelines/new', button: 'New pipeline', done: '' },
    text: 'A pipeline reads source tables, transforms their rows with SQL, and writes the result to a sink table.',
  },
] as const;

/** Says what to do first, while there is no pipeline. */
function FirstSteps(): ReactNode {
  const may = useMay('operator');
  const profiles = useQuery({
    queryKey: ['connection-profiles'],
    queryFn: () => call('listConnectionProfiles', {}),
  });
  const tables = useQuery({
    queryKey: ['connection-tables', 'first'],
    queryFn: () => call('listConnectionTables', { query: { limit: 2 } }),
  });
  if (!may) return <Empty>There are no pipelines yet. An operator can create one.</Empty>;
  const done = [(profiles.data?.data.length ?? 0) > 0, (tables.data?.data.length ?? 0) > 1];
  const next = done.indexOf(false) === -1 ? 2 : done.indexOf(false);
  return (
    <Paper withBorder p="xl" maw={720}>
      <Title order={2} size="h4" mb="md">
        The first pipeline in three steps
      </Title>
      <Timeline active={next - 1} bulletSize={24}>
        {steps.map(({ title, to, button, text, done: said }, nth) => (
          <Timeline.Item
            key={to}
            title={title}
            bullet={nth < next ? <IconCheck size={14} aria-hidden /> : <span>{nth + 1}</span>}
          >
            <Text size="sm" mb="xs">
              {text}
            </Text>
            {nth < next ? (
              <Text size="sm" c="dimmed">
                {said}{' '}
                <Anchor component={Link} to={to}>
                  {button}
                </Anchor>
              </Text>
            ) : (
              <Button component={Link} to={to} size="xs" variant={nth === next ? 'filled' : 'default'}>
                {button}
              </Button>
            )}
          </Timeline.Item>
        ))}
      </Timeline>
    </Paper>
  );
}
