import {
  ActionIcon,
  Badge,
  Button,
  Collapse,
  Group,
  Loader,
  Paper,
  Stack,
  Text,
  Timeline,
} from '@mantine/core';
import {
  IconAlertTriangle,
  IconCheck,
  IconChevronDown,
  IconChevronRight,
  IconMinus,
  IconPlayerPlay,
  IconX,
} from '@tabler/icons-react';
import { type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { type Asked, follow, type TestMessage } from '../api/client.ts';
import { errorsOf, type FieldErrors, marksOf, merged, type Schema } from './form-values.ts';
import { duration } from './format.ts';
import { Problem } from './parts.tsx';
import { LongText, prettyValue, visible } from './text.tsx';

/** Tests of connections: their steps appear as they happen. */

type TestName =
  | 'testConnectionProfile'
  | 'testStoredConnectionProfile'
  | 'testConnectionTable'
  | 'testStoredConnectionTable';

interface TestRun {
  state: 'none' | 'running' | 'over' | 'stopped';
  steps: readonly TestMessage[];
  /** The last event. */
  summary: TestMessage | undefined;
  /** Error of the request, if there was no test. */
  error: unknown;
}

const never: TestRun = { state: 'none', steps: [], summary: undefined, error: undefined };

export interface Test {
  run: TestRun;
  start<N extends TestName>(name: N, asked: Asked<N>): void;
  /** Ends a running test. Leaving the page does the same. */
  stop(): void;
  clear(): void;
  /** Errors of the test, and fields that its failed step points to, while the form holds what was tested. */
  errors: FieldErrors;
}

/** Tests what a form holds: `value`, whose config has this schema. */
export function useTest(schema: Schema, value: unknown): Test {
  const [run, setRun] = useState<TestRun>(never);
  const [tested, setTested] = useState('');
  const now = JSON.stringify(value);
  const leave = useRef<AbortController>(undefined);
  useEffect(() => () => leave.current?.abort(), []);
  const stop = (): void => {
    leave.current?.abort();
    setRun((before) => (before.state === 'running' ? { ...before, state: 'stopped' } : before));
  };
  const start = <N extends TestName>(name: N, asked: Asked<N>): void => {
    leave.current?.abort();
    const controller = new AbortController();
    leave.current = controller;
    setTested(now);
    setRun({ ...never, state: 'running' });
    void followTest(name, { ...asked, signal: controller.signal }, (change) => {
      if (!controller.signal.aborted) setRun(change);
    });
  };
  return {
    run,
    start,
    stop,
    clear: () => setRun(never),
    errors: tested === now ? errorsIn(run, schema) : {},
  };
}

async function followTest<N extends TestName>(
  name: N,
  asked: Asked<N>,
  tell: (change: (before: TestRun) => TestRun) => void,
): Promise<void> {
  try {
    for await (const frame of follow(name, asked)) {
      if (!frame.startsWith('data: ')) continue;
      const message = JSON.parse(frame.slice(6)) as TestMessage;
      tell((before) =>
        message.done
          ? { ...before, state: 'over', summary: message }
          : { ...before, steps: [...before.steps, message] },
      );
    }
    tell((before) => (before.state === 'running' ? { ...before, state: 'stopped' } : before));
  } catch (error) {
    tell((before) => ({ ...before, state: 'over', error }));
  }
}

function errorsIn({ steps, error }: TestRun, schema: Schema): FieldErrors {
  const failed = steps.find(({ outcome }) => outcome === 'failed');
  const marks = Object.entries(marksOf(failed, schema)).map(([path, said]) => [`/config${path}`, said]);
  return merged(errorsOf(error), Object.fromEntries(marks));
}

export const TestButton = ({ test, onStart }: { test: { run: TestRun }; onStart(): void }): ReactNode => (
  <Button
    variant="default"
    leftSection={<IconPlayerPlay size={16} />}
    loading={test.run.state === 'running'}
    onClick={onStart}
  >
    Test
  </Button>
);

const looks = {
  ok: { color: 'teal', icon: IconCheck, text: 'ok' },
  warning: { color: 'orange', icon: IconAlertTriangle, text: 'warning' },
  failed: { color: 'red', icon: IconX, text: 'failed' },
  skipped: { color: 'gray', icon: IconMinus, text: 'skipped' },
} as const;

/** Names of steps for people: `mqtt_connect` is `mqtt connect`. */
const titleOf = (name: string): string => visible(name).replaceAll('_', ' ');

export function TestSteps({ test }: { test: Pick<Test, 'run' | 'stop' | 'clear'> }): ReactNode {
  const { run, stop, clear } = test;
  if (run.state === 'none') return null;
  return (
    <Paper withBorder p="md" component="section" aria-label="Test">
      <Stack gap="sm">
        <Group justify="space-between" align="flex-start" wrap="nowrap">
          <Verdict run={run} />
          {run.state === 'running' ? (
            <Button variant="default" size="compact-sm" onClick={stop}>
              Stop the test
            </Button>
          ) : (
            <ActionIcon variant="subtle" color="gray" aria-label="Close the test" onClick={clear}>
              <IconX size={16} />
            </ActionIcon>
          )}
        </Group>
        <Problem error={run.error} title="The test was not run" />
        {(run.steps.length > 0 || run.state === 'running') && (
          <Timeline
            active={run.steps.length}
            bulletSize={22}
            lineWidth={2}
            aria-live="polite"
            role="list"
            aria-label="Steps of the test"
          >
            {run.steps.map((step, index) => (
              <Timeline.Item
                // biome-ignore lint/suspicious/noArrayIndexKey: steps are only added
                key={index}
                role="listitem"
                color={looks[step.outcome].color}
                bullet={<Mark step={step} />}
                title={<StepTitle step={step} />}
              >
                <StepBody step={step} />
              </Timeline.Item>
            ))}
            {run.state === 'running' && (
              <Timeline.Item role="listitem" bullet={<Loader size={12} />} title="…">
                <Text size="xs" c="dimmed">
                  The next step is running
                </Text>
              </Timeline.Item>
            )}
          </Timeline>
        )}
      </Stack>
    </Paper>
  );
}

function Verdict({ run }: { run: TestRun }): ReactNode {
  const { summary, state } = run;
  const [color, text] =
    state === 'running'
      ? ['blue', 'Test is running']
      : state === 'stopped'
        ? ['gray', 'Test was stopped']
        : summary === undefined
          ? ['red', 'Test was not run']
          : ([looks[summary.outcome].color, `Test ${summary.error ? 'failed' : 'passed'}`] as const);
  return (
    <Group gap="xs" role="status">
      <Badge color={color} variant="light" size="lg" tt="none">
        {text}
      </Badge>
      {summary && (
        <Text size="sm">
          {visible(summary.message)} · {duration(summary.durationMs)}
        </Text>
      )}
    </Group>
  );
}

function Mark({ step }: { step: TestMessage }): ReactNode {
  const Icon = looks[step.outcome].icon;
  return <Icon size={14} aria-label={looks[step.outcome].text} role="img" />;
}

function StepTitle({ step }: { step: TestMessage }): ReactNode {
  return (
    <Group gap="xs">
      <Text size="sm" fw={600} component="span">
        {titleOf(step.name)}
      </Text>
      {step.outcome !== 'skipped' && (
        <Text size="xs" c="dimmed" component="span">
          {duration(step.durationMs)}
        </Text>
      )}
      {step.code && (
        <Badge color={looks[step.outcome].color} variant="light" tt="none" size="sm">
          {step.code}
        </Badge>
      )}
    </Group>
  );
}

function StepBody({ step }: { step: TestMessage }): ReactNode {
  const [open, setOpen] = useState(false);
  const id = useId();
  const hasDetails = Object.keys(step.details).length > 0;
  return (
    <Stack gap={2}>
      <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
        {visible(step.message)}
      </Text>
      {step.hint && (
        <Text size="sm" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
          {visible(step.hint)}
        </Text>
      )}
      {hasDetails && (
        <div>
          <Button
            variant="subtle"
            size="compact-xs"
            aria-expanded={open}
            aria-controls={id}
            leftSection={open ? <IconChevronDown size={14} /> : <IconChevronRight size={14} />}
            onClick={() => setOpen(!open)}
          >
            Details of {titleOf(step.name)}
          </Button>
          <Collapse expanded={open} id={id}>
            {open && <LongText text={prettyValue(step.details)} label={`Details of ${titleOf(step.name)}`} />}
          </Collapse>
        </div>
      )}
    </Stack>
  );
}
