import { describe, expect, test } from 'vitest';
import { atEnd } from '../../../../test/support/at-end.ts';
import { runContext } from '../../../../test/support/connector-conformance/subject.ts';
import { Nats, natsMissing, textsIn } from '../../../../test/support/nats.ts';
import { skipping } from '../../../../test/support/skipping.ts';
import { until } from '../../../../test/support/until.ts';
import type { Outgoing, RunContext } from '../../connector.ts';
import type { NatsProfile } from '../config/profile.ts';
import type { CoreSink, JetStreamSink, NatsTable } from '../config/table.ts';
import { nats } from '../index.ts';
import { openSink } from './sink.ts';

type Context = RunContext<NatsProfile, NatsTable>;

const permissions = '{ publish: { deny: ["*.secret", "core.secret"] } }';
const server =
  natsMissing === undefined
    ? await Nats.start(
        {
          config: [
            `authorization { users = [ { user: a, password: a }, { user: b, password: b, permissions: ${permissions} },`,
            '{ user: c, password: c, permissions: { publish: { deny: ["$JS.API.STREAM.INFO.>"] } } } ] }',
          ],
        },
        { user: 'a', pass: 'a' },
      )
    : (undefined as unknown as Nats);
const client = natsMissing === undefined ? await server.client() : (undefined as never);
const manager = natsMissing === undefined ? await server.manager() : (undefined as never);
let made = 0;

function contextOf(sinkType: CoreSink | JetStreamSink, username = 'a'): Context {
  return {
    ...(runContext({ connectorType: { sinkType } }) as Context),
    profile: { servers: server.url, authentication: { username, password: username } },
  };
}

async function streamSink(config: object, sink: Partial<JetStreamSink> = {}, username = 'a') {
  made += 1;
  const name = `K${made}`;
  await server.stream(name, config);
  const open = async () => {
    const opened = await openSink(
      contextOf({ stream: name, subject: `${name}.a`, ...sink }, username),
      30_000,
    );
    atEnd(() => opened.close());
    return opened;
  };
  return { name, open };
}

const rows = (...some: Record<string, unknown>[]): Outgoing[] =>
  some.map((row, index) => ({ payload: Buffer.from(`m${index}`), row: row as Outgoing['row'] }));
const codes = (refusals: readonly { index: number; error: { code: string } }[]) =>
  refusals.map(({ index, error }) => `${index} ${error.code}`);

describe.skipIf(natsMissing)(skipping('a sink to a stream', natsMissing), () => {
  test('sends headers and the message ID, by which the stream drops what it has', async () => {
    const { name, open } = await streamSink(
      {},
      { messageId: '{{ id }}', headers: { 'X-Device': '{{ device }}', fixed: 'y' } },
    );
    const sink = await open();
    expect(await sink.write(rows({ id: 1, device: 'a' }, { id: 2, device: null }))).toEqual([]);
    expect(await sink.write(rows({ id: 1, device: 'a' }))).toEqual([]);
    expect(codes(await sink.write(rows({ id: null }, { id: 3, device: 'a\nb' })))).toEqual([
      '0 bad_row',
      '1 bad_row',
    ]);
    expect(await textsIn(client, name)).toEqual(['m0', 'm1']);
    const found = await manager.streams.getMessage(name, { seq: 1 });
    expect([
      found?.header.get('X-Device'),
      found?.header.get('fixed'),
      found?.header.get('Nats-Msg-Id'),
    ]).toEqual(['a', 'y', '1']);
    expect((await manager.streams.getMessage(name, { seq: 2 }))?.header.has('X-Device')).toBe(false);
  });

  test('makes subjects of columns, and refuses what is none or is not in the stream', async () => {
    made += 1;
    const name = `K${made}`;
    await server.stream(name, { subjects: [`${name}.a.*`] });
    const sink = await openSink(contextOf({ stream: name, subject: `${name}.{{ x }}` }));
    const refusals = await sink.write(
      rows({ x: 'a.b' }, { x: 'a.*' }, { x: 'a b' }, { x: '' }, { x: null }, { x: 'other' }, { x: 'a.c' }),
    );
    expect(codes(refusals)).toEqual([
      ...[1, 2, 3, 4].map((index) => `${index} bad_row`),
      '5 nats_subject_uncovered',
    ]);
    expect(await textsIn(client, name)).toEqual(['m0', 'm6']);
    await sink.close();
  });

  test('refuses what is too large for the stream', async () => {
    const { name, open } = await streamSink({ max_msg_size: 300 });
    const sink = await open();
    const large = { payload: Buffer.alloc(400), row: {} };
    expect(codes(await sink.write([...rows({}), large, ...rows({})]))).toEqual(['1 nats_message_too_large']);
    expect(await textsIn(client, name)).toEqual(['m0', 'm0']);
  });

  test('fails for a while at a stream that is full', async () => {
    const { name, open } = await streamSink({ max_msgs: 2, discard: 'new' });
    const sink = await open();
    await expect(sink.write(rows({}, {}, {}))).rejects.toMatchObject({
      code: 'nats_stream_full',
      passing: true,
    });
    await expect(sink.write(rows({}))).rejects.toMatchObject({ code: 'nats_stream_full' });
    await manager.streams.purge(name);
    expect(await (await open()).write(rows({}))).toEqual([]);
  });

  test('refuses what the user may not publish', async () => {
    const { name, open } = await streamSink({}, {}, 'b');
    expect(await (await open()).write(rows({}))).toEqual([]);
    const sink = await openSink(contextOf({ stream: name, subject: `${name}.{{ x }}` }, 'b'), 30_000);
    expect(codes(await sink.write(rows({ x: 'a' }, { x: 'secret' }, { x: 'b' })))).toEqual([
      '1 nats_forbidden',
    ]);
    await sink.close();
  });

  test('fails for a while when nothing responds and the user may not ask for the stream', async () => {
    const { name } = await streamSink({});
    const sink = await openSink(contextOf({ stream: name, subject: 'nowhere.{{ x }}' }, 'c'), 30_000);
    atEnd(() => sink.close());
    const error = await sink.write(rows({ x: 'value' }, { x: 'b' })).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'nats_unavailable',
      passing: true,
      hint: expect.stringContaining('no stream may have the subject'),
    });
    expect(JSON.stringify(error)).not.toContain('value');
  });

  test('is not opened without the stream or its subject', async () => {
    const { name } = await streamSink({});
    await expect(openSink(contextOf({ stream: 'none', subject: 'a' }))).rejects.toMatchObject({
      code: 'nats_stream_missing',
    });
    await expect(openSink(contextOf({ stream: name, subject: 'elsewhere' }))).rejects.toMatchObject({
      code: 'nats_subject_uncovered',
    });
  });

  test('fails when the stream is deleted while it writes', async () => {
    const { name, open } = await streamSink({});
    const sink = await open();
    await manager.streams.delete(name);
    await expect(sink.write(rows({}))).rejects.toMatchObject({ code: 'nats_stream_missing', passing: false });
  });
});

describe.skipIf(natsMissing)(skipping('a sink to a subject', natsMissing), () => {
  test('publishes with headers, and refuses what the user may not publish', async () => {
    const got: string[] = [];
    client.subscribe('core.*', {
      callback: (_error, message) =>
        void got.push(`${message.subject} ${message.string()} ${message.headers?.get('h')}`),
    });
    await client.flush();
    const sink = await nats.openSink?.(
      contextOf({ subject: 'core.{{ x }}', headers: { h: '{{ x }}' } }, 'b'),
    );
    expect(codes((await sink?.write(rows({ x: 'a' }, { x: 'secret' }, { x: 'b' }))) ?? [])).toEqual([
      '1 nats_forbidden',
    ]);
    await until('both', () => got.length === 2);
    expect(got).toEqual(['core.a m0 a', 'core.b m2 b']);
    await sink?.close();
  });
});
