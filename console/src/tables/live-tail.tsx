import { Box, Button, Group, NativeSelect, Stack, Text, TextInput } from '@mantine/core';
import { IconPlayerPause, IconPlayerPlay, IconPlayerStop, IconTrash } from '@tabler/icons-react';
import { type ReactNode, useDeferredValue, useEffect, useMemo, useRef, useState } from 'react';
import { useMay } from '../api/caller.tsx';
import { type ConnectionTable, Refused } from '../api/client.ts';
import { useStream } from '../api/stream.ts';
import { amount, count } from '../parts/format.ts';
import { Empty, Live, Problem } from '../parts/parts.tsx';
import { visible } from '../parts/text.tsx';
import { isMessage, MessageItem, readEvent, type Shown, searched } from './message.tsx';

/** Messages of a source table as they arrive. */
export function LiveTail({ table }: { table: ConnectionTable }): ReactNode {
  const may = useMay('operator');
  if (table.table_type !== 'source')
    return (
      <Empty>Only source tables have messages to look at. Choose the table that reads this topic.</Empty>
    );
  if (!may) return <Empty>To look at messages you need a key with the role operator.</Empty>;
  return <Tail key={table.id} table={table} />;
}

/** Number of messages kept, and of those that wait while paused. */
const maxKept = 500;
/** Maximum number of characters of JSON in them. */
const maxText = 8_000_000;
const maxShown = 100;
const limits = { rows: 10_000, rows_per_second: 50 };
const durations = [
  { value: '60', label: '1 minute' },
  { value: '300', label: '5 minutes' },
  { value: '600', label: '10 minutes' },
];

interface Kept {
  id: number;
  event: Shown;
}

/** The newest messages, up to a number and a length of text. */
function bounded(all: readonly Kept[]): readonly Kept[] {
  let length = 0;
  const end = all.findIndex(({ event }, index) => {
    length += (event.rowText?.length ?? 0) + (event.metadataText?.length ?? 0);
    return index === maxKept || (index > 0 && length > maxText);
  });
  return end === -1 ? all : all.slice(0, end);
}

/** Collects messages, newest first, and hands them over once a frame. */
function useMessages(paused: boolean) {
  const [kept, setKept] = useState<readonly Kept[]>([]);
  const [waiting, setWaiting] = useState(0);
  const buffer = useRef({ incoming: [] as Kept[], seen: 0, waited: 0, frame: 0 });
  const isPaused = useRef(paused);
  isPaused.current = paused;
  const flush = (): void => {
    const held = buffer.current;
    held.frame = 0;
    if (isPaused.current) {
      setWaiting(held.waited);
      return;
    }
    const added = held.incoming.splice(0).reverse();
    held.waited = 0;
    setWaiting(0);
    if (added.length > 0) setKept((before) => bounded([...added, ...before]));
  };
  const later = (): void => {
    buffer.current.frame ||= requestAnimationFrame(flush);
  };
  const add = (event: Shown): void => {
    const held = buffer.current;
    held.incoming.push({ id: held.seen++, event });
    held.waited++;
    // A hidden tab has no frames, and a paused one takes none: only the newest are kept.
    if (held.incoming.length > maxKept) held.incoming.shift();
    later();
  };
  const clear = (): void => {
    buffer.current.incoming = [];
    buffer.current.waited = 0;
    setKept([]);
    setWaiting(0);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: those that waited are shown when it goes on
  useEffect(later, [paused]);
  useEffect(() => {
    const held = buffer.current;
    return () => {
      cancelAnimationFrame(held.frame);
      held.frame = 0;
    };
  }, []);
  return { kept, waiting, add, clear };
}

function Tail({ table }: { table: ConnectionTable }): ReactNode {
  const [seconds, setSeconds] = useState('300');
  const [running, setRunning] = useState(true);
  const [paused, setPaused] = useState(false);
  const [over, setOver] = useState<Shown>();
  const [leftOut, setLeftOut] = useState(0);
  const { kept, waiting, add, clear } = useMessages(paused);
  const query = { ...limits, seconds: Number(seconds) };
  const stream = useStream('tailConnectionTable', running ? { params: { id: table.id }, query } : null, {
    parse: readEvent,
    whenHidden: true,
    onOpen: () => setOver(undefined),
    onEvent(given) {
      const event = given as Shown;
      if (isMessage(event)) add(event);
      if (event.name === 'left_out') setLeftOut((before) => before + (event.left_out ?? 0));
      if (!event.done) return;
      setOver(event);
      stop();
    },
  });
  const refused = stream.error instanceof Refused;
  /** Those that wait are shown, because nothing comes that would move them. */
  function stop(): void {
    setRunning(false);
    setPaused(false);
  }
  const goOn = (): void => {
    setOver(undefined);
    setRunning(true);
  };
  return (
    <Stack gap="sm">
      <Group gap="xs">
        <Live state={running ? stream.state : 'ended'} />
        <Controls
          {...{ running, paused, seconds }}
          onPaused={setPaused}
          onSeconds={setSeconds}
          onStop={stop}
          onGoOn={goOn}
        />
        <Button
          size="compact-sm"
          variant="subtle"
          color="gray"
          leftSection={<IconTrash size={14} />}
          onClick={() => {
            clear();
            setLeftOut(0);
          }}
        >
          Clear
        </Button>
        <Text size="sm" c="dimmed" role="status">
          {paused &&
            waiting > 0 &&
            `${count(waiting)} waiting${waiting > maxKept ? `, the last ${maxKept} are kept` : ''}`}
        </Text>
      </Group>
      {running && (stream.state === 'refused' || refused) && <Problem error={stream.error} />}
      {over && <Over event={over} />}
      <Messages kept={kept} leftOut={leftOut} listening={running && stream.state === 'live'} />
    </Stack>
  );
}

function Controls({
  running,
  paused,
  seconds,
  onPaused,
  onSeconds,
  onStop,
  onGoOn,
}: ControlsProps): ReactNode {
  return (
    <>
      {running ? (
        <>
          <Button
            size="compact-sm"
            variant="default"
            leftSection={paused ? <IconPlayerPlay size={14} /> : <IconPlayerPause size={14} />}
            onClick={() => onPaused(!paused)}
          >
            {paused ? 'Resume' : 'Pause'}
          </Button>
          <Button
            size="compact-sm"
            variant="default"
            leftSection={<IconPlayerStop size={14} />}
            onClick={onStop}
          >
            Stop
          </Button>
        </>
      ) : (
        <Button size="compact-sm" leftSection={<IconPlayerPlay size={14} />} onClick={onGoOn}>
          Go on
        </Button>
      )}
      <NativeSelect
        aria-label="Listen for"
        size="xs"
        data={durations}
        value={seconds}
        disabled={running}
        onChange={({ currentTarget }) => onSeconds(currentTarget.value)}
      />
    </>
  );
}

interface ControlsProps {
  running: boolean;
  paused: boolean;
  seconds: string;
  onPaused(paused: boolean): void;
  onSeconds(seconds: string): void;
  onStop(): void;
  onGoOn(): void;
}

function Over({ event }: { event: Shown }): ReactNode {
  const { rows = 0, bad_messages: bad = 0 } = event.counts ?? {};
  if (event.error)
    return <Problem error={new Error([event.message, event.hint].filter(Boolean).join(' '))} />;
  return (
    <Text size="sm" role="status">
      The time is over, or enough was shown: {amount(rows, 'row')}, {amount(bad, 'bad message')}. Press Go on
      to listen again.
    </Text>
  );
}

function Messages({ kept, leftOut, listening }: MessagesProps): ReactNode {
  const [filter, setFilter] = useState('');
  const [shown, setShown] = useState(maxShown);
  const words = useDeferredValue(filter).trim().toLowerCase();
  const texts = useRef(new WeakMap<Shown, string>());
  const found = useMemo(() => {
    if (words === '') return kept;
    return kept.filter(({ event }) => {
      const text = texts.current.get(event) ?? searched(event);
      texts.current.set(event, text);
      return text.includes(words);
    });
  }, [kept, words]);
  return (
    <>
      <Group gap="sm" align="center">
        <TextInput
          size="xs"
          w={260}
          maw="100%"
          aria-label="Filter messages"
          placeholder="Filter by text"
          maxLength={200}
          value={filter}
          onChange={({ currentTarget }) => setFilter(currentTarget.value)}
        />
        <Text size="xs" c="dimmed">
          {words === ''
            ? amount(kept.length, 'message')
            : `${count(found.length)} of ${amount(kept.length, 'message')}`}
          {kept.length >= maxKept && `, only the last ${maxKept} are kept`}
          {leftOut > 0 && ` · ${count(leftOut)} left out because there were too many`}
        </Text>
      </Group>
      {kept.length === 0 && (
        <Empty>{listening ? 'Listening. Messages appear here as they arrive.' : 'No messages.'}</Empty>
      )}
      {kept.length > 0 && found.length === 0 && <Empty>No message has “{visible(words)}”.</Empty>}
      <Box component="ul" aria-label="Messages" p={0} m={0} style={{ listStyle: 'none' }}>
        {found.slice(0, shown).map(({ id, event }) => (
          <MessageItem key={id} event={event} />
        ))}
      </Box>
      {found.length > shown && (
        <Button variant="subtle" size="compact-sm" onClick={() => setShown(maxKept)}>
          Show {count(found.length - shown)} older messages
        </Button>
      )}
    </>
  );
}

interface MessagesProps {
  kept: readonly Kept[];
  leftOut: number;
  listening: boolean;
}
