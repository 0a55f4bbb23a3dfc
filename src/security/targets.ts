import { BlockList, isIP } from 'node:net';
import { PenstockError } from '../errors.ts';

/**
 * Rules of `PENSTOCK_TARGETS`: hosts and addresses that tests and jobs may reach. They apply to the address that is
 * dialled, after name resolution, so no spelling or name evades them. Also names the folder of `PENSTOCK_FILE_DIR`. Used
 * in both threads.
 */

/**
 * Denied unless an entry names an address or network inside: RFC 3927, RFC 4291, RFC 1122 (0.0.0.0 reaches this
 * machine), RFC 5771, RFC 1112, and metadata services of clouds.
 */
const builtIn = [
  '169.254.0.0/16',
  'fe80::/10',
  '0.0.0.0/8',
  '::/128',
  '224.0.0.0/4',
  'ff00::/8',
  '240.0.0.0/4',
  // AWS, Azure, Google, Oracle and others on IPv4; Alibaba; Azure's wire server.
  '169.254.169.254/32',
  '100.100.100.200/32',
  '168.63.129.16/32',
  // The same on IPv6: AWS (two services), Google, Oracle, Scaleway.
  'fd00:ec2::254/128',
  'fd00:ec2::23/128',
  'fd20:ce::254/128',
  'fd00:c1::a9fe:a9fe/128',
  'fd00:42::42/128',
].map((text) => networkOf(text) as Network);

interface Network {
  address: string;
  family: 'ipv4' | 'ipv6';
  prefix: number;
  list: BlockList;
}

/** `name` is in lower case without a final dot; a leading `*` or `*.` matches any rest. */
type Rule = { deny: boolean } & ({ network: Network } | { name: string });

interface Address {
  address: string;
  family: number;
}

/** Throws `invalid_config` with the problem of each entry. */
export class TargetRules {
  readonly #names: { deny: boolean; name: string }[] = [];
  readonly #denied: Network[] = [];
  readonly #allowed: Network[] = [];
  readonly fileDir: string | undefined;

  constructor(entries: readonly string[], fileDir?: string) {
    this.fileDir = fileDir;
    const problems = targetProblems(entries);
    if (problems.length > 0)
      throw new PenstockError('invalid_config', `PENSTOCK_TARGETS ${problems.join('; ')}`);
    for (const entry of entries) {
      const rule = ruleOf(entry) as Rule;
      if ('name' in rule) this.#names.push(rule);
      else (rule.deny ? this.#denied : this.#allowed).push(rule.network);
    }
  }

  /** Returns those addresses of `host` that may be dialled. Throws `target_not_allowed` when none may. */
  allowed<A extends Address>(host: string, addresses: readonly A[]): A[] {
    const left = addresses.filter(({ address }) => this.#mayReach(host, address));
    if (left.length > 0) return left;
    const list = addresses.map(({ address }) => address).join(', ');
    const what = list === host ? `The address ${host}` : `The host ${host} (${list || 'no address'})`;
    throw new PenstockError('target_not_allowed', `${what} is not allowed as a target of tests and jobs`, {
      hint: 'Ask the operator of Penstock to allow it in the setting PENSTOCK_TARGETS.',
      facts: { host, addresses: addresses.map(({ address }) => address), setting: 'PENSTOCK_TARGETS' },
    });
  }

  #mayReach(host: string, address: string): boolean {
    const plain = plainOf(address);
    if (plain === undefined) return false;
    const faces = [plain, ...embeddedIn(plain)];
    const named = this.#names.filter(({ name }) => matches(name, host));
    if (named.some(({ deny }) => deny)) return false;
    if (faces.some((face) => this.#denied.some((network) => covers(network, face)))) return false;
    if (faces.some((face) => this.#isClosed(face))) return false;
    if (this.#allowed.length === 0 && this.#names.every(({ deny }) => deny)) return true;
    return named.length > 0 || this.#allowed.some((network) => covers(network, plain));
  }

  /** Only an entry inside a closed network opens part of it; `0.0.0.0/0` does not. */
  #isClosed(face: string): boolean {
    return builtIn.some(
      (closed) =>
        covers(closed, face) && !this.#allowed.some((open) => isWithin(open, closed) && covers(open, face)),
    );
  }
}

export function targetProblems(entries: readonly string[]): string[] {
  return entries
    .map(ruleOf)
    .filter((rule) => typeof rule === 'string')
    .slice(0, 20);
}

const nameForm = /^(?:\*|(?:\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*)$/;
/** Resolvers take such a name for an address: its last label is a number (WHATWG URL, "ends in a number"). */
const numberAtEnd = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/;

function ruleOf(entry: string): Rule | string {
  const deny = entry.startsWith('!');
  const text = (deny ? entry.slice(1) : entry).trim().toLowerCase();
  const shown = JSON.stringify(entry.slice(0, 80));
  const network = networkOf(text);
  if (typeof network === 'object') return { deny, network };
  if (typeof network === 'string') return `has ${shown}, in which ${network}`;
  const name = text.replace(/\.$/, '');
  if (numberAtEnd.test(name)) return `has ${shown}, which is an incomplete address: write it like 10.1.2.3`;
  if (name.length <= 253 && nameForm.test(name)) return { deny, name };
  return `has ${shown}, which is not a host name, address or network (10.0.0.0/8)`;
}

/** Returns undefined for what is not an address, and a sentence for a malformed one. */
function networkOf(text: string): Network | string | undefined {
  const [before = '', bits, ...rest] = text.split('/');
  const version = before.includes('%') ? 0 : isIP(before);
  if (version === 0) return bits === undefined ? undefined : 'the address before the / is missing or wrong';
  const size = version === 4 ? 32 : 128;
  const known = bits === undefined ? String(size) : bits;
  if (rest.length > 0 || !/^\d{1,3}$/.test(known) || Number(known) > size)
    return `the number after the / must be from 0 to ${size}`;
  const prefix = Number(known);
  const family = version === 4 ? 'ipv4' : 'ipv6';
  const plain = plainOf(before) as string;
  if (isIP(plain) !== version) return 'an IPv4 address is written as IPv6; write it as IPv4';
  const list = new BlockList();
  list.addSubnet(plain, prefix, family);
  return { address: plain, family, prefix, list };
}

const covers = ({ family, list }: Network, address: string): boolean =>
  familyOf(address) === family && list.check(address, family);

const isWithin = (inner: Network, outer: Network): boolean =>
  inner.prefix >= outer.prefix && covers(outer, inner.address);

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 4 ? 'ipv4' : 'ipv6');

function matches(name: string, host: string): boolean {
  const wanted = host.toLowerCase().replace(/\.$/, '');
  if (name === '*') return true;
  return name.startsWith('*.') ? wanted.endsWith(name.slice(1)) : wanted === name;
}

/** Returns the address without its zone, and IPv4-mapped IPv6 (::ffff:0:0/96) as IPv4; undefined for other text. */
function plainOf(address: string): string | undefined {
  const [bare = ''] = address.split('%');
  const version = isIP(bare);
  if (version !== 6) return version === 4 ? bare : undefined;
  const parts = hextets(bare);
  const mapped = parts.slice(0, 5).every((part) => part === 0) && parts[5] === 0xffff;
  return mapped ? ipv4(parts, 6) : parts.map((part) => part.toString(16)).join(':');
}

/**
 * Returns IPv4 addresses embedded in an IPv6 address, which a gateway may reach: IPv4-compatible (RFC 4291), NAT64
 * (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380) and ISATAP (RFC 5214).
 */
function embeddedIn(address: string): string[] {
  if (isIP(address) === 4) return [];
  const parts = hextets(address);
  const [first, second] = parts;
  const begins = (...prefix: number[]): boolean => prefix.every((part, index) => parts[index] === part);
  const found: string[] = [];
  if (begins(0, 0, 0, 0, 0, 0) || begins(0x64, 0xff9b) || begins(0, 0, 0, 0, 0xffff, 0))
    found.push(ipv4(parts, 6));
  if (first === 0x2002) found.push(ipv4(parts, 1));
  if (first === 0x2001 && second === 0)
    found.push(
      ipv4(
        parts.map((part) => part ^ 0xffff),
        6,
      ),
    );
  if (parts[5] === 0x5efe && ((parts[4] ?? 0) & 0xfdff) === 0) found.push(ipv4(parts, 6));
  // ::1 and :: are judged as IPv6.
  return begins(0, 0, 0, 0, 0, 0, 0) ? [] : found;
}

function hextets(address: string): number[] {
  const written = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = '', tail] = written.split('::');
  const numbers = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((part) => Number.parseInt(part, 16));
  if (tail === undefined) return numbers(head);
  const [before, after] = [numbers(head), numbers(tail)];
  return [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
}

function ipv4(parts: readonly number[], at: number): string {
  const [high = 0, low = 0] = parts.slice(at, at + 2);
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/**
 * Whether a host, with or without a port, is a name or address of this machine, in any spelling. Names below localhost
 * are too (RFC 6761, 6.3).
 */
export function isLoopbackName(host: string): boolean {
  if (!/^[\w.:[\]-]+$/.test(host)) return false;
  const name = URL.parse(`http://${host}`)?.hostname.replace(/\.$/, '');
  return (
    name !== undefined &&
    /^((.+\.)?localhost|127(\.\d+){3}|\[::1\]|\[::ffff:7f[\da-f]{2}:[\da-f]{1,4}\])$/.test(name)
  );
}
