import { Button, Group, Stack, Text } from '@mantine/core';
import { IconRotateClockwise, IconTrash } from '@tabler/icons-react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { useMay } from '../api/caller.tsx';
import { call, type DeadLetter, type Pipeline } from '../api/client.ts';
import { Automate, type Call } from '../parts/automate.tsx';
import { count } from '../parts/format.ts';
import { Empty, Loaded, Problem } from '../parts/parts.tsx';
import { DeadLetterDrawer } from './dead-letter.tsx';
import { type LetterFilter, LetterFilters, type Matching, useMatching } from './letter-filter.tsx';
import { DiscardDialog, type Fate, ReplayResult, type Target, useReplay } from './letter-replay.tsx';
import { LetterTable } from './letter-table.tsx';

const perPage = 50;
const often = 2_000;
const seldom = 10_000;

/** The dead letters of a pipeline: to find, read, replay and discard. */
export function DeadLettersTab({ pipeline }: { pipeline: Pipeline }): ReactNode {
  const { id } = pipeline;
  const may = useMay('operator');
  const [filter, setFilter] = useState<LetterFilter>({});
  /** The last letters of the pages before. */
  const [before, setBefore] = useState<readonly string[]>([]);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [open, setOpen] = useState<DeadLetter>();
  const [toDiscard, setToDiscard] = useState<Target>();
  const [discarded, setDiscarded] = useState<number>();
  const replays = useReplay(id);
  const interval = replays.replay && !replays.outcome?.settled ? often : seldom;
  const matching = useMatching(id, filter, interval);
  const query = useQuery({
    queryKey: ['dead-letters', id, filter, before.at(-1)],
    queryFn: ({ signal }) => {
      const after = before.at(-1);
      const start = after === undefined ? {} : { starting_after: after };
      return call('listDeadLetters', {
        params: { id },
        query: { ...filter, ...start, limit: perPage },
        signal,
      });
    },
    refetchInterval: interval,
    placeholderData: keepPreviousData,
  });
  const letters = query.data?.data ?? [];
  const chosen = letters.filter((letter) => selected.has(letter.id));
  const show = (pages: readonly string[]): void => {
    setBefore(pages);
    setSelected(new Set());
  };
  const shown = open && (letters.find((letter) => letter.id === open.id) ?? open);
  return (
    <Stack gap="sm">
      <Group justify="space-between" align="flex-end">
        <LetterFilters
          filter={filter}
          groups={matching.groups}
          onFilter={(next) => {
            setFilter(next);
            show([]);
          }}
        />
        <Automate calls={callsOf(id, filter)} label="Automate this list" />
      </Group>
      {may && (
        <Bulk
          chosen={chosen}
          matching={matching}
          filtered={Object.keys(filter).length > 0}
          busy={replays.busy}
          onReplay={(target) => void replays.start(target)}
          onDiscard={setToDiscard}
        />
      )}
      <Problem error={replays.error} />
      {replays.replay && (
        <ReplayResult
          replay={replays.replay}
          outcome={replays.outcome}
          pipeline={pipeline}
          onClose={replays.forget}
          onOpen={setOpen}
        />
      )}
      {discarded !== undefined && (
        <Text size="sm" role="status">
          {count(discarded)} discarded.
        </Text>
      )}
      <Loaded query={query}>
        {({ data, hasMore }) => (
          <>
            {data.length === 0 ? (
              <Empty>
                {Object.keys(filter).length > 0 || before.length > 0
                  ? 'No dead letter matches. Choose another filter.'
                  : 'No dead letters. A message that cannot be used comes here if its table has bad_data with dead_letter.'}
              </Empty>
            ) : (
              <LetterTable
                letters={data}
                selected={selected}
                onSelected={setSelected}
                fates={replays.outcome?.fates}
                onOpen={setOpen}
              />
            )}
            <Pages
              number={before.length + 1}
              onNewer={before.length > 0 ? () => show(before.slice(0, -1)) : undefined}
              onOlder={hasMore ? () => show([...before, data.at(-1)?.id ?? '']) : undefined}
            />
          </>
        )}
      </Loaded>
      <DeadLetterDrawer
        pipeline={id}
        letter={shown}
        onClose={() => setOpen(undefined)}
        actions={
          shown &&
          may && (
            <LetterActions
              letter={shown}
              fate={replays.outcome?.fates.get(shown.id)}
              busy={replays.busy}
              onReplay={(target) => void replays.start(target)}
              onDiscard={setToDiscard}
            />
          )
        }
      />
      <DiscardDialog
        pipeline={id}
        target={toDiscard}
        onClose={() => setToDiscard(undefined)}
        onDone={(deleted) => {
          setDiscarded(deleted);
          setSelected(new Set());
          setOpen(undefined);
        }}
      />
    </Stack>
  );
}

function Pages({ number, onNewer, onOlder }: PagesProps): ReactNode {
  if (onNewer === undefined && onOlder === undefined) return null;
  return (
    <Group justify="center" gap="xs">
      <Button size="compact-sm" variant="default" disabled={onNewer === undefined} onClick={onNewer}>
        Newer
      </Button>
      <Text size="sm">Page {number}</Text>
      <Button size="compact-sm" variant="default" disabled={onOlder === undefined} onClick={onOlder}>
        Older
      </Button>
    </Group>
  );
}

interface PagesProps {
  number: number;
  /** Undefined if there is no such page. */
  onNewer: (() => void) | undefined;
  onOlder: (() => void) | undefined;
}

/** The same from a script, with the filter that is chosen. */
function callsOf(id: string, filter: LetterFilter): Call[] {
  const path = `/api/v1/pipelines/${id}/dead_letters`;
  const query = new URLSearchParams(Object.entries(filter).map(([name, value]) => [name, `${value}`]));
  const chosen = query.size > 0 ? `?${query}` : '';
  return [
    { title: 'List dead letters', method: 'GET', path: path + chosen },
    { title: 'Count them by code and stage', method: 'GET', path: `${path}/groups${chosen}` },
    { title: 'Replay all of them', method: 'POST', path: `${path}/replay`, body: { all: true, ...filter } },
    { title: 'Discard all of them', method: 'DELETE', path: path + chosen },
  ];
}

interface Doing {
  busy: boolean;
  onReplay(target: Target): void;
  onDiscard(target: Target): void;
}

function Bulk({
  chosen,
  matching: { total, pinned },
  filtered,
  busy,
  onReplay,
  onDiscard,
}: BulkProps): ReactNode {
  const some: Target = { letters: chosen, size: chosen.length };
  const all: Target = { letters: pinned, size: total ?? 0 };
  const which = filtered ? 'matching' : 'all';
  return (
    <Group gap="xs">
      {chosen.length > 0 ? (
        <Doers target={some} what={`${count(chosen.length)} selected`} {...{ busy, onReplay, onDiscard }} />
      ) : (
        (total ?? 0) > 0 && (
          <Doers target={all} what={`${which} ${count(total ?? 0)}`} {...{ busy, onReplay, onDiscard }} />
        )
      )}
    </Group>
  );
}

interface BulkProps extends Doing {
  chosen: readonly DeadLetter[];
  matching: Matching;
  filtered: boolean;
}

function Doers({
  target,
  what,
  busy,
  onReplay,
  onDiscard,
}: Doing & { target: Target; what: string }): ReactNode {
  return (
    <>
      <Button
        size="compact-sm"
        leftSection={<IconRotateClockwise size={14} />}
        loading={busy}
        onClick={() => onReplay(target)}
      >
        Replay {what}
      </Button>
      <Button
        size="compact-sm"
        variant="default"
        leftSection={<IconTrash size={14} />}
        onClick={() => onDiscard(target)}
      >
        Discard {what}…
      </Button>
    </>
  );
}

function LetterActions({
  letter,
  fate,
  ...doing
}: Doing & { letter: DeadLetter; fate: Fate | undefined }): ReactNode {
  return (
    <Group gap="xs">
      {fate !== 'gone' && <Doers target={{ letters: [letter], size: 1 }} what="this" {...doing} />}
      <Text size="sm" role="status">
        {fate && fates[fate]}
      </Text>
    </Group>
  );
}

const fates: Record<Fate, string> = {
  replaying: 'The replay is going on.',
  gone: 'The replay succeeded. The dead letter is gone.',
  failed: 'The replay failed. The errors below are new.',
};
