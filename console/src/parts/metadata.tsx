import { Table } from '@mantine/core';
import { type ReactNode, useMemo } from 'react';
import { members, unquoted } from './json-text.ts';
import { Name } from './text.tsx';

const maxShown = 50;

/** All metadata of a message, given as JSON. */
export function Metadata({ json }: { json: string }): ReactNode {
  const rows = useMemo(() => members(json).filter(([, value]) => value !== 'null'), [json]);
  return (
    <Table verticalSpacing={2} fz="xs" layout="fixed" aria-label="Metadata">
      <Table.Tbody>
        {rows.slice(0, maxShown).map(([name, value]) => (
          <Table.Tr key={name}>
            <Table.Th scope="row" w={150} fw={500}>
              <Name>{name}</Name>
            </Table.Th>
            <Table.Td ff="monospace" style={{ overflowWrap: 'anywhere' }}>
              <Name>{unquoted(value)}</Name>
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
