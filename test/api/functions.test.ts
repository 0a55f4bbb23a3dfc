import { expect, test } from 'vitest';
import { startService } from '../support/service.ts';

const tables = `CREATE TABLE src (s TEXT, n BIGINT, j JSON, l BIGINT[]) WITH (connector = 'mqtt', url = 'mqtt://127.0.0.1:1',
  topic = 'a', type = 'source', format = 'json');
CREATE TABLE snk WITH (connector = 'mqtt', url = 'mqtt://127.0.0.1:1', topic = 'b', type = 'sink', format = 'json');
INSERT INTO snk SELECT `;

test('functions are listed with their kind and arguments, and queries may call them', async () => {
  const { request } = await startService();
  const { body } = await request.get('/api/v1/functions').expect(200);
  const listed = new Map((body.data as { name: string; kind: string }[]).map((one) => [one.name, one]));
  expect(listed.get('starts_with')).toEqual({
    name: 'starts_with',
    kind: 'scalar',
    signatures: ['starts_with(string VARCHAR, search_string VARCHAR)'],
    description: expect.stringContaining('begins with'),
  });
  const calls: [string, string, string][] = [
    ['scalar', 'upper', 'upper(s) AS v FROM src'],
    ['scalar', 'round', 'round(n / 3, 2) AS v FROM src'],
    ['scalar', 'coalesce', "coalesce(s, '') AS v FROM src"],
    ['scalar', 'json_get_str', "json_get_str(j, 'a', 'b') AS v FROM src"],
    ['scalar', 'list_sum', 'CAST(list_sum(l) AS BIGINT) AS v FROM src'],
    ['scalar', 'unnest', 'unnest(l) AS v FROM src'],
    ['scalar', 'try', 'try(CAST(s AS INTEGER)) AS v FROM src'],
    ['aggregate', 'avg', "avg(n) AS v FROM src GROUP BY tumble(INTERVAL '1 minute')"],
    ['aggregate', 'geometric_mean', "geometric_mean(n) AS v FROM src GROUP BY tumble(INTERVAL '1 minute')"],
    ['window', 'hop', "count(*) AS v FROM src GROUP BY hop(INTERVAL '1 minute', INTERVAL '2 minutes')"],
    [
      'window',
      'row_number',
      `v FROM (SELECT v, row_number() OVER (PARTITION BY w ORDER BY v) AS r
        FROM (SELECT s AS v, tumble(INTERVAL '1 minute') AS w FROM src GROUP BY s, w)) WHERE r < 3`,
    ],
  ];
  for (const [kind, name, call] of calls) {
    expect(listed.get(name)?.kind, name).toBe(kind);
    const { body: checked } = await request
      .post('/api/v1/pipelines/validate_query')
      .send({ query: `${tables}${call};` })
      .expect(200);
    expect(checked.errors, name).toEqual([]);
  }
  expect(listed.has('getenv')).toBe(false);
});
