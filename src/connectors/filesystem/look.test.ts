import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, expect, test } from 'vitest';
import { EventReader } from '../../../test/support/events.ts';
import { fileFolder } from '../../../test/support/files.ts';
import { created } from '../../../test/support/resources.ts';
import { type Service, startService } from '../../../test/support/service.ts';

/** Looks at files through the API: inference, tail, test and autocomplete. Nothing reads them for good. */

const folder = fileFolder();
let service: Service;
beforeAll(async () => {
  service = await startService({ fileDir: folder });
  for (const name of ['json', 'csv/deep', '.hidden', 'packed', 'empty'])
    mkdirSync(join(folder, name), { recursive: true });
  const lines = Array.from({ length: 12 }, (_, n) => `{"n":${n},"site":"north"}\n`);
  writeFileSync(join(folder, 'json/a.json'), lines.slice(0, 6).join(''));
  writeFileSync(join(folder, 'json/b.json'), lines.slice(6).join(''));
  writeFileSync(join(folder, 'packed/a.json.gz'), gzipSync(lines.join('')));
  writeFileSync(
    join(folder, 'csv/deep/a.csv'),
    `n,site\n${Array.from({ length: 12 }, (_, n) => `${n},"a\nb"\n`).join('')}`,
  );
});

const source = (path: string, more: object = {}) => ({ table_type: { type: 'source', path, ...more } });

async function infer(body: object) {
  const sent = { connector: 'filesystem', messages: 12, timeout_ms: 60_000, ...body };
  const response = await service.request.post('/api/v1/connection_tables/infer_schema').send(sent);
  expect([response.status, response.status === 200 ? '' : response.text]).toEqual([200, '']);
  return response.body;
}

const kinds = ({ schema }: { schema: { fields: { name: string; type: string }[] } }) =>
  schema.fields.map(({ name, type }) => `${name} ${type}`);

test.each([
  ['filesystem', source('json')],
  ['filesystem', source('packed', { compression_format: 'gzip' })],
  ['single_file', { path: 'json/a.json', table_type: 'source' }],
])('the schema of files is inferred: %s %j', async (connector, config) => {
  const inferred = await infer({ connector, config, messages: 6 });
  expect([inferred.messages, kinds(inferred)]).toEqual([6, ['n int64', 'site string']]);
});

test('the schema of csv with a header is inferred', async () => {
  const headed = await infer({ config: source('csv'), format: { type: 'csv', header: true } });
  expect([headed.messages, kinds(headed)]).toEqual([12, ['n int64', 'site string']]);
  expect(headed.preview[0]).toMatchObject({ row: { n: 0, site: 'a\nb' }, metadata: { line: 2 } });
  await created(service.request, '/connection_tables', {
    name: 'c',
    connector: 'filesystem',
    config: source('csv'),
    schema: headed.schema,
  });
});

test('fewer records than asked for are enough once all files are read', async () => {
  const inferred = await infer({ config: source('json'), messages: 1000, timeout_ms: 60_000 });
  expect(inferred.messages).toBe(12);
  expect(inferred.elapsed_ms).toBeLessThan(60_000);
  const none = { connector: 'filesystem', config: source('empty') };
  const refused = await service.request.post('/api/v1/connection_tables/infer_schema').send(none);
  expect(refused.body).toMatchObject({ code: 'file_not_found' });
});

test('a tail shows the rows from the beginning, with their places', async () => {
  const fields = [
    { name: 'n', type: 'int64' },
    { name: 'path', type: 'string', metadata_key: 'path' },
    { name: 'line', type: 'int64', metadata_key: 'line' },
  ];
  const { id } = await created(service.request, '/connection_tables', {
    name: 'files',
    connector: 'filesystem',
    config: source('json'),
    schema: { format: { type: 'json' }, fields },
  });
  const tail = new EventReader(`${service.address}/api/v1/connection_tables/${id}/tail?seconds=30&rows=8`);
  await tail.last();
  const rows = tail.events.flatMap(({ row }) => (row ? [row] : []));
  expect(rows.length).toBe(8);
  expect(rows.at(-1)).toEqual({ n: 7, path: 'b.json', line: 2 });
});

test('the folders of the operator are offered', async () => {
  const profile = { name: 'files', connector: 'filesystem', config: {} };
  const { id } = await created(service.request, '/connection_profiles', profile);
  const { body } = await service.request.get(`/api/v1/connection_profiles/${id}/autocomplete`).expect(200);
  expect(body.values).toEqual({ path: ['csv', 'empty', 'json', 'packed', 'csv/deep'] });
});
