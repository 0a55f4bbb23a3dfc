import { Anchor, Button, Group, Modal, Stack } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { Problem } from '../parts/parts.tsx';
import { Name } from '../parts/text.tsx';

/** What the pages of this folder share. */

interface ConfirmProps {
  title: string;
  /** Text of the button that does it. */
  action: string;
  onConfirm(): void;
  onClose(): void;
  busy: boolean;
  error: unknown;
  /** What happens then. */
  children: ReactNode;
}

/** Asks before something that cannot be undone, or that others notice. */
export function Confirm(props: ConfirmProps): ReactNode {
  const { title, action, onConfirm, onClose, busy, error, children } = props;
  return (
    <Modal opened onClose={onClose} title={title} closeButtonProps={{ 'aria-label': 'Close' }}>
      <Stack>
        {children}
        <Problem error={error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button color="red" onClick={onConfirm} loading={busy}>
            {action}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

const pages = { pl: '/pipelines/$id', ct: '/tables/$id', cp: '/connections/$id' } as const;

/** A link to the page of an object, found by its id. Other ids are shown as text. */
export function ObjectLink({ id, children, inText = false }: ObjectLinkProps): ReactNode {
  const prefix = id.split('_')[0] as keyof typeof pages;
  const text = <Name>{children ?? id}</Name>;
  if (!id.includes('_') || !Object.hasOwn(pages, prefix)) return text;
  return (
    <Anchor
      component={Link}
      to={pages[prefix] as string}
      params={{ id } as never}
      inherit
      underline={inText ? 'always' : 'hover'}
    >
      {text}
    </Anchor>
  );
}

interface ObjectLinkProps {
  id: string;
  /** Its name; the id if left out. */
  children?: string;
  /** Whether it is part of a sentence, where its color alone would not tell it. */
  inText?: boolean;
}

const step = 100;

/** The first rows of a long list, and a button for more. */
export function useFirst<T>(all: readonly T[]): { first: readonly T[]; more: ReactNode } {
  const [count, setCount] = useState(step);
  const more =
    all.length > count ? (
      <Button variant="subtle" size="compact-sm" onClick={() => setCount(count + step)}>
        Show more ({(all.length - count).toLocaleString('en')} left)
      </Button>
    ) : null;
  return { first: all.slice(0, count), more };
}
