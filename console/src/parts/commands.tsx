import { Button, Code, Drawer, Stack, Tabs, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useCaller } from '../api/caller.tsx';
import { base, call } from '../api/client.ts';
import { Loaded } from './parts.tsx';
import { download, LongText, visible } from './text.tsx';

/** The actions of a page as commands: curl, a bundle for `penstock apply`, and SQL. Loaded by automate.tsx. */

export interface Call {
  /** As in `Stop the pipeline`. */
  title: string;
  method: string;
  /** Path with its query, from `/api/v1` on. */
  path: string;
  body?: unknown;
  /** A file that is the body, in place of `body`. */
  file?: { name: string; type: string };
  stream?: boolean;
}

/** `'it'\''s'`: a word for a POSIX shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** The command; the key is taken from the environment, never from this tab. */
function curlOf({ method, path, body, file, stream }: Call, withKey: boolean): string {
  const parts = [
    `curl -sS${stream ? 'N' : ''}${method === 'GET' ? '' : ` -X ${method}`} ${quoted(base + path)}`,
  ];
  if (withKey) parts.push('-H "authorization: Bearer $PENSTOCK_KEY"');
  if (stream) parts.push("-H 'accept: text/event-stream'");
  if (body !== undefined)
    parts.push("-H 'content-type: application/json'", `-d ${quoted(JSON.stringify(body, null, 2))}`);
  if (file)
    parts.push(`-H ${quoted(`content-type: ${file.type}`)}`, `--data-binary ${quoted(`@${file.name}`)}`);
  return parts.join(' \\\n  ');
}

interface ShownObject {
  kind: 'connection_profiles' | 'connection_tables' | 'pipelines';
  name: string;
  id: string;
}

export interface CommandsProps {
  calls: readonly Call[];
  /** The object that the page shows. */
  object?: ShownObject | undefined;
  /** SQL that defines it, if it is at hand. */
  sql?: string | undefined;
}

const fileName = 'penstock.yaml';

export function Commands({ calls, object, sql, opened, onClose }: CommandsProps & DrawerProps): ReactNode {
  const { keysRequired } = useCaller();
  const hasSql = sql !== undefined || object?.kind === 'connection_tables';
  return (
    <Drawer opened={opened} onClose={onClose} position="right" size="xl" title="The same from a script">
      <Tabs defaultValue="curl" keepMounted={false}>
        <Tabs.List>
          <Tabs.Tab value="curl">curl</Tabs.Tab>
          {object && <Tabs.Tab value="bundle">Bundle</Tabs.Tab>}
          {hasSql && <Tabs.Tab value="sql">SQL</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="curl" pt="md">
          <Stack>
            {keysRequired && (
              <Text size="sm" c="dimmed">
                Put your API key into the variable <Code>PENSTOCK_KEY</Code>.
              </Text>
            )}
            {calls.map((one) => (
              <div key={one.title}>
                <Text fw={600}>{one.title}</Text>
                <LongText text={curlOf(one, keysRequired)} label={`${one.title} with curl`} />
              </div>
            ))}
          </Stack>
        </Tabs.Panel>
        {object && (
          <Tabs.Panel value="bundle" pt="md">
            <Bundle {...object} />
          </Tabs.Panel>
        )}
        {hasSql && (
          <Tabs.Panel value="sql" pt="md">
            {sql !== undefined ? <LongText text={sql} label="SQL" /> : object && <TableSql id={object.id} />}
          </Tabs.Panel>
        )}
      </Tabs>
    </Drawer>
  );
}
interface DrawerProps {
  opened: boolean;
  onClose(): void;
}

function Bundle({ kind, name }: Pick<ShownObject, 'kind' | 'name'>): ReactNode {
  const query = useQuery({
    queryKey: ['export', kind, name],
    queryFn: async () => String(await call('export', { query: { format: 'yaml', kind, name } })),
  });
  return (
    <Stack>
      <Text size="sm">
        It holds this object and the profiles and tables that it needs. Secrets are masked. Apply it with{' '}
        <Code>penstock apply -f {fileName}</Code>, or on the page “Bundles”.
      </Text>
      <Loaded query={query}>
        {(text) => (
          <div>
            <Button variant="default" onClick={() => download(fileName, text)}>
              Download {fileName}
            </Button>
            <LongText text={text} label="Bundle" />
          </div>
        )}
      </Loaded>
    </Stack>
  );
}

function TableSql({ id }: { id: string }): ReactNode {
  const query = useQuery({
    queryKey: ['table-sql', id],
    queryFn: () => call('getConnectionTableSql', { params: { id } }),
  });
  return (
    <Loaded query={query}>
      {({ sql, notes }) => (
        <Stack>
          <Text size="sm">Put it before a query, and the query needs no stored table.</Text>
          {notes.map((note) => (
            <Text key={note} size="sm">
              {visible(note)}
            </Text>
          ))}
          <LongText text={sql} label="SQL" />
        </Stack>
      )}
    </Loaded>
  );
}
