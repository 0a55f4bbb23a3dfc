import { Alert, Anchor, Button, Group, List, Modal, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { call, Refused } from '../api/client.ts';
import { DialogButtons } from './buttons.tsx';
import { Diff } from './lazy.tsx';
import { notify } from './notices.tsx';
import { JobState, Problem } from './parts.tsx';
import { Name, prettyValue } from './text.tsx';

/** Saving a change: what it affects, what it would lose, and what somebody else has changed meanwhile. */

interface Affected {
  id: string;
  name: string;
}

/** How a change is sent. Without `etag` it replaces whatever is stored. */
export interface How {
  dryRun: boolean;
  discardState: boolean;
  etag: string | undefined;
}

/** Query and headers of the request that sends a change. */
export const sentAs = ({ dryRun, discardState, etag }: How) => ({
  query: { dry_run: dryRun, state: discardState ? ('discard' as const) : ('keep' as const) },
  headers: etag === undefined ? {} : { 'if-match': etag },
});

interface SaveOptions<A> {
  /** Sends the change. */
  send(how: How): Promise<A>;
  /** ETag of the version that the user began with. */
  etag: string | undefined;
  /** Reads what is stored now, in the form of `mine`, with its ETag. */
  theirs(): Promise<{ body: unknown; etag: string | undefined }>;
  /** Returns what the user wants to store, to compare it. */
  mine(): unknown;
  /** Shows what is stored now. */
  onSaved(answer: A): Promise<void>;
  /** The same, when the user gives up the own change for the stored version. */
  onTheirs(): Promise<void>;
}

type Step =
  | { at: 'idle' | 'checking' }
  | { at: 'affects'; affected: readonly Affected[]; how: How }
  | { at: 'loses'; error: Refused; how: How }
  | { at: 'conflict'; body: unknown; etag: string | undefined };

interface Saving {
  /** Begins with a dry run. It saves at once if nothing has to be asked. */
  begin(): void;
  /** From a request until the stored version is shown. Lock the form meanwhile: what is typed then would be lost. */
  busy: boolean;
  /** Error of the last attempt, for the form. */
  error: unknown;
  forget(): void;
  /** Put it anywhere in the page: it asks what has to be asked. */
  dialog: ReactNode;
}

/** `const save = useSave({ … })`, a button with `onClick={save.begin}`, and `{save.dialog}` in the page. */
export function useSave<A extends { affected_pipelines?: readonly Affected[] } | null>(
  options: SaveOptions<A>,
): Saving {
  const [step, setStep] = useState<Step>({ at: 'idle' });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const gone = useRef(false);
  useEffect(() => {
    gone.current = false;
    return () => {
      gone.current = true;
    };
  }, []);
  const failed = async (raised: unknown, how: How): Promise<void> => {
    const code = raised instanceof Refused ? raised.problem.code : undefined;
    if (code === 'state_would_be_lost' && !how.discardState)
      return setStep({ at: 'loses', error: raised as Refused, how });
    setStep({ at: 'idle' });
    if (code !== 'precondition_failed') return setError(raised);
    const { body, etag } = await options.theirs();
    setStep({ at: 'conflict', body, etag });
  };
  const attempt = async (how: How): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      const answer = await options.send(how);
      if (gone.current) return;
      const affected = answer?.affected_pipelines ?? [];
      if (how.dryRun && affected.length > 0) return setStep({ at: 'affects', affected, how });
      if (how.dryRun) return await attempt({ ...how, dryRun: false });
      setStep({ at: 'idle' });
      notify('Saved');
      await options.onSaved(answer);
    } catch (raised) {
      if (!gone.current) await failed(raised, how).catch(setError);
    } finally {
      setBusy(false);
    }
  };
  const takeTheirs = async (): Promise<void> => {
    setStep({ at: 'idle' });
    setBusy(true);
    await options.onTheirs().catch(setError);
    setBusy(false);
  };
  const cancel = (): void => setStep({ at: 'idle' });
  return {
    begin: () => void attempt({ dryRun: true, discardState: false, etag: options.etag }),
    busy,
    error,
    forget: () => setError(undefined),
    dialog: (
      <>
        <Affects
          step={step}
          busy={busy}
          onCancel={cancel}
          onGo={(how) => void attempt({ ...how, dryRun: false })}
        />
        <Loses
          step={step}
          busy={busy}
          onCancel={cancel}
          onGo={(how) => void attempt({ ...how, dryRun: true, discardState: true })}
        />
        <Conflict
          step={step}
          busy={busy}
          mine={options.mine}
          onCancel={cancel}
          onTheirs={() => void takeTheirs()}
          onMine={(etag) => void attempt({ dryRun: true, discardState: false, etag })}
        />
      </>
    ),
  };
}

interface AskProps {
  step: Step;
  busy: boolean;
  onCancel(): void;
}

function Affects({ step, busy, onCancel, onGo }: AskProps & { onGo(how: How): void }): ReactNode {
  if (step.at !== 'affects') return null;
  const { affected, how } = step;
  return (
    <Modal opened onClose={onCancel} title="Running pipelines adopt this change" size="lg">
      <Stack>
        <Text size="sm">
          Each of these pipelines first finishes its messages in flight. Then it goes on with the new
          definition. A permanent error, such as a refused login, takes it back to the one before.
        </Text>
        {how.discardState && (
          <Alert color="red" title="Open windows are lost">
            Rows of open windows and of aggregates are discarded.
          </Alert>
        )}
        <AffectedPipelines affected={affected} />
        <DialogButtons
          action={how.discardState ? 'Save and discard state' : 'Save'}
          color={how.discardState ? 'red' : undefined}
          busy={busy}
          onCancel={onCancel}
          onConfirm={() => onGo(how)}
        />
      </Stack>
    </Modal>
  );
}

/** Maximum number of pipelines whose state is shown. */
const maxStates = 20;
const maxShown = 200;

/** Pipelines with links; the states of the first ones. */
function AffectedPipelines({ affected }: { affected: readonly Affected[] }): ReactNode {
  return (
    <List size="sm" spacing={4} aria-label="Affected pipelines" mah="40vh" style={{ overflow: 'auto' }}>
      {affected.slice(0, maxShown).map(({ id, name }, index) => (
        <List.Item key={id}>
          <Group gap="xs">
            <Anchor component={Link} to="/pipelines/$id" params={{ id } as never} size="sm">
              <Name>{name}</Name>
            </Anchor>
            {index < maxStates && <StateOf id={id} />}
          </Group>
        </List.Item>
      ))}
      {affected.length > maxShown && <List.Item>and {affected.length - maxShown} more</List.Item>}
    </List>
  );
}

function StateOf({ id }: { id: string }): ReactNode {
  const { data } = useQuery({
    queryKey: ['pipeline-jobs', id],
    queryFn: () => call('listPipelineJobs', { params: { id } }),
  });
  const state = data?.data[0]?.state;
  return state === undefined ? null : <JobState state={state} />;
}

function Loses({ step, busy, onCancel, onGo }: AskProps & { onGo(how: How): void }): ReactNode {
  if (step.at !== 'loses') return null;
  return (
    <Modal opened onClose={onCancel} title="This change would lose state" size="lg">
      <Stack>
        <Problem error={step.error} title="The state of these pipelines does not fit the change" />
        <Text size="sm">
          The state holds the rows of open windows and of aggregates. If you discard it, these rows are lost.
          The pipelines begin anew with the messages that come next.
        </Text>
        <DialogButtons
          action="Discard the state and save"
          color="red"
          cancel="Keep the state, do not save"
          busy={busy}
          onCancel={onCancel}
          onConfirm={() => onGo(step.how)}
        />
      </Stack>
    </Modal>
  );
}

interface ConflictProps extends AskProps {
  mine(): unknown;
  onTheirs(): void;
  onMine(etag: string | undefined): void;
}

function Conflict({ step, busy, mine, onCancel, onTheirs, onMine }: ConflictProps): ReactNode {
  if (step.at !== 'conflict') return null;
  return (
    <Modal opened onClose={onCancel} title="Somebody else has changed this" size="80rem">
      <Stack>
        <Text size="sm">
          The stored version is newer than the one you began with. Compare both, then choose which one stays.
        </Text>
        <Diff
          before={prettyValue(step.body)}
          after={prettyValue(mine())}
          labels={['Stored now (theirs)', 'Yours']}
        />
        <Group justify="flex-end">
          <Button variant="default" onClick={onCancel}>
            Go on editing
          </Button>
          <Button variant="default" onClick={onTheirs}>
            Take theirs
          </Button>
          <Button loading={busy} onClick={() => onMine(step.etag)}>
            Save mine over it
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
