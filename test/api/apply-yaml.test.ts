import { beforeAll, describe, expect, test } from 'vitest';
import { type Service, startService } from '../support/service.ts';

describe('a bundle in YAML', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  });
  const send = (text: string, path = '/api/v1/apply?dry_run=true') =>
    service.request.post(path).set('content-type', 'application/yaml').send(text);

  test('is read with anchors and texts of several lines', async () => {
    const { status, body } = await send(`
connection_profiles:
  - &base
    name: a
    connector: mqtt
    config: &config { url: mqtt://127.0.0.1:1 }
  - { name: b, connector: mqtt, config: *config }
pipelines:
  - name: p
    parallelism: 1
    query: |
      CREATE TABLE x (v TEXT) WITH (connector = 'mqtt', connection_profile = 'a', topic = 'x', type = 'source', format = 'json');
      CREATE TABLE y (v TEXT) WITH (connector = 'mqtt', connection_profile = 'b', topic = 'y', type = 'sink', format = 'json');
      INSERT INTO y SELECT v FROM x;
`);
    expect(status, JSON.stringify(body)).toBe(200);
    expect(body.summary.created).toBe(3);
  });

  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...[...'bcdefghi'].map((name, i) => `${name}: &${name} [${`*${'abcdefgh'[i]},`.repeat(9)}]`),
  ].join('\n');
  const large = `big: &big "${'x'.repeat(200_000)}"\nlist: [${'*big, '.repeat(6)}]`;
  const tooDeep = /it is nested more than 100 levels deep$/;
  const indented = (levels: number) =>
    Array.from({ length: levels }, (_, level) => `${' '.repeat(level)}a:`).join('\n');
  const keys = Array.from({ length: 20_000 }, (_, i) => `k${i}: 1`).join('\n');

  test.each([
    ['an alias bomb', bomb, /alias/],
    ['a large text by reference', large, /1 MiB/],
    ['a cycle', 'a: &a [*a]', /nested|alias|anchor/i],
    ['deep lists', '['.repeat(50_000), tooDeep],
    ['deep lists that are closed', `${'['.repeat(200)}${']'.repeat(200)}`, tooDeep],
    ['deep mappings', '{a: '.repeat(20_000), tooDeep],
    ['deep lists in lines', '- '.repeat(30_000), tooDeep],
    ['deep keys', '? '.repeat(30_000), tooDeep],
    ['deep mappings in lines', indented(300), tooDeep],
    ['one level too many', `${'['.repeat(101)}${']'.repeat(101)}`, tooDeep],
    ['many anchors', '&a '.repeat(80_000), /anchor/],
    ['many mistakes', `[${','.repeat(200_000)}]`, /line 1, column 3/],
    ['a tag', 'a: !!js/function "x"', /tag/i],
    ['a tag of its own', 'a: !secret x', /tag/i],
    ['binary', 'a: !!binary aGVsbG8=', /tag/i],
    ['two documents', 'a: 1\n---\nb: 2', /document/],
    ['a key twice', 'pipelines: []\npipelines: []', /duplicate/],
    ['a prototype', '__proto__: { prune: 1 }', /__proto__/],
    ['no number', 'a: .nan', /number/],
    ['an unclosed quote', 'a: "x', /quote/],
    ['many keys', keys, /not a known field/],
  ])('refuses %s', async (_what, text, detail) => {
    const { status, body } = await send(text);
    expect([status, body.code], JSON.stringify(body).slice(0, 500)).toEqual([400, 'invalid_request']);
    expect(body.detail).toMatch(detail);
  });

  test('is bounded in size, and read by apply only', async () => {
    expect((await send(`# ${'x'.repeat(1024 * 1024)}`)).status).toBe(413);
    const most = 256 * 1024;
    expect((await send(`pipelines: []\n#${'x'.repeat(most - 15)}`)).status).toBe(200);
    const { status, body } = await send(`pipelines: []\n#${'x'.repeat(most - 14)}`);
    expect([status, body.code]).toEqual([413, 'payload_too_large']);
    expect(body.hint).toMatch(/JSON/);
    expect((await send('name: a', '/api/v1/connection_profiles')).status).toBe(415);
    expect((await send('')).status).toBe(400);
  });
});
