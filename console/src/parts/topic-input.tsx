import { Autocomplete, Loader, Text, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useMemo, useState } from 'react';
import { useMay } from '../api/caller.tsx';
import { call, Refused } from '../api/client.ts';
import { count } from './format.ts';
import { Name, visible } from './text.tsx';

/** An input with suggestions that the server of a profile offers: for MQTT, its topics and filters that match several. */
export interface TopicInputProps {
  id?: string;
  profileId: string | null;
  value: string;
  onChange(value: string): void;
  /** Field of the table config whose values are offered. Default `topic`. */
  field?: string;
  label?: string;
  description?: ReactNode;
  error?: ReactNode;
  required?: boolean;
  disabled?: boolean;
  placeholder?: string;
}

const maxOffered = 50;

export function TopicInput({ profileId, field = 'topic', ...input }: TopicInputProps): ReactNode {
  const { label = 'Topic', value, onChange, ...rest } = input;
  const may = useMay('operator');
  const [asked, setAsked] = useState(false);
  const query = useQuery({
    queryKey: ['autocomplete', profileId],
    queryFn: ({ signal }) =>
      call('autocompleteConnectionProfile', { params: { id: profileId as string }, signal }),
    enabled: asked && may && profileId !== null,
    staleTime: 30_000,
    refetchInterval: false,
    refetchOnWindowFocus: false,
    retry: false,
  });
  const found = useMemo(() => offersOf(query.data?.values[field] ?? [], field), [query.data, field]);
  if (!may || profileId === null)
    return (
      <TextInput
        {...rest}
        label={label}
        value={value}
        onChange={({ currentTarget }) => onChange(currentTarget.value)}
      />
    );
  return (
    <Autocomplete
      {...rest}
      label={label}
      value={value}
      onChange={onChange}
      onFocus={() => setAsked(true)}
      data={[...found.keys()]}
      limit={maxOffered}
      maxDropdownHeight={280}
      rightSection={query.isFetching ? <Loader size={16} aria-label="Looking for values" /> : undefined}
      description={rest.description ?? <State query={query} asked={asked} total={found.size} />}
      renderOption={({ option }) => (
        <>
          <Text size="sm" span style={{ overflowWrap: 'anywhere' }}>
            <Name>{option.value}</Name>
          </Text>
          {(found.get(option.value) ?? 0) > 1 && (
            <Text size="xs" c="dimmed" span ml="auto">
              {count(found.get(option.value) ?? 0)} topics
            </Text>
          )}
        </>
      )}
    />
  );
}

function State({ query, asked, total }: StateProps): ReactNode {
  if (!asked) return 'Suggestions come from messages of the last seconds.';
  if (query.isFetching) return 'Listening for two seconds…';
  if (query.error)
    return `No suggestions: ${visible(query.error instanceof Refused ? query.error.problem.detail : query.error.message)}`;
  return total === 0 ? 'No message was seen. Type the topic.' : `${count(total)} suggestions`;
}
interface StateProps {
  query: { isFetching: boolean; error: Error | null };
  asked: boolean;
  total: number;
}

const maxLevels = 16;

/** Values with the number of topics each stands for. Topics that differ in one level also give a filter with `+`. */
function offersOf(values: readonly string[], field: string): Map<string, number> {
  const filters = new Map<string, number>();
  if (field === 'topic')
    for (const value of values) {
      const levels = value.split('/', maxLevels + 1);
      if (levels.length < 2 || levels.length > maxLevels) continue;
      for (const index of levels.keys()) {
        const filter = levels.with(index, '+').join('/');
        filters.set(filter, (filters.get(filter) ?? 0) + 1);
      }
    }
  const several = [...filters].filter(([, topics]) => topics > 1).sort(([, one], [, other]) => other - one);
  return new Map([
    ...several.slice(0, maxOffered / 2),
    ...values.map((value): [string, number] => [value, 1]),
  ]);
}
