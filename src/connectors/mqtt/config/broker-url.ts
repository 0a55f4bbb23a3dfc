import type { Endpoint } from '../../network/dial.ts';

/** Broker URLs: one, or several separated by commas. Errors never repeat a part of a URL, which may hold a password. */

export interface BrokerEndpoint extends Endpoint {
  /** Path of MQTT over WebSocket; undefined for MQTT over TCP. */
  path?: string;
}

const schemes: Readonly<Record<string, { tls: boolean; port: number; webSocket?: true }>> = {
  'mqtt:': { tls: false, port: 1883 },
  'tcp:': { tls: false, port: 1883 },
  'mqtts:': { tls: true, port: 8883 },
  'ssl:': { tls: true, port: 8883 },
  'ws:': { tls: false, port: 80, webSocket: true },
  'wss:': { tls: true, port: 443, webSocket: true },
};

const maxServers = 10;

/** Parses a list of broker URLs. Returns a predicate, such as `must …`, if the list or one URL is invalid. */
export function parseUrls(list: string): BrokerEndpoint[] | string {
  const urls = list.split(',').map((url) => url.trim());
  if (urls.length > maxServers) return `must not list more than ${maxServers} servers`;
  const endpoints: BrokerEndpoint[] = [];
  for (const [index, url] of urls.entries()) {
    const endpoint = parseUrl(url);
    if (typeof endpoint === 'string')
      return urls.length === 1 ? endpoint : `is invalid: address ${index + 1} of the list ${endpoint}`;
    endpoints.push(endpoint);
  }
  if (new Set(endpoints.map(({ tls }) => tls)).size > 1)
    return 'must not mix servers with and without TLS: failing over would give up encryption';
  if (new Set(endpoints.map(describeEndpoint)).size < endpoints.length) return 'must not list a server twice';
  return endpoints;
}

const portOf = /^[a-z]+:\/\/(?:\[[^\]]*\]|[^/?#:@[]*):([^/?#@]*)(?:[/?#]|$)/i;

/** Parses one broker URL. Returns a predicate if it is invalid. */
export function parseUrl(url: string): BrokerEndpoint | string {
  const port = portOf.exec(url)?.[1];
  if (port !== undefined && !isPort(port)) return 'must have a port from 1 to 65535';
  if (!URL.canParse(url)) return 'must be a URL, such as mqtt://broker.example:1883';
  const parsed = new URL(url);
  const scheme = schemes[parsed.protocol];
  if (!scheme) return 'must begin with mqtt://, tcp://, mqtts://, ssl://, ws:// or wss://';
  if (parsed.username !== '' || parsed.password !== '')
    return 'must not contain credentials: use the fields username and password';
  if (parsed.hostname === '') return 'must have a host name';
  if (parsed.search !== '' || parsed.hash !== '') return 'must not have a query or a fragment';
  if (!scheme.webSocket && !/^\/?$/.test(parsed.pathname))
    return 'must end after the port: only ws:// and wss:// have a path';
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: parsed.port === '' ? scheme.port : Number(parsed.port),
    tls: scheme.tls,
    ...(scheme.webSocket ? { path: parsed.pathname } : {}),
  };
}

const isPort = (text: string): boolean =>
  /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535;

/** The URL of one server, always with its port and without credentials. */
export function describeEndpoint({ host, port, tls, path }: BrokerEndpoint): string {
  const scheme = path === undefined ? (tls ? 'mqtts' : 'mqtt') : tls ? 'wss' : 'ws';
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}${path ?? ''}`;
}

export function describe(profile: { url: string }): string {
  const endpoints = parseUrls(profile.url);
  return typeof endpoints === 'string' ? 'an invalid URL' : endpoints.map(describeEndpoint).join(', ');
}
