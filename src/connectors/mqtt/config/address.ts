/** Addresses of brokers: one URL, or several with commas. What is wrong with one is said, and no part of it repeated. */

/** Where a broker listens, and what it speaks there. */
export interface Endpoint {
  /** Name or address, an IPv6 address without brackets. */
  host: string;
  port: number;
  tls: boolean;
  /** The path of MQTT over WebSocket; undefined for MQTT over TCP. */
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

/** Reads a list of broker URLs. Answers a sentence about the first that is not one, or about a list that cannot be. */
export function parseUrls(list: string): Endpoint[] | string {
  const urls = list.split(',').map((url) => url.trim());
  if (urls.length > maxServers) return `must not list more than ${maxServers} servers`;
  const endpoints: Endpoint[] = [];
  for (const [index, url] of urls.entries()) {
    const endpoint = parseUrl(url);
    if (typeof endpoint === 'string') {
      return urls.length === 1 ? endpoint : `lists, in place ${index + 1}, an address that ${endpoint}`;
    }
    endpoints.push(endpoint);
  }
  if (new Set(endpoints.map(({ tls }) => tls)).size > 1) {
    return 'must not mix servers with and without TLS: failing over would give up the encryption';
  }
  if (new Set(endpoints.map(describeEndpoint)).size < endpoints.length) return 'lists a server twice';
  return endpoints;
}

const portOf = /^[a-z]+:\/\/(?:\[[^\]]*\]|[^/?#:@[]*):([^/?#@]*)(?:[/?#]|$)/i;

/** Reads one broker URL. Answers a sentence about what is wrong with it instead if it is not one. */
export function parseUrl(url: string): Endpoint | string {
  const port = portOf.exec(url)?.[1];
  if (port !== undefined && !/^\d{1,5}$/.test(port)) return 'must have a number from 1 to 65535 for its port';
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) {
    return 'must have a port from 1 to 65535';
  }
  if (!URL.canParse(url)) return 'is not a URL: write it like mqtt://broker.example:1883';
  const parsed = new URL(url);
  const scheme = schemes[parsed.protocol];
  if (!scheme) return 'must begin with mqtt://, tcp://, mqtts://, ssl://, ws:// or wss://';
  if (parsed.username !== '' || parsed.password !== '') {
    return 'must not hold credentials: use the fields username and password';
  }
  if (parsed.hostname === '') return 'names no host';
  if (parsed.search !== '' || parsed.hash !== '') return 'must not have a query or a fragment';
  if (!scheme.webSocket && !/^\/?$/.test(parsed.pathname)) {
    return 'must end after the port: there is no path in MQTT over TCP';
  }
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: parsed.port === '' ? scheme.port : Number(parsed.port),
    tls: scheme.tls,
    ...(scheme.webSocket ? { path: parsed.pathname } : {}),
  };
}

/** An address as people write it, always with its port and without credentials. */
export function describeEndpoint({ host, port, tls, path }: Endpoint): string {
  const scheme = path === undefined ? (tls ? 'mqtts' : 'mqtt') : tls ? 'wss' : 'ws';
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}${path ?? ''}`;
}

/** The addresses of a profile as people write them, without credentials. */
export function describe(profile: { url: string }): string {
  const endpoints = parseUrls(profile.url);
  return typeof endpoints === 'string' ? 'an invalid URL' : endpoints.map(describeEndpoint).join(', ');
}
