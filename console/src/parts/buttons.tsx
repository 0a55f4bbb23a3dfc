import { ActionIcon, Button, Center, Group } from '@mantine/core';
import { IconChevronDown, IconChevronRight } from '@tabler/icons-react';
import type { UseInfiniteQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';

/** Buttons that several pages use. */

/** The buttons at the end of a dialog. */
export function DialogButtons(props: DialogButtonsProps): ReactNode {
  const { action, color, busy, disabled = false, cancel = 'Cancel', onCancel, onConfirm } = props;
  return (
    <Group justify="flex-end">
      <Button variant="default" onClick={onCancel}>
        {cancel}
      </Button>
      <Button color={color} loading={busy} disabled={disabled} onClick={onConfirm}>
        {action}
      </Button>
    </Group>
  );
}
interface DialogButtonsProps {
  action: string;
  color?: string | undefined;
  busy: boolean;
  disabled?: boolean;
  /** Text of the button that changes nothing. */
  cancel?: string;
  onCancel(): void;
  onConfirm(): void;
}

/** A button that unfolds a row of a table. */
export function Unfold({ open, onOpen, label }: UnfoldProps): ReactNode {
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      onClick={() => onOpen(!open)}
      aria-expanded={open}
      aria-label={label}
    >
      {open ? <IconChevronDown size={16} /> : <IconChevronRight size={16} />}
    </ActionIcon>
  );
}
interface UnfoldProps {
  open: boolean;
  onOpen(open: boolean): void;
  label: string;
}

/** A button for the next page of a list, if there is one. */
export function NextPage({ query, children }: NextPageProps): ReactNode {
  if (!query.hasNextPage) return null;
  return (
    <Center>
      <Button variant="default" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
        {children}
      </Button>
    </Center>
  );
}
interface NextPageProps {
  query: Pick<UseInfiniteQueryResult, 'hasNextPage' | 'isFetchingNextPage' | 'fetchNextPage'>;
  children: string;
}
