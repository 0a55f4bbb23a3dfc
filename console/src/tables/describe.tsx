import {
  Alert,
  Badge,
  Box,
  Button,
  Group,
  List,
  NumberInput,
  Paper,
  Progress,
  SimpleGrid,
  Stack,
  Text,
  Title,
} from '@mantine/core';
import { IconEar, IconInfoCircle } from '@tabler/icons-react';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { useMay } from '../api/caller.tsx';
import { type ConnectionSchema, callText, type InferredSchema } from '../api/client.ts';
import { amount, bytes, count, duration } from '../parts/format.ts';
import { children } from '../parts/json-text.ts';
import { Empty, Problem } from '../parts/parts.tsx';
import { visible } from '../parts/text.tsx';
import { TopicInput } from '../parts/topic-input.tsx';
import { MessageItem, readEvent, type Shown } from './message.tsx';
import { ProposedSchema } from './proposed-schema.tsx';

/** Proposes a schema from live messages of a source that may not be stored yet. */
export interface DescribeProps {
  connector: string;
  profileId: string | null;
  /** Id of the table if it is stored: masks in its config stand for its secrets. */
  tableId?: string | undefined;
  /** Config of the table, as far as it is filled in. */
  config: Record<string, unknown>;
  schema: ConnectionSchema | null;
  /** Called when the user takes over a proposed or edited schema. */
  onSchema(schema: ConnectionSchema): void;
}

interface Sample {
  report: InferredSchema;
  preview: Shown[];
  /** Counts the samples, so that the changes of one are not those of the next. */
  number: number;
}

/** The preview is kept as text: it has 64-bit integers. */
function readSample(json: string): Omit<Sample, 'number'> {
  const report: Record<string, unknown> = {};
  let preview: Shown[] = [];
  for (const { key, start, end } of children(json)) {
    const text = json.slice(start, end);
    if (key !== 'preview') report[key] = JSON.parse(text);
    else preview = Array.from(children(text), (one) => readEvent(text.slice(one.start, one.end)));
  }
  return { report: { ...(report as unknown as InferredSchema), preview: [] }, preview };
}

interface Running {
  since: number;
  stop: AbortController;
}

/** Takes samples, one at a time. */
function useSample() {
  const [running, setRunning] = useState<Running>();
  const [sample, setSample] = useState<Sample>();
  const [error, setError] = useState<unknown>();
  const current = useRef<Running>(undefined);
  useEffect(() => () => current.current?.stop.abort(), []);
  const take = async (
    body: Parameters<typeof callText<'inferConnectionSchema'>>[1]['body'],
  ): Promise<void> => {
    const own = { since: Date.now(), stop: new AbortController() };
    current.current = own;
    setRunning(own);
    setError(undefined);
    try {
      const asked = { body, signal: own.stop.signal };
      const text = await callText('inferConnectionSchema', asked, 'application/json');
      setSample((before) => ({ ...readSample(text), number: (before?.number ?? 0) + 1 }));
    } catch (raised) {
      if (!own.stop.signal.aborted) setError(raised);
    } finally {
      if (current.current === own) setRunning(undefined);
    }
  };
  return { running, sample, error, take };
}

export function Describe(props: DescribeProps): ReactNode {
  const { connector, profileId, tableId, config, schema, onSchema } = props;
  const may = useMay('operator');
  const [seconds, setSeconds] = useState<number | string>(10);
  const [messages, setMessages] = useState<number | string>(100);
  const given = typeof config.topic === 'string' ? config.topic : undefined;
  const [topic, setTopic] = useState<string>();
  const { running, sample, error, take } = useSample();
  if (!may) return <Empty>To sample messages you need a key with the role operator.</Empty>;
  const hasTopic = connector === 'mqtt';
  const sampled = topic ?? given ?? '';
  const start = (): void =>
    void take({
      connector,
      connection_profile_id: profileId,
      ...(tableId === undefined ? {} : { connection_table_id: tableId }),
      config: hasTopic ? { ...config, topic: sampled, type: config.type ?? {} } : config,
      messages: Number(messages) || 1,
      timeout_ms: (Number(seconds) || 1) * 1000,
    });
  return (
    <Stack gap="md">
      <Paper withBorder p="sm">
        <Group align="flex-end" gap="sm">
          {hasTopic && (
            <Box style={{ flex: '1 1 260px' }}>
              <TopicInput
                profileId={profileId}
                label="Sample the topic"
                value={sampled}
                onChange={setTopic}
              />
            </Box>
          )}
          <NumberInput
            label="Seconds"
            description="At most"
            w={100}
            min={1}
            max={60}
            clampBehavior="strict"
            allowDecimal={false}
            value={seconds}
            onChange={setSeconds}
          />
          <NumberInput
            label="Messages"
            description="At most"
            w={110}
            min={1}
            max={1000}
            clampBehavior="strict"
            allowDecimal={false}
            value={messages}
            onChange={setMessages}
          />
          <Button
            leftSection={<IconEar size={16} />}
            onClick={start}
            disabled={running !== undefined || (hasTopic && sampled === '')}
          >
            Sample messages
          </Button>
        </Group>
        <Text size="xs" c="dimmed" mt="xs">
          Pipelines lose nothing by it: the sample is a subscription of its own, and nothing is stored.
          {topic !== undefined && given !== undefined && topic !== given && (
            <> The table itself reads {visible(given)}.</>
          )}
        </Text>
      </Paper>
      {running && <Listening running={running} seconds={Number(seconds) || 1} />}
      <Problem error={error} />
      {sample && !running && <Result key={sample.number} {...{ sample, schema, onSchema, connector }} />}
    </Stack>
  );
}

function Listening({ running, seconds }: { running: Running; seconds: number }): ReactNode {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, []);
  const passed = Math.min((now - running.since) / 1000, seconds);
  return (
    <Group wrap="nowrap">
      <Box style={{ flex: 1 }}>
        <Text size="sm" role="status">
          Listening for messages, {seconds} s at most…
        </Text>
        <Progress value={(passed / seconds) * 100} aria-label="Time passed" mt={4} />
      </Box>
      <Button variant="default" onClick={() => running.stop.abort()}>
        Cancel
      </Button>
    </Group>
  );
}

const kinds = {
  json_object: 'JSON objects',
  json_other: 'other JSON',
  text: 'text',
  bytes: 'bytes',
  empty: 'empty',
  too_large: 'too large to decode',
} as const;

interface ResultProps {
  sample: Sample;
  schema: ConnectionSchema | null;
  connector: string;
  onSchema(schema: ConnectionSchema): void;
}

function Result({ sample: { report, preview }, schema, connector, onSchema }: ResultProps): ReactNode {
  if (report.messages === 0)
    return (
      <Alert color="yellow" variant="light" icon={<IconInfoCircle />} title="No message came" role="status">
        <Text size="sm">{visible(report.message)}</Text>
        {report.hint && <Text size="sm">{visible(report.hint)}</Text>}
      </Alert>
    );
  return (
    <Stack gap="sm">
      <Summary report={report} />
      <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="md">
        <Box miw={0}>
          <Title order={3} size="h5" mb="xs">
            Messages
          </Title>
          {preview.length === 0 && <Empty>No table can show these messages.</Empty>}
          <Box component="ul" aria-label="Sampled messages" p={0} m={0} style={{ listStyle: 'none' }}>
            {preview.map((event, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: the list of a sample never changes
              <MessageItem key={index} event={event} />
            ))}
          </Box>
          {preview.length > 0 && (
            <Text size="xs" c="dimmed" mt={4}>
              The first messages, read with the proposed schema.
            </Text>
          )}
        </Box>
        <Box miw={0}>
          <Title order={3} size="h5" mb="xs">
            Proposed schema
          </Title>
          {report.schema === null ? (
            <Empty>No table can read these messages. The notes say why.</Empty>
          ) : (
            <ProposedSchema report={report} current={schema} connector={connector} onSchema={onSchema} />
          )}
        </Box>
      </SimpleGrid>
    </Stack>
  );
}

function Summary({ report }: { report: InferredSchema }): ReactNode {
  const { messages, bytes: size, elapsed_ms: elapsed, gzip, hint, notes } = report;
  return (
    <Stack gap={6}>
      <Group gap="xs" role="status">
        <Text size="sm" fw={600}>
          {amount(messages, 'message')}, {bytes(size)}, in {duration(elapsed)}
        </Text>
        {Object.entries(kinds).map(
          ([kind, text]) =>
            report.kinds[kind as keyof typeof kinds] > 0 && (
              <Badge key={kind} variant="default" tt="none" fw={500}>
                {count(report.kinds[kind as keyof typeof kinds])} {text}
              </Badge>
            ),
        )}
        {gzip > 0 && (
          <Badge variant="default" tt="none" fw={500}>
            {count(gzip)} compressed
          </Badge>
        )}
      </Group>
      {hint && (
        <Alert color="yellow" variant="light" icon={<IconInfoCircle />}>
          {visible(`${report.message} ${hint}`)}
        </Alert>
      )}
      {notes.length > 0 && (
        <List size="sm" aria-label="Notes">
          {notes.map((note) => (
            <List.Item key={note} style={{ overflowWrap: 'anywhere' }}>
              {visible(note)}
            </List.Item>
          ))}
        </List>
      )}
    </Stack>
  );
}
