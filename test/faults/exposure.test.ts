import { type ClientRequest, type IncomingMessage, request as send } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient } from '../support/mqtt.ts';
import { hurried, Penstock } from '../support/penstock.ts';
import { created, createTables, tableBody } from '../support/resources.ts';
import { until } from '../support/until.ts';

/**
 * Misbehaving clients: too many, too slow, disconnecting in the middle, not reading. All on the loopback interface, where
 * every address of 127.0.0.0/8 is a separate caller. PENSTOCK_SOAK=1 uses thousands, and
 * waits as long as the limits say.
 */

const soak = process.env.PENSTOCK_SOAK === '1';
/** Maximum number of open streams per caller and in total (src/api/sse.ts). */
const most = { each: 32, all: 1_000 };
const megabyte = 1024 * 1024;

let broker: Mosquitto;
let penstock: Penstock;
let port: number;
let pipeline: string;
let profile: string;
beforeAll(async () => {
  broker = await Mosquitto.start({ quiet: true, config: ['message_size_limit 1000000'] });
  penstock = await Penstock.start({ PENSTOCK_RATE_LIMIT: '0', ...(soak ? {} : hurried()) });
  port = Number(new URL(penstock.address).port);
  profile = (await createTables(penstock.request, broker.url)).profile;
  const query = 'INSERT INTO alerts SELECT * FROM readings';
  pipeline = (await created(penstock.request, '/pipelines', { name: 'p', query, parallelism: 1 })).id;
}, 300_000);
const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

/** Checks that other requests are served. */
async function expectService(): Promise<void> {
  const { status } = await penstock.request.get('/api/v1/pipelines');
  expect(status).toBe(200);
}

/** Sends a request from an address of 127.0.0.0/8 and reads only the headers. */
function streamFrom(nth: number, path: string): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const host = { host: '127.0.0.1', port, localAddress: `127.0.1.${nth + 1}`, agent: false } as const;
  const asked: ClientRequest = send({ ...host, path: `/api/v1${path}` }, resolve).once('error', reject);
  asked.end();
  open.push(() => asked.destroy());
  return promise;
}

test('hundreds of idle streams are served, further ones are refused, and all resources are freed', async () => {
  const callers = soak ? Math.ceil(most.all / most.each) + 100 : 8;
  const path = `/pipelines/${pipeline}/events`;
  await (await streamFrom(250, path)).once('data', () => {});
  const before = penstock.residentBytes;
  const counts = new Map<number, number>();
  for (let caller = 0; caller < callers; caller++) {
    const answers = await Promise.all(
      Array.from({ length: most.each + (caller % 2) }, () => streamFrom(caller, path)),
    );
    for (const { statusCode = 0, headers } of answers) {
      counts.set(statusCode, (counts.get(statusCode) ?? 0) + 1);
      if (statusCode === 429) expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    }
    for (const answer of answers) answer.on('error', () => {}).resume();
  }
  const asked = callers * most.each + Math.floor(callers / 2);
  const served = soak ? most.all - 1 : callers * most.each;
  expect(Object.fromEntries(counts)).toEqual({ 200: served, 429: asked - served });
  await expectService();
  const grown = penstock.residentBytes - before;
  console.log(`${served} streams take ${(grown / megabyte).toFixed(0)} MB`);
  expect(grown).toBeLessThan(64 * megabyte + served * 200 * 1024);
  for (const close of open.splice(0)) close();
  const free = async () => {
    const { statusCode } = await streamFrom(0, path);
    return statusCode === 200;
  };
  await until('there is room again', free);
});

/** Sends `begin`, and then a byte per second until it is cut off; returns the response. */
function dribble(begin: string): { socket: Socket; answer: () => string } {
  let answer = '';
  const socket = connect(port, '127.0.0.1').setEncoding('utf8');
  const timer = setInterval(() => socket.write('a'), 1_000);
  socket
    .on('error', () => {})
    .on('data', (text: string) => {
      answer += text;
    })
    .on('close', () => clearInterval(timer));
  if (begin !== '') socket.write(begin);
  open.push(() => {
    clearInterval(timer);
    socket.destroy();
  });
  return { socket, answer: () => answer };
}

const upload = `POST /api/v1/connection_profiles HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 500000\r\n\r\n{"name": "`;

test('a client that sends slowly or nothing, disconnects in the middle or never reads is cut off', async () => {
  const before = penstock.residentBytes;
  const count = soak ? 500 : 50;
  const slow = Array.from({ length: count }, (_, nth) =>
    dribble(nth % 2 === 0 ? 'GET /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\nx-slow: ' : upload),
  );
  const mute = Array.from({ length: count }, () => connect(port, '127.0.0.1').on('error', () => {}));
  open.push(() => mute.forEach((socket) => void socket.destroy()));
  for (const socket of mute) socket.resume();
  for (let gone = 0; gone < count; gone++) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    socket.write(upload, () => socket.resetAndDestroy());
  }
  const readers = await tailsBesideADeafOne();
  await expectService();
  await until('the slow ones are cut off', () => slow.every(({ socket }) => socket.closed), 60_000);
  for (const { answer } of slow) expect(answer()).toMatch(/^(HTTP\/1.1 408 |$)/);
  await until('the mute ones are cut off', () => mute.every((socket) => socket.closed), 60_000);
  const room = async () => {
    await pause(1_000);
    return (await streamFrom(9, quiet)).statusCode === 200;
  };
  await until('the deaf one is cut off', room, 120_000);
  expect(readers.map(({ closed }) => closed)).toEqual(readers.map(() => false));
  await expectService();
  const grown = penstock.residentBytes - before;
  console.log(`memory grew by ${(grown / megabyte).toFixed(0)} MB`);
  expect(grown).toBeLessThan(150 * megabyte);
  expect(penstock.log.split('\n').filter((line) => /"level":[56]0/.test(line))).toEqual([]);
});

/** A tail with few messages. */
let quiet: string;

/**
 * The maximum number of tails: one client gets large messages, more than a socket buffers, and reads nothing. The others
 * read. Returns what these receive.
 */
async function tailsBesideADeafOne(): Promise<IncomingMessage[]> {
  const fields = [{ name: 'value', type: 'string', required: true }];
  const schema = { format: { type: 'raw_string' }, fields };
  const tail = async (topic: string): Promise<string> => {
    const table = tableBody(topic, profile, { topic, type: {} }, schema);
    const { id } = await created(penstock.request, '/connection_tables', table);
    return `/connection_tables/${id}/tail?seconds=600&rows=10000&rows_per_second=100`;
  };
  const [large, small] = [await tail('large'), await tail('small')];
  quiet = small;
  const readers = await Promise.all(Array.from({ length: 7 }, (_, nth) => streamFrom(nth, small)));
  for (const reader of readers) reader.on('error', () => {}).resume();
  const deaf = await streamFrom(8, large);
  deaf.on('error', () => {}).pause();
  for (const { statusCode } of [...readers, deaf]) expect(statusCode).toBe(200);
  expect((await streamFrom(9, small)).statusCode).toBe(429);
  const publisher = await plainClient(broker.url);
  const payload = 'x'.repeat(60_000);
  let sent = 0;
  const publishing = setInterval(() => {
    publisher.publish('large', payload);
    sent += 1;
    if (sent === 400) clearInterval(publishing);
  }, 15);
  open.push(() => {
    clearInterval(publishing);
    publisher.end(true);
  });
  return readers;
}
