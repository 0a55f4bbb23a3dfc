import { CloseButton, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { IconSearch } from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';

/** A field to search with. It calls back when typing pauses. */
export function Search({ value, onSearch, label }: SearchProps): ReactNode {
  const [text, setText] = useState(value);
  const later = useDebouncedCallback(onSearch, 250);
  const change = (next: string): void => {
    setText(next);
    later(next.trim());
  };
  return (
    <TextInput
      w={{ base: '100%', xs: 280 }}
      aria-label={label}
      placeholder={label}
      maxLength={100}
      leftSection={<IconSearch size={16} />}
      rightSection={
        text && <CloseButton size="sm" aria-label="Clear the search" onClick={() => change('')} />
      }
      value={text}
      onChange={({ currentTarget }) => change(currentTarget.value)}
    />
  );
}
interface SearchProps {
  value: string;
  onSearch(text: string): void;
  label: string;
}
