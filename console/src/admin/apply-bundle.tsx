import { Alert, Button, Code, FileButton, Group, Stack, Text, TextInput } from '@mantine/core';
import { IconCheck, IconFileUpload } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { applyText, Refused, unchanging } from '../api/client.ts';
import { Automate } from '../parts/automate.tsx';
import { Editor } from '../parts/lazy.tsx';
import { Problem } from '../parts/parts.tsx';
import { parseExact, visible } from '../parts/text.tsx';
import { bytesOf, notationOf, placesOf, tooLarge, withPrune } from './bundle-text.ts';
import { type Applied, Plan } from './plan.tsx';

/** A bundle from a file or typed, its plan, and its result. */

interface Wanted {
  text: string;
  discard: boolean;
  /** Hash of the plan to apply; undefined makes a plan. */
  plan?: string;
}

async function send({ text, discard, plan }: Wanted): Promise<Applied> {
  const notation = notationOf(text);
  const refusal = tooLarge(bytesOf(text), notation);
  if (refusal !== undefined) throw new Error(refusal);
  const query = {
    ...(plan === undefined ? { dry_run: true } : { plan }),
    ...(discard && { state: 'discard' as const }),
  };
  return parseExact<Applied>(await applyText(text, notation, query));
}

const codeOf = (error: unknown): string | undefined =>
  error instanceof Refused ? error.problem.code : undefined;

export function ApplyBundle(): ReactNode {
  const [text, setText] = useState('');
  const client = useQueryClient();
  const made = useMutation({ mutationFn: send });
  const applied = useMutation({ mutationFn: send, onSuccess: () => client.invalidateQueries() });
  const change = (next: string): void => {
    setText(next);
    made.reset();
    applied.reset();
  };
  const makePlan = (discard: boolean): void => {
    applied.reset();
    made.mutate({ text, discard });
  };
  const discard = made.variables?.discard ?? false;
  return (
    <Stack>
      <Source text={text} onText={change} />
      <Group>
        <Button onClick={() => makePlan(false)} loading={made.isPending} disabled={text.trim() === ''}>
          Make the plan
        </Button>
        <Automate calls={callsOf(notationOf(text))} />
        <Text size="sm" c="dimmed">
          A plan changes nothing. It shows what would happen.
        </Text>
      </Group>
      <PlanError error={made.error} text={text} onDiscard={() => makePlan(true)} />
      {made.data && !applied.data && (
        <Planned
          plan={made.data}
          discard={discard}
          busy={applied.isPending}
          error={applied.error}
          onApply={(plan) => applied.mutate({ text, discard, plan })}
          onPlan={() => makePlan(discard)}
        />
      )}
      {applied.data && (
        <section aria-label="Result">
          <Alert color="teal" icon={<IconCheck />} title="Applied" variant="light" role="status" mb="md">
            All changes are made. Running pipelines take them over one after the other.
          </Alert>
          <Plan plan={applied.data} />
        </section>
      )}
    </Stack>
  );
}

const callsOf = (type: string) => {
  const file = { name: `bundle.${type === 'application/json' ? 'json' : 'yaml'}`, type };
  return [
    { title: 'Make the plan', method: 'POST', path: '/api/v1/apply?dry_run=true', file },
    { title: 'Apply it', method: 'POST', path: '/api/v1/apply?plan=HASH_OF_THE_PLAN', file },
  ];
};

function Source({ text, onText }: { text: string; onText(text: string): void }): ReactNode {
  const [problem, setProblem] = useState<unknown>();
  const [selector, setSelector] = useState('');
  const open = (file: File | null): void => {
    if (file === null) return;
    // A larger file need not be read.
    const refusal = tooLarge(file.size, /\.json$/i.test(file.name) ? 'application/json' : 'application/yaml');
    setProblem(refusal === undefined ? undefined : new Error(refusal));
    if (refusal === undefined) file.text().then(onText, setProblem);
  };
  const prune = (): void => {
    withPrune(text, selector.trim()).then((next) => {
      setProblem(undefined);
      onText(next);
    }, setProblem);
  };
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Text fw={600}>Bundle, in YAML or JSON</Text>
        <FileButton onChange={open} accept=".yaml,.yml,.json,application/yaml,application/json">
          {(props) => (
            <Button {...props} variant="default" leftSection={<IconFileUpload size={16} />}>
              Open a file
            </Button>
          )}
        </FileButton>
      </Group>
      <div style={{ maxHeight: '28rem', overflow: 'auto' }}>
        <Editor value={text} onChange={onText} label="Bundle" />
      </div>
      <Group align="flex-end" gap="xs">
        <TextInput
          label="Delete what the bundle no longer names"
          description="Objects with these labels that are not in the bundle. Empty deletes nothing."
          placeholder="app=overheating"
          value={selector}
          onChange={({ currentTarget }) => setSelector(currentTarget.value)}
          maxLength={1000}
          w={420}
          maw="100%"
        />
        <Button variant="default" onClick={prune} disabled={text.trim() === ''}>
          Write it into the bundle
        </Button>
      </Group>
      <Problem error={problem} title="The bundle cannot be used" />
    </Stack>
  );
}

/** Why there is no plan, with the places in the text. */
function PlanError({ error, text, onDiscard }: PlanErrorProps): ReactNode {
  const pointers = error instanceof Refused ? error.problem.errors.map(({ path }) => path) : [];
  const places = useQuery({
    queryKey: ['bundle-places', text, pointers],
    queryFn: () => placesOf(text, pointers),
    enabled: pointers.length > 0,
    ...unchanging,
    gcTime: 0,
  });
  if (!error) return null;
  return (
    <Stack gap="xs">
      <Problem error={error} {...(!(error instanceof Refused) && { title: 'There is no plan' })} />
      {[...(places.data ?? [])].slice(0, 20).map(([path, { line, excerpt }]) => (
        <div key={path}>
          <Text size="sm">
            Line {line}: <Code>{visible(path)}</Code>
          </Text>
          <Code block>{excerpt}</Code>
        </div>
      ))}
      {codeOf(error) === 'state_would_be_lost' && (
        <Alert color="yellow" title="Open windows or aggregates would be lost" variant="light">
          <Stack gap="xs" align="flex-start">
            <Text size="sm">
              The new query cannot go on with what the old one has kept. You can discard it: rows of open
              windows then give no results, and the new query begins empty.
            </Text>
            <Button color="red" variant="light" onClick={onDiscard}>
              Plan it and discard the state
            </Button>
          </Stack>
        </Alert>
      )}
    </Stack>
  );
}
interface PlanErrorProps {
  error: unknown;
  text: string;
  onDiscard(): void;
}

function Planned({ plan, discard, busy, error, onApply, onPlan }: PlannedProps): ReactNode {
  const { created, updated, deleted } = plan.summary;
  const stale = codeOf(error) === 'plan_stale';
  return (
    <Stack component="section" aria-label="Plan">
      <Plan plan={plan} />
      {discard && <Alert color="red" title="The state of changed queries is discarded" variant="light" />}
      <Problem error={error} {...(stale && { title: 'The plan is out of date' })} />
      {stale && (
        <Text size="sm">
          Somebody changed one of these objects after the plan was made, so nothing was applied. Make the plan
          again, read it, and apply that one.
        </Text>
      )}
      <Group>
        {stale ? (
          <Button onClick={onPlan}>Make the plan again</Button>
        ) : (
          <Button
            color={deleted > 0 || discard ? 'red' : undefined}
            onClick={() => onApply(plan.plan)}
            loading={busy}
            disabled={created + updated + deleted === 0}
          >
            {deleted > 0 ? `Apply this plan and delete ${deleted}` : 'Apply this plan'}
          </Button>
        )}
        <Text size="xs" c="dimmed">
          plan {plan.plan.slice(0, 12)}…
        </Text>
      </Group>
    </Stack>
  );
}
interface PlannedProps {
  plan: Applied;
  discard: boolean;
  busy: boolean;
  error: unknown;
  onApply(plan: string): void;
  onPlan(): void;
}
