import { ActionIcon, Button, Group, Stack, Text, TextInput } from '@mantine/core';
import { IconPlus, IconX } from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';

/** An object with arbitrary names and texts as values, such as labels. */

interface KeyValuesProps {
  label: string;
  description?: string | undefined;
  value: Readonly<Record<string, string>>;
  onChange(value: Record<string, string>): void;
  error?: string | undefined;
  /** Noun for a row, as in `a label`. */
  add?: string;
  disabled?: boolean;
}

type Row = [name: string, value: string];

/** Rows as typed; only those with a name are in the value. */
export function KeyValues(props: KeyValuesProps): ReactNode {
  const { label, description, value, onChange, error, add = 'a name', disabled = false } = props;
  const [rows, setRows] = useState<Row[]>(() => Object.entries(value));
  const stored = Object.fromEntries(rows.filter(([name]) => name !== ''));
  const shown = sameValues(stored, value) ? rows : Object.entries(value);
  const change = (next: Row[]): void => {
    setRows(next);
    onChange(Object.fromEntries(next.filter(([name]) => name !== '')));
  };
  const set = (at: number, row: Row): void => change(shown.map((each, index) => (index === at ? row : each)));
  return (
    <Stack gap={4} role="group" aria-label={label}>
      <div>
        <Text size="sm" fw={500}>
          {label}
        </Text>
        {description && (
          <Text size="xs" c="dimmed">
            {description}
          </Text>
        )}
      </div>
      {shown.map(([name, text], index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: names change while they are typed
        <Group key={index} gap="xs" wrap="nowrap">
          <TextInput
            flex={1}
            size="xs"
            aria-label={`Name ${index + 1}`}
            placeholder="Name"
            value={name}
            disabled={disabled}
            onChange={({ currentTarget }) => set(index, [currentTarget.value, text])}
          />
          <TextInput
            flex={1}
            size="xs"
            aria-label={`Value ${index + 1}`}
            placeholder="Value"
            value={text}
            disabled={disabled}
            onChange={({ currentTarget }) => set(index, [name, currentTarget.value])}
          />
          <ActionIcon
            variant="subtle"
            color="gray"
            disabled={disabled}
            aria-label={`Remove ${name || `row ${index + 1}`}`}
            onClick={() => change(shown.filter((_, at) => at !== index))}
          >
            <IconX size={16} />
          </ActionIcon>
        </Group>
      ))}
      {!disabled && (
        <div>
          <Button
            variant="subtle"
            size="compact-xs"
            leftSection={<IconPlus size={14} />}
            onClick={() => setRows([...shown, ['', '']])}
          >
            Add {add}
          </Button>
        </div>
      )}
      {error && (
        <Text size="xs" c="var(--mantine-color-error)" role="alert">
          {error}
        </Text>
      )}
    </Stack>
  );
}

const sameValues = (
  one: Readonly<Record<string, string>>,
  other: Readonly<Record<string, string>>,
): boolean => JSON.stringify(Object.entries(one).sort()) === JSON.stringify(Object.entries(other).sort());
