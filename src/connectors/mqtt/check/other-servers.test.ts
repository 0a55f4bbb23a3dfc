import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { atEnd } from '../../../../test/support/at-end.ts';
import { faulty } from '../../../../test/support/fixtures.ts';
import { checked } from '../../../../test/support/mqtt.ts';

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(async () => {
    server.closeAllConnections();
    server.close();
  });
  return `ws://127.0.0.1:${(server.address() as { port: number }).port}`;
}

describe('a port that is not that of a broker', () => {
  const last = async (url: string) => {
    const steps = await checked({ url }, { stepTimeoutMs: 30_000 });
    const found = steps.find(({ outcome }) => outcome === 'failed');
    return { name: found?.name, code: found?.code, text: `${found?.message} ${found?.hint}` };
  };

  test.each([
    ['SSH-2.0-OpenSSH_9.2\r\n', 'speaks SSH'],
    ['220 mail.example ESMTP\r\n', 'a protocol of mail or FTP'],
    ['INFO {"server_id":"x"}\r\n', 'the protocol of NATS'],
    ['AMQP\0\0\u0009\u0001', 'speaks AMQP'],
    ['-ERR unknown command\r\n', 'a database or of mail'],
    ['* OK IMAP4rev1 ready\r\n', 'a database or of mail'],
    ['HTTP/1.1 400 Bad Request\r\n\r\n', 'speaks HTTP'],
    ['What do you want?\r\n', 'does not speak MQTT'],
  ])('is known by how it greets: %j', async (greeting, words) => {
    const { url } = await faulty((socket) => socket.write(greeting));
    const { code, text } = await last(url);
    expect(code).toBe('mqtt_not_spoken');
    expect(text).toContain(words);
  });

  test.each([
    [200, {}, 'ordinary web page'],
    [302, { location: 'https://b.example/mqtt?token=secret' }, 'to https://b.example/mqtt Penstock follows'],
    [400, {}, 'path is probably wrong'],
    [401, {}, 'login of its own'],
    [403, {}, 'does not allow this client'],
    [404, {}, 'Correct the path'],
    [426, {}, 'header Upgrade'],
    [503, {}, 'reaches no broker'],
    [418, {}, 'Check the port and the path'],
  ])('is known by its HTTP status: %i', async (status, headers, words) => {
    const server = createServer((_request, response) => response.writeHead(status, headers).end());
    const { code, text } = await last(`${await listening(server)}/mqtt`);
    expect(code).toBe(status === 503 ? 'http_unavailable' : 'websocket_refused');
    expect(text).toContain(words);
    expect(text).not.toContain('secret');
  });

  test('may be a WebSocket of another service, or MQTT without WebSocket', async () => {
    for (const protocol of [false, 'wamp'] as const) {
      const server = createServer();
      new WebSocketServer({ server, handleProtocols: () => protocol });
      expect((await last(`${await listening(server)}/chat`)).text).toContain('subprotocol mqtt');
    }
    const closing = await faulty((socket) => socket.once('data', () => socket.destroy()));
    expect((await last(`ws://127.0.0.1:${closing.port}/mqtt`)).text).toContain('use mqtt:// or mqtts://');
    const words = await faulty((socket) => socket.once('data', () => socket.write('220 hello\r\n')));
    expect((await last(`ws://127.0.0.1:${words.port}/mqtt`)).text).toContain('does not speak HTTP');
  });

  test('says why it closes a WebSocket', async () => {
    const server = createServer();
    const sockets = new WebSocketServer({ server, handleProtocols: () => 'mqtt' });
    sockets.on('connection', (socket) => socket.close(1008, 'no\nroom'));
    const { code, text } = await last(`${await listening(server)}/mqtt`);
    expect(code).toBe('mqtt_refused');
    expect(text).toContain('It closed the WebSocket with 1008 no room');
  });

  test('resets the connection', async () => {
    const { url } = await faulty((socket) => socket.resetAndDestroy());
    expect((await last(url)).text).toMatch(/closed the connection/);
  });
});
