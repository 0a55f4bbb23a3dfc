import { Alert, Badge, Button, Code, Group, List, Paper, Stack, Switch, Text } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';
import type { Operations } from '../api/client.ts';
import { Diff } from '../parts/lazy.tsx';
import { LongText, Name, prettyValue } from '../parts/text.tsx';
import { ObjectLink, useFirst } from './pieces.tsx';

/** The changes that a bundle would make, or has made. */

export type Applied = Operations['apply']['answer'];
type Change = Applied['changes'][number];
type Difference = Change['diff'][number];

const nouns = { connection_profiles: 'profile', connection_tables: 'table', pipelines: 'pipeline' };
const actions = {
  created: { color: 'teal', plan: 'create', done: 'created' },
  updated: { color: 'blue', plan: 'change', done: 'changed' },
  deleted: { color: 'red', plan: 'delete', done: 'deleted' },
  unchanged: { color: 'gray', plan: 'unchanged', done: 'unchanged' },
} as const;

export function Plan({ plan }: { plan: Applied }): ReactNode {
  const { changes, summary, affected_pipelines: affected, applied } = plan;
  const [withUnchanged, setWithUnchanged] = useState(false);
  const { first, more } = useFirst(
    withUnchanged ? changes : changes.filter(({ action }) => action !== 'unchanged'),
  );
  return (
    <Stack>
      <Group gap="xs">
        {Object.entries(actions).map(([action, { color, plan: future, done }]) => (
          <Badge key={action} color={color} variant="light" size="lg" tt="none">
            {summary[action as keyof typeof summary]}{' '}
            {applied || action === 'unchanged' ? done : `to ${future}`}
          </Badge>
        ))}
        {summary.unchanged > 0 && (
          <Switch
            label="Show unchanged objects"
            checked={withUnchanged}
            onChange={({ currentTarget }) => setWithUnchanged(currentTarget.checked)}
          />
        )}
      </Group>
      <Warnings plan={plan} />
      {affected.length > 0 && (
        <Text size="sm">
          {applied ? 'These running pipelines go on with the change' : 'These running pipelines are affected'}
          :{' '}
          {affected.slice(0, 50).map(({ id, name }, index) => (
            <span key={id}>
              {index > 0 && ', '}
              <ObjectLink id={id} inText>
                {name}
              </ObjectLink>
            </span>
          ))}
          {affected.length > 50 && ` and ${affected.length - 50} more`}. They finish their messages in flight
          first.
        </Text>
      )}
      {first.length === 0 && <Text c="dimmed">Nothing changes.</Text>}
      {first.map((change) => (
        <ChangeRow key={`${change.kind} ${change.name}`} change={change} applied={applied} />
      ))}
      {more}
    </Stack>
  );
}

/** Says what the plan alone does not show, as `penstock plan` does. */
function Warnings({ plan: { changes, affected_pipelines, applied, summary } }: { plan: Applied }): ReactNode {
  const topic = changes.some(
    ({ kind, diff }) => kind === 'connection_tables' && diff.some(({ path }) => path === '/config/topic'),
  );
  const warnings = [
    topic &&
      affected_pipelines.length > 0 &&
      'A topic changes. Some brokers discard what is queued under the former topic of a source when it is unsubscribed. Let the pipelines catch up first.',
    summary.deleted > 0 &&
      `${summary.deleted === 1 ? 'One object is' : `${summary.deleted} objects are`} deleted, because the bundle prunes by labels and does not name ${summary.deleted === 1 ? 'it' : 'them'}. This cannot be undone.`,
  ].filter((warning) => typeof warning === 'string');
  if (applied || warnings.length === 0) return null;
  return (
    <Alert color="yellow" icon={<IconAlertTriangle />} title="Before you apply it" variant="light">
      <List size="sm">
        {warnings.map((warning) => (
          <List.Item key={warning}>{warning}</List.Item>
        ))}
      </List>
    </Alert>
  );
}

function ChangeRow({ change, applied }: { change: Change; applied: boolean }): ReactNode {
  const { kind, name, action, id, diff } = change;
  const { color, plan, done } = actions[action];
  const there = id !== null && !(applied && action === 'deleted');
  return (
    <Paper withBorder p="sm" component="section" aria-label={`${plan} ${nouns[kind]} ${name}`}>
      <Group gap="xs">
        <Badge color={color} variant="light">
          {applied ? done : plan}
        </Badge>
        <Text size="sm" c="dimmed">
          {nouns[kind]}
        </Text>
        <Text fw={600}>{there ? <ObjectLink id={id}>{name}</ObjectLink> : <Name>{name}</Name>}</Text>
      </Group>
      {diff.map((difference) => (
        <DifferenceRow key={difference.path} difference={difference} />
      ))}
    </Paper>
  );
}

const maxInline = 60;
const maxCompared = 100_000;

/** A query is a text of its own; everything else is shown as JSON. */
const textOf = (value: unknown): string => (typeof value === 'string' ? value : prettyValue(value));

function DifferenceRow({
  difference: { path, before, after, secret },
}: {
  difference: Difference;
}): ReactNode {
  const [open, setOpen] = useState(false);
  const [was, is] = [before, after].map((value) => (value === undefined ? '' : textOf(value))) as [
    string,
    string,
  ];
  const inline = [was, is].every((text) => text.length <= maxInline && !text.includes('\n'));
  return (
    <Stack gap={4} mt={6}>
      <Group gap="xs" align="baseline">
        <Code>
          <Name>{path}</Name>
        </Code>
        {secret !== undefined && <Text size="sm">a secret changes; its value is not shown</Text>}
        {secret === undefined && inline && (
          <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
            <Value value={before} text={was} none="not set" /> →{' '}
            <Value value={after} text={is} none="removed" />
          </Text>
        )}
        {secret === undefined && !inline && (
          <Button variant="subtle" size="compact-xs" onClick={() => setOpen(!open)} aria-expanded={open}>
            {open ? 'Hide the difference' : 'Show the difference'}
          </Button>
        )}
      </Group>
      {open && <Compared was={was} is={is} />}
    </Stack>
  );
}

function Value({ value, text, none }: { value: unknown; text: string; none: string }): ReactNode {
  return value === undefined ? (
    <Text span c="dimmed">
      {none}
    </Text>
  ) : (
    <Code>
      <Name>{text}</Name>
    </Code>
  );
}

/** Two texts side by side; very long ones one below the other. */
export function Compared({ was, is }: { was: string; is: string }): ReactNode {
  if (was.length + is.length <= maxCompared) return <Diff before={was} after={is} />;
  return (
    <>
      <LongText text={was} label="Before" />
      <LongText text={is} label="After" />
    </>
  );
}
