import {
  Alert,
  Anchor,
  Badge,
  Button,
  Code,
  Drawer,
  Group,
  List,
  Stack,
  Table,
  Tabs,
  Text,
  Title,
} from '@mantine/core';
import { IconCheck, IconRefresh } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useMemo } from 'react';
import { useMay } from '../api/caller.tsx';
import { callText, type DeadLetter } from '../api/client.ts';
import { bytes, count } from '../parts/format.ts';
import { HexDump } from '../parts/hex.tsx';
import { Metadata } from '../parts/metadata.tsx';
import { Loaded, Time } from '../parts/parts.tsx';
import { placeOfError } from '../parts/place.ts';
import { LongText, Name, pretty, visible } from '../parts/text.tsx';
import { type Attempt, type Content, readContent } from './letter-content.ts';

/** One dead letter: what is wrong with it, where, and what its table makes of it now. */

export interface DeadLetterDrawerProps {
  pipeline: string;
  letter: DeadLetter | undefined;
  onClose(): void;
  /** Buttons for this dead letter. */
  actions: ReactNode;
}

export function DeadLetterDrawer({ pipeline, letter, onClose, actions }: DeadLetterDrawerProps): ReactNode {
  const may = useMay('operator');
  return (
    <Drawer opened={letter !== undefined} onClose={onClose} position="right" size="xl" title="Dead letter">
      {letter && (
        <Stack gap="md">
          <Facts letter={letter} />
          {actions}
          <Errors letter={letter} />
          {may ? (
            <LetterContent key={letter.id} pipeline={pipeline} letter={letter} />
          ) : (
            <Text size="sm" c="dimmed">
              The payload and the metadata need a key with the role operator.
            </Text>
          )}
        </Stack>
      )}
    </Drawer>
  );
}

function Facts({ letter }: { letter: DeadLetter }): ReactNode {
  const { created_at, received_at, source_table, bytes: size, replays, replayed_at, row_count } = letter;
  const failed = letter.failed_rows;
  const facts: [string, ReactNode][] = [
    ['Id', <Code key="id">{letter.id}</Code>],
    ['Received', <Time key="received" micros={received_at} />],
    ['Stored', <Time key="stored" micros={created_at} />],
    [
      'Source table',
      <Anchor key="table" size="sm" component={Link} to="/tables" search={{ search: source_table } as never}>
        <Name>{source_table}</Name>
      </Anchor>,
    ],
    ['Size', bytes(size)],
  ];
  if (row_count !== null)
    facts.push(['Rows', `${count(failed?.length ?? row_count)} of ${count(row_count)} failed`]);
  if (replays > 0) facts.push(['Replays that failed', count(replays)]);
  if (replayed_at !== null) facts.push(['Last replay', <Time key="replay" micros={replayed_at} />]);
  return (
    <Table verticalSpacing={2} fz="sm" layout="fixed" aria-label="About this dead letter">
      <Table.Tbody>
        {facts.map(([name, value]) => (
          <Table.Tr key={name}>
            <Table.Th scope="row" w={150} fw={500}>
              {name}
            </Table.Th>
            <Table.Td style={{ overflowWrap: 'anywhere' }}>{value}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

function Errors({ letter }: { letter: DeadLetter }): ReactNode {
  return (
    <section aria-label="Errors">
      <Title order={3} size="h5" mb={4}>
        What is wrong
      </Title>
      <List size="sm" spacing={4} listStyleType="none">
        {letter.errors.map((error) => (
          <List.Item key={`${error.row} ${error.path} ${error.message}`} style={wrapped}>
            <Badge size="sm" variant="light" color="red" tt="none">
              {error.stage} · {error.code}
            </Badge>{' '}
            {error.row !== null && <>row {count(error.row)} </>}
            {letter.errors.length === 1 ? (
              visible(letter.message)
            ) : (
              <>
                {error.path !== '' && <Code>{visible(error.path)}</Code>} {visible(error.message)}
              </>
            )}
          </List.Item>
        ))}
      </List>
    </section>
  );
}

function LetterContent({ pipeline, letter }: { pipeline: string; letter: DeadLetter }): ReactNode {
  const query = useQuery({
    // After another replay the errors are new, and so is the place.
    queryKey: ['dead-letter', pipeline, letter.id, letter.replays],
    queryFn: async ({ signal }) => {
      const asked = { params: { id: pipeline, letter: letter.id }, signal };
      return readContent(await callText('getDeadLetter', asked, 'application/json'));
    },
    refetchInterval: false,
    refetchOnWindowFocus: false,
    gcTime: 0,
  });
  return (
    <Loaded query={query}>
      {(content) => (
        <>
          <Payload content={content} letter={letter} />
          <AttemptNow
            attempt={content.attempt}
            busy={query.isFetching}
            onAgain={() => void query.refetch()}
          />
          <section aria-label="Metadata of the message">
            <Title order={3} size="h5" mb={4}>
              Metadata
            </Title>
            <Metadata json={content.metadata} />
          </section>
        </>
      )}
    </Loaded>
  );
}

function Payload({ content: { payload }, letter }: { content: Content; letter: DeadLetter }): ReactNode {
  const place = useMemo(() => {
    for (const error of letter.errors) {
      // Paths of later stages are those of columns.
      const found = error.stage === 'decode' && placeOfError(error, letter.message, payload.text);
      if (found) return found;
    }
    return undefined;
  }, [letter, payload]);
  return (
    <section aria-label="Payload">
      <Title order={3} size="h5" mb={4}>
        Payload
      </Title>
      <Tabs defaultValue={payload.text === null ? 'hex' : 'text'} keepMounted={false}>
        <Tabs.List>
          {payload.text !== null && <Tabs.Tab value="text">Text</Tabs.Tab>}
          <Tabs.Tab value="hex">Hex</Tabs.Tab>
        </Tabs.List>
        {payload.text !== null && (
          <Tabs.Panel value="text" pt={4}>
            <LongText
              text={payload.text}
              label="Payload as text"
              mark={place?.text?.start}
              markEnd={place?.text && Math.min(place.text.end, place.text.start + maxMarked)}
            />
          </Tabs.Panel>
        )}
        <Tabs.Panel value="hex" pt={4}>
          <HexDump base64={payload.base64} label="Payload in hexadecimal" mark={place?.byte} />
        </Tabs.Panel>
      </Tabs>
      {place && (
        <Text size="xs" c="dimmed" mt={4}>
          The place of the error is marked.
        </Text>
      )}
    </section>
  );
}

const maxMarked = 200;
const maxAttempts = 20;

/** Result of decoding it with the current table, to check a repair before a replay. */
function AttemptNow({ attempt, busy, onAgain }: AttemptNowProps): ReactNode {
  const wrong = attempt.filter(({ error }) => error);
  return (
    <section aria-label="Decoded now">
      <Group justify="space-between" mb={4}>
        <Title order={3} size="h5">
          Decoded now
        </Title>
        <Button
          size="compact-sm"
          variant="subtle"
          leftSection={<IconRefresh size={14} />}
          loading={busy}
          onClick={onAgain}
        >
          Decode again
        </Button>
      </Group>
      {wrong.length === 0 ? (
        <Alert color="teal" variant="light" icon={<IconCheck />} mb="xs">
          The table reads it. If the error came later, in the query or at the sink, only a replay shows more.
        </Alert>
      ) : (
        <Text size="sm" c="dimmed" mb="xs">
          The table as it is now still refuses it. Change the table, then decode again.
        </Text>
      )}
      <Stack gap="xs">
        {attempt.slice(0, maxAttempts).map((one, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the list of an attempt never changes
          <AttemptLine key={index} attempt={one} number={index} />
        ))}
        {attempt.length > maxAttempts && (
          <Text size="sm" c="dimmed">
            {count(attempt.length - maxAttempts)} more are not shown.
          </Text>
        )}
      </Stack>
    </section>
  );
}

interface AttemptNowProps {
  attempt: readonly Attempt[];
  busy: boolean;
  onAgain(): void;
}

function AttemptLine({ attempt, number }: { attempt: Attempt; number: number }): ReactNode {
  const text = useMemo(() => (attempt.row === undefined ? undefined : pretty(attempt.row)), [attempt]);
  if (text !== undefined) return <LongText text={text} label={`Row ${number}`} />;
  return (
    <Text size="sm" c={attempt.error ? 'var(--mantine-color-error)' : undefined} style={wrapped}>
      {visible(attempt.message)}
    </Text>
  );
}

const wrapped = { overflowWrap: 'anywhere' } as const;
