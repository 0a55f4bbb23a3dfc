import { Badge, Checkbox, Table, Text, UnstyledButton } from '@mantine/core';
import type { ReactNode } from 'react';
import { useMay } from '../api/caller.tsx';
import type { DeadLetter } from '../api/client.ts';
import { amount, bytes } from '../parts/format.ts';
import { Time } from '../parts/parts.tsx';
import { Name } from '../parts/text.tsx';
import type { Fate } from './letter-replay.tsx';

interface LetterTableProps {
  letters: readonly DeadLetter[];
  selected: ReadonlySet<string>;
  onSelected(selected: ReadonlySet<string>): void;
  fates: ReadonlyMap<string, Fate> | undefined;
  onOpen(letter: DeadLetter): void;
}

export function LetterTable({
  letters,
  selected,
  onSelected,
  fates: known,
  onOpen,
}: LetterTableProps): ReactNode {
  const may = useMay('operator');
  const all = letters.every(({ id }) => selected.has(id));
  const toggle = (id: string): void => {
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    onSelected(next);
  };
  return (
    <Table.ScrollContainer minWidth={760}>
      <Table verticalSpacing={4} fz="sm" highlightOnHover aria-label="Dead letters">
        <Table.Thead>
          <Table.Tr>
            {may && (
              <Table.Th w={36}>
                <Checkbox
                  size="xs"
                  aria-label="Select all on this page"
                  checked={all}
                  indeterminate={!all && selected.size > 0}
                  onChange={() => onSelected(all ? new Set() : new Set(letters.map(({ id }) => id)))}
                />
              </Table.Th>
            )}
            <Table.Th w={190}>Stored</Table.Th>
            <Table.Th w={170}>Code</Table.Th>
            <Table.Th>Error</Table.Th>
            <Table.Th w={80} ta="right">
              Size
            </Table.Th>
            <Table.Th w={150}>State</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {letters.map((letter) => (
            <Table.Tr key={letter.id}>
              {may && (
                <Table.Td>
                  <Checkbox
                    size="xs"
                    aria-label={`Select ${letter.id}`}
                    checked={selected.has(letter.id)}
                    onChange={() => toggle(letter.id)}
                  />
                </Table.Td>
              )}
              <LetterCells letter={letter} fate={known?.get(letter.id)} onOpen={onOpen} />
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function LetterCells({ letter, fate, onOpen }: LetterCellsProps): ReactNode {
  const { created_at, code, stage, message, bytes: size, state, replays, source_table } = letter;
  return (
    <>
      <Table.Td style={{ whiteSpace: 'nowrap' }}>
        <Time micros={created_at} />
      </Table.Td>
      <Table.Td>
        {code}
        <Text size="xs" c="dimmed">
          {stage} · <Name>{source_table}</Name>
        </Text>
      </Table.Td>
      <Table.Td style={{ overflowWrap: 'anywhere' }}>
        <UnstyledButton fz="sm" ta="left" c="var(--mantine-color-anchor)" onClick={() => onOpen(letter)}>
          <Name>{message}</Name>
        </UnstyledButton>
      </Table.Td>
      <Table.Td ta="right" style={{ whiteSpace: 'nowrap' }}>
        {bytes(size)}
      </Table.Td>
      <Table.Td>
        <Badge
          variant="light"
          color={state === 'replaying' ? 'blue' : fate === 'failed' ? 'orange' : 'gray'}
          tt="none"
        >
          {state}
        </Badge>
        {replays > 0 && (
          <Text size="xs" c={fate === 'failed' ? 'var(--mantine-color-error)' : 'dimmed'}>
            {amount(replays, 'failed replay')}
          </Text>
        )}
      </Table.Td>
    </>
  );
}

interface LetterCellsProps {
  letter: DeadLetter;
  fate: Fate | undefined;
  onOpen(letter: DeadLetter): void;
}
