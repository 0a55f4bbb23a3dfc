import { Alert, Button, Group, List, Modal, Stack, Text } from '@mantine/core';
import { IconRotateClockwise } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useEffect, useState } from 'react';
import { call, type DeadLetter, type Pipeline, Refused } from '../api/client.ts';
import { amount, count } from '../parts/format.ts';
import { Problem } from '../parts/parts.tsx';
import { visible } from '../parts/text.tsx';
import { bare, type LetterFilter } from './letter-filter.tsx';

/** Replays and discards dead letters, and follows what becomes of them. */

const perPage = 100;
const maxPages = 20;
/** Maximum number of letters of one replay that are followed. */
const maxFollowed = 1000;

export interface Target {
  /** The dead letters themselves, or all that match a filter. */
  letters: readonly DeadLetter[] | LetterFilter;
  /** Number of them. */
  size: number;
}

interface Listed {
  letters: DeadLetter[];
  /** Whether there are no others. */
  complete: boolean;
}

async function listAll(id: string, filter: LetterFilter, max: number, signal?: AbortSignal): Promise<Listed> {
  const letters: DeadLetter[] = [];
  for (let page = 0; page < maxPages && letters.length < max; page++) {
    const query = { ...filter, limit: perPage, ...bareStart(letters.at(-1)?.id) };
    const { data, hasMore } = await call('listDeadLetters', { params: { id }, query, signal });
    letters.push(...data);
    if (!hasMore) return { letters, complete: true };
  }
  return { letters, complete: false };
}

const bareStart = (id: string | undefined) => (id === undefined ? {} : { starting_after: id });

interface Replay {
  number: number;
  asked: number;
  followed: readonly DeadLetter[];
}

/** State of a dead letter since the last replay. */
export type Fate = 'replaying' | 'gone' | 'failed';

export interface Outcome {
  replay: Replay;
  fates: Map<string, Fate>;
  failed: DeadLetter[];
  /** Whether nothing is to be expected any more. */
  settled: boolean;
}

async function look(id: string, replay: Replay, signal: AbortSignal): Promise<Outcome> {
  const times = replay.followed.map(({ created_at }) => created_at);
  const range = { since: Math.min(...times), until: Math.max(...times) + 1 };
  const { letters, complete } = await listAll(id, range, maxPages * perPage, signal);
  const found = new Map(letters.map((letter) => [letter.id, letter]));
  const fates = new Map<string, Fate>();
  const failed: DeadLetter[] = [];
  for (const { id: letter, replays } of replay.followed) {
    const now = found.get(letter);
    const back = now?.state === 'waiting' && now.replays > replays;
    if (back) failed.push(now);
    if (now !== undefined || complete) fates.set(letter, back ? 'failed' : now ? 'replaying' : 'gone');
  }
  return { replay, fates, failed, settled: ![...fates.values()].includes('replaying') };
}

/** Asks for replays, and looks again and again at what became of the last one. */
export function useReplay(pipeline: string) {
  const client = useQueryClient();
  const [replay, setReplay] = useState<Replay>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const { data } = useQuery({
    queryKey: ['replay', pipeline, replay?.number],
    queryFn: ({ signal }) => look(pipeline, replay as Replay, signal),
    enabled: replay !== undefined && replay.followed.length > 0,
    refetchInterval: ({ state }) => (state.data?.settled ? false : state.dataUpdateCount < 30 ? 1000 : 5000),
    gcTime: 0,
  });
  const outcome = data?.replay.number === replay?.number ? data : undefined;
  const seen = outcome && [...outcome.fates.values()].join();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the list is old as soon as one letter has another fate
  useEffect(() => void client.invalidateQueries({ queryKey: ['dead-letters', pipeline] }), [seen, pipeline]);
  const start = async ({ letters }: Target): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      const all = 'map' in letters ? undefined : letters;
      const known = all ? (await listAll(pipeline, all, maxFollowed)).letters : (letters as DeadLetter[]);
      const followed = known.filter(({ state }) => state === 'waiting');
      const body = all ? { all: true as const, ...all } : { ids: known.map(({ id }) => id) };
      const { asked } = await call('replayDeadLetters', { params: { id: pipeline }, body });
      setReplay((before) => ({ number: (before?.number ?? 0) + 1, asked, followed }));
    } catch (raised) {
      setError(raised);
    } finally {
      setBusy(false);
    }
  };
  return { replay, outcome, error, busy, start, forget: () => setReplay(undefined) };
}

/** Says how many were asked for, and what became of them. */
export function ReplayResult({ replay, outcome, pipeline, onClose, onOpen }: ReplayResultProps): ReactNode {
  const fates = [...(outcome?.fates.values() ?? [])];
  const [gone, failed, going] = (['gone', 'failed', 'replaying'] as const).map(
    (fate) => fates.filter((one) => one === fate).length,
  ) as [number, number, number];
  const { asked, followed } = replay;
  const color = failed > 0 ? 'orange' : outcome?.settled ? 'teal' : 'blue';
  return (
    <Alert
      color={color}
      variant="light"
      icon={<IconRotateClockwise />}
      title={`Replay of ${amount(asked, 'dead letter')}`}
      withCloseButton
      closeButtonLabel="Close the result"
      onClose={onClose}
    >
      <Text size="sm" role="status">
        {asked === 0
          ? 'None was waiting: they are gone, or a replay of them is going on.'
          : `${count(gone)} succeeded and are gone · ${count(failed)} failed again · ${count(going)} still to come`}
      </Text>
      {asked > followed.length && followed.length > 0 && (
        <Text size="sm">Only {count(followed.length)} of them are followed here.</Text>
      )}
      {going > 0 && pipeline.stop !== 'none' && (
        <Text size="sm">The pipeline is stopped. They wait until it runs.</Text>
      )}
      {failed > 0 && (
        <List size="sm" mt={4}>
          {outcome?.failed.slice(0, 5).map((letter) => (
            <List.Item key={letter.id} style={{ overflowWrap: 'anywhere' }}>
              {visible(letter.message.slice(0, 200))}{' '}
              <Button size="compact-xs" variant="subtle" onClick={() => onOpen(letter)}>
                Open
              </Button>
            </List.Item>
          ))}
        </List>
      )}
    </Alert>
  );
}

interface ReplayResultProps {
  replay: Replay;
  outcome: Outcome | undefined;
  pipeline: Pipeline;
  onClose(): void;
  onOpen(letter: DeadLetter): void;
}

const together = 5;

async function discard(id: string, { letters }: Target): Promise<number> {
  if (!('map' in letters)) {
    const { deleted } = await call('deleteDeadLetters', { params: { id }, query: bare(letters) });
    return deleted;
  }
  let deleted = 0;
  for (let from = 0; from < letters.length; from += together)
    await Promise.all(
      letters.slice(from, from + together).map(async ({ id: letter }) => {
        try {
          await call('deleteDeadLetter', { params: { id, letter } });
          deleted++;
        } catch (error) {
          // It was replayed, or discarded by somebody else.
          if (!(error instanceof Refused && error.problem.code === 'not_found')) throw error;
        }
      }),
    );
  return deleted;
}

/** Asks before it discards, and says what that means. */
export function DiscardDialog({ pipeline, target, onClose, onDone }: DiscardDialogProps): ReactNode {
  const client = useQueryClient();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const close = (): void => {
    setError(undefined);
    onClose();
  };
  const confirm = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      const deleted = await discard(pipeline, target as Target);
      onDone(deleted);
      onClose();
    } catch (raised) {
      setError(raised);
    } finally {
      setBusy(false);
      void client.invalidateQueries({ queryKey: ['dead-letters', pipeline] });
    }
  };
  const number = target ? amount(target.size, 'dead letter') : '';
  return (
    <Modal opened={target !== undefined} onClose={close} title={`Discard ${number}?`} zIndex={400}>
      <Stack>
        <Text size="sm">
          They are deleted for good, with their payloads. The broker does not send these messages again,
          because they were acknowledged when they were stored.
        </Text>
        <Problem error={error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button color="red" loading={busy} onClick={() => void confirm()} data-autofocus>
            Discard {number}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

interface DiscardDialogProps {
  pipeline: string;
  target: Target | undefined;
  onClose(): void;
  onDone(deleted: number): void;
}
