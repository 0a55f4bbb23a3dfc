import { expect, test } from 'vitest';
import { execute } from '../../../test/support/databases.ts';
import { allDeadLetters } from '../../../test/support/dead-letters.ts';
import { emptyDatabase } from '../../../test/support/postgres-sink.ts';
import { created } from '../../../test/support/resources.ts';
import { useRig } from '../../../test/support/rig.ts';
import { until } from '../../../test/support/until.ts';

const rig = useRig({ broker: { config: ['max_queued_messages 0'], quiet: true }, service: { worker: true } });

/** Each row in three of a hundred is bad in another way. */
const total = 500;
const oddities: Record<number, object> = { 7: { text: 'bad' }, 42: { text: 'a\0b' }, 77: { size: 2 ** 40 } };
const messages = Array.from({ length: total }, (_, seq) =>
  JSON.stringify({ seq, text: 'ok', size: seq, ...oddities[seq % 100] }),
);

test('one row in a hundred violates a constraint, one has a NUL, one is out of range: all are accounted for', async () => {
  const { url } = await emptyDatabase();
  const query = (table: string, options: string) => `
    CREATE TABLE input (seq BIGINT NOT NULL, text TEXT, size BIGINT) WITH (connector = 'mqtt', url = '${rig.broker.url}',
      topic = 'in', type = 'source', qos = 'AtLeastOnce', format = 'json');
    CREATE TABLE output (seq BIGINT, text TEXT, size BIGINT) WITH (connector = 'postgres', url = '${url}', tls.mode = 'disable',
      table = '${table}', ${options}, bad_data = 'dead_letter');
    INSERT INTO output SELECT seq, text, size FROM input`;
  const modes = { appended: `mode = 'append'`, upserted: `mode = 'upsert', key = 'seq'` };
  const pipelines = new Map<string, string>();
  for (const [table, options] of Object.entries(modes)) {
    await execute(
      url,
      `CREATE TABLE ${table} (seq bigint PRIMARY KEY, text text CHECK (text <> 'bad'), size int)`,
    );
    pipelines.set(table, await rig.run(query(table, options), table));
  }
  await Promise.all(messages.map((message) => rig.client.publishAsync('in', message, { qos: 1 })));
  for (const [table, pipeline] of pipelines) {
    const rows = () => execute(url, `SELECT seq::int FROM ${table} ORDER BY seq`);
    await until('the good rows', async () => (await rows()).length === total * 0.97);
    expect((await rows()).some(({ seq }) => Number(seq) % 100 in oddities)).toBe(false);
    await until(
      'the bad rows',
      async () => (await allDeadLetters(rig.request, pipeline)).length === total * 0.03,
    );
    const codes = (await allDeadLetters(rig.request, pipeline)).map(({ code }) => code).sort();
    expect(codes).toEqual([
      ...Array(total * 0.02).fill('bad_row'),
      ...Array(total * 0.01).fill('postgres_row_refused'),
    ]);
  }
});

test('the API shows that upserts are idempotent, keeps the password, and tests the table', async () => {
  const { body } = await rig.request.get('/api/v1/connectors/postgres');
  expect(body).toMatchObject({ id: 'postgres', sink: true, source: false, testing: true });
  expect(JSON.stringify(body)).toContain('mode is upsert');
  const { url } = await emptyDatabase();
  const config = { url, password: 'geheim', tls: { mode: 'disable' } };
  const profile = await created(rig.request, '/connection_profiles', {
    name: 'db',
    connector: 'postgres',
    config,
  });
  expect(JSON.stringify(profile)).not.toContain('geheim');
  const table = {
    name: 't',
    connector: 'postgres',
    connection_profile_id: profile.id,
    config: { table: 'missing' },
    schema: { fields: [{ name: 'id', type: 'int64' }] },
  };
  const tested = await rig.request
    .post('/api/v1/connection_tables/test')
    .set('accept', 'application/json')
    .send(table)
    .expect(200);
  expect(JSON.stringify(tested.body)).toContain('CREATE TABLE IF NOT EXISTS');
  const { body: offered } = await rig.request.get(`/api/v1/connection_profiles/${profile.id}/autocomplete`);
  expect(offered).toMatchObject({ values: { table: [] } });
});
