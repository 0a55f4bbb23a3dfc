import { Button, Code, Drawer, Stack, Tabs, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconTerminal2 } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useCaller } from '../api/caller.tsx';
import { base, call } from '../api/client.ts';
import { Loaded } from './parts.tsx';
import { download, LongText, visible } from './text.tsx';

/** The actions of a page as commands: curl, a bundle for `penstock apply`, and SQL. */

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

interface AutomateProps {
  calls: readonly Call[];
  /** The object that the page shows. */
  object?: ShownObject;
  /** SQL that defines it, if it is at hand. */
  sql?: string;
  /** Text of the button. Default `Automate`. */
  label?: string;
}

const fileName = 'penstock.yaml';

/** A button that opens the commands of this page. */
export function Automate({ calls, object, sql, label = 'Automate' }: AutomateProps): ReactNode {
  const [open, { open: show, close }] = useDisclosure(false);
  const { keysRequired } = useCaller();
  const hasSql = sql !== undefined || object?.kind === 'connection_tables';
  return (
    <>
      <Button variant="default" leftSection={<IconTerminal2 size={16} />} onClick={show}>
        {label}
      </Button>
      <Drawer opened={open} onClose={close} position="right" size="xl" title="The same from a script">
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
              {sql !== undefined ? (
                <LongText text={sql} label="SQL" />
              ) : (
                object && <TableSql id={object.id} />
              )}
            </Tabs.Panel>
          )}
        </Tabs>
      </Drawer>
    </>
  );
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
