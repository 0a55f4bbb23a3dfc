import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { whyMissing } from '../../scripts/servers.ts';
import { atEnd } from './at-end.ts';
import { freePort } from './free-port.ts';
import { ServerProcess, whereIs } from './server-process.ts';

/** The proxies of examples/proxies, which serve Penstock below a path. They end by themselves: see `atEnd`. */

const examples = join(import.meta.dirname, '../../examples/proxies');
/** The path of the examples. */
const prefix = '/penstock';
const http = (server: string): string => {
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${name};`,
  );
  return `daemon off;\npid pid;\nerror_log stderr;\nevents {}\nhttp { access_log off; ${paths.join(' ')}\n${server}}\n`;
};
export const proxies = [
  {
    name: 'nginx',
    file: 'nginx.conf',
    args: (config: string, folder: string) => ['-p', folder, '-c', config],
    whole: http,
  },
  {
    name: 'HAProxy',
    file: 'haproxy.cfg',
    args: (config: string) => ['-f', config],
    whole: (text: string) => text,
  },
  {
    name: 'Caddy',
    file: 'Caddyfile',
    args: (config: string) => ['run', '--adapter', 'caddyfile', '--config', config],
    whole: (text: string) => `{\n\tadmin off\n\tauto_https off\n}\n${text}`,
  },
];

/** Starts a proxy, by its example, before the Penstock at `address`. Returns the address of Penstock behind it. */
export async function startProxy(kind: (typeof proxies)[number], address: string): Promise<string> {
  const { name, file, args, whole } = kind;
  const folder = mkdtempSync(join(tmpdir(), `penstock-${name}-`));
  const port = await freePort();
  const text = readFileSync(join(examples, file), 'utf8')
    .replaceAll('127.0.0.1:8080', `127.0.0.1:${port}`)
    .replaceAll('127.0.0.1:5115', new URL(address).host);
  writeFileSync(join(folder, file), whole(text));
  const command = whereIs(name.toLowerCase()) ?? name;
  await ServerProcess.start({ command, args: args(join(folder, file), folder), port, folder });
  return `http://127.0.0.1:${port}${prefix}`;
}

/** The same with the first of them that is installed, or with a small one that only removes the path. */
export async function belowPath(address: string): Promise<string> {
  const installed = proxies.find(({ name }) => whyMissing(name) === undefined);
  return installed ? startProxy(installed, address) : startPlainProxy(new URL(address));
}

async function startPlainProxy({ hostname, port }: URL): Promise<string> {
  const server = createServer((asked, reply) => {
    if (!asked.url?.startsWith(`${prefix}/`)) {
      reply.writeHead(404).end();
      return;
    }
    const { method, headers } = asked;
    const options = { hostname, port, method, headers, path: asked.url.slice(prefix.length) };
    const forwarded = request(options, (answer) => {
      reply.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(reply);
    });
    forwarded.on('error', () => reply.destroy());
    reply.on('close', () => forwarded.destroy());
    asked.pipe(forwarded);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}`;
}
