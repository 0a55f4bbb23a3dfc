import { Group, NativeSelect, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { call, type DeadLetterGroup, type Operations } from '../api/client.ts';
import { nowMicros } from '../api/clock.ts';
import { count } from '../parts/format.ts';

/** Chooses dead letters by code, stage and time. */

export type LetterFilter = Operations['listDeadLetterGroups']['query'];

export interface Matching {
  /** Groups in the time chosen, whatever their code and stage. */
  groups: DeadLetterGroup[];
  /** Number that the whole filter selects; undefined until it is known. */
  total: number | undefined;
  /** The filter without letters that come later: selects those that are counted. */
  pinned: LetterFilter;
}

export function useMatching(pipeline: string, filter: LetterFilter, intervalMs: number): Matching {
  const { since, until } = filter;
  const { data } = useQuery({
    queryKey: ['dead-letters', pipeline, 'groups', since, until],
    queryFn: ({ signal }) =>
      call('listDeadLetterGroups', { params: { id: pipeline }, query: bare({ since, until }), signal }),
    refetchInterval: intervalMs,
  });
  const groups = data?.data ?? [];
  const selected = groups.filter(
    ({ code, stage }) =>
      (filter.code === undefined || code === filter.code) &&
      (filter.stage === undefined || stage === filter.stage),
  );
  const last = Math.max(0, ...selected.map(({ last_at }) => last_at));
  return {
    groups,
    total: data && sum(selected),
    pinned: { ...filter, until: Math.min(last + 1, filter.until ?? Number.MAX_SAFE_INTEGER) },
  };
}

const sum = (groups: readonly DeadLetterGroup[]): number =>
  groups.reduce((total, group) => total + group.count, 0);

/** Number of dead letters of a pipeline; undefined until it is known. */
export const useLetterCount = (pipeline: string): number | undefined =>
  useMatching(pipeline, {}, 5_000).total;

/** Without the parts that are undefined. */
export const bare = (filter: { [K in keyof LetterFilter]: LetterFilter[K] | undefined }): LetterFilter =>
  Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));

const minute = 60_000_000;
const times: Record<string, number> = { '15': 15 * minute, '60': 60 * minute, '1440': 1440 * minute };
const stages = ['decode', 'transform', 'encode', 'write'] as const;

interface LetterFiltersProps {
  filter: LetterFilter;
  groups: readonly DeadLetterGroup[];
  onFilter(filter: LetterFilter): void;
}

export function LetterFilters({ filter, groups, onFilter }: LetterFiltersProps): ReactNode {
  const change = (part: { [K in keyof LetterFilter]: LetterFilter[K] | undefined }): void =>
    onFilter(bare({ ...filter, ...part }));
  const codes = [...new Set([...groups.map(({ code }) => code), ...(filter.code ? [filter.code] : [])])];
  const inStage = groups.filter(({ stage }) => filter.stage === undefined || stage === filter.stage);
  const withCode = groups.filter(({ code }) => filter.code === undefined || code === filter.code);
  return (
    <Group gap="xs" align="flex-end">
      <NativeSelect
        label="Code"
        size="xs"
        value={filter.code ?? ''}
        data={[
          { value: '', label: `All codes (${count(sum(inStage))})` },
          ...codes.map((code) => ({
            value: code,
            label: `${code} (${count(sum(inStage.filter((group) => group.code === code)))})`,
          })),
        ]}
        onChange={({ currentTarget: { value } }) =>
          change({ code: (value || undefined) as LetterFilter['code'] })
        }
      />
      <NativeSelect
        label="Stage"
        size="xs"
        value={filter.stage ?? ''}
        data={[
          { value: '', label: `All stages (${count(sum(withCode))})` },
          ...stages.map((stage) => ({
            value: stage,
            label: `${stage} (${count(sum(withCode.filter((group) => group.stage === stage)))})`,
          })),
        ]}
        onChange={({ currentTarget: { value } }) =>
          change({ stage: (value || undefined) as LetterFilter['stage'] })
        }
      />
      <Times filter={filter} onTimes={change} />
    </Group>
  );
}

function Times({ filter, onTimes }: TimesProps): ReactNode {
  const [choice, setChoice] = useState('any');
  const choose = (value: string): void => {
    setChoice(value);
    const span = times[value];
    if (value === 'any') onTimes({ since: undefined, until: undefined });
    if (span !== undefined) onTimes({ since: nowMicros() - span, until: undefined });
  };
  return (
    <>
      <NativeSelect
        label="Stored"
        size="xs"
        value={choice}
        data={[
          { value: 'any', label: 'At any time' },
          { value: '15', label: 'In the last 15 minutes' },
          { value: '60', label: 'In the last hour' },
          { value: '1440', label: 'In the last 24 hours' },
          { value: 'between', label: 'Between two times' },
        ]}
        onChange={({ currentTarget }) => choose(currentTarget.value)}
      />
      {choice === 'between' && (
        <>
          <TimeInput label="From" micros={filter.since} onMicros={(since) => onTimes({ since })} />
          <TimeInput label="Until" micros={filter.until} onMicros={(until) => onTimes({ until })} />
        </>
      )}
    </>
  );
}

interface TimesProps {
  filter: LetterFilter;
  onTimes(part: { since?: number | undefined; until?: number | undefined }): void;
}

/** A local time, down to the second. */
function TimeInput({ label, micros, onMicros }: TimeInputProps): ReactNode {
  const [text, setText] = useState(() => (micros === undefined ? '' : localText(micros)));
  return (
    <TextInput
      type="datetime-local"
      step={1}
      label={label}
      size="xs"
      value={text}
      onChange={({ currentTarget: { value } }) => {
        setText(value);
        const time = Date.parse(value);
        onMicros(Number.isNaN(time) || time < 0 ? undefined : time * 1000);
      }}
    />
  );
}

interface TimeInputProps {
  label: string;
  micros: number | undefined;
  onMicros(micros: number | undefined): void;
}

function localText(micros: number): string {
  const time = new Date(micros / 1000);
  return new Date(time.getTime() - (time.getTimezoneOffset() * minute) / 1000).toISOString().slice(0, 19);
}
