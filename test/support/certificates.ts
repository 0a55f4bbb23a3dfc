import { generate } from 'selfsigned';

/** Generated certificates: an authority, servers and clients, valid and invalid. */

export interface Pair {
  cert: string;
  key: string;
}

const dayMs = 86_400_000;

async function make(
  name: string,
  options: Parameters<typeof generate>[1],
  days = 30,
  firstDay = -1,
): Promise<Pair> {
  const made = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() + firstDay * dayMs),
    notAfterDate: new Date(Date.now() + days * dayMs),
    ...options,
  });
  return { cert: made.cert, key: made.private };
}

/** An authority below another one. */
export const makeIntermediate = (ca: Pair, name: string, days = 30): Promise<Pair> =>
  make(
    name,
    {
      ca,
      extensions: [
        { name: 'basicConstraints', cA: true, critical: true },
        { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
      ],
    },
    days,
    days < 0 ? -10 : -1,
  );

type KeyType = 'ec' | 'rsa';

/** An authority that signs others, with keys of its own type. */
export const makeAuthority = (name = 'Penstock test authority', keyType: KeyType = 'ec'): Promise<Pair> =>
  make(name, {
    keyType,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });

/** A server certificate for `names`; it expired yesterday when `days` is -1. */
export const makeServer = (
  ca: Pair,
  names = ['localhost', '127.0.0.1'],
  days = 30,
  firstDay = days < 0 ? -10 : -1,
): Promise<Pair> =>
  make(
    names[0] ?? 'localhost',
    {
      ca,
      extensions: [
        { name: 'extKeyUsage', serverAuth: true },
        {
          name: 'subjectAltName',
          altNames: names.map((name) =>
            /^[\d.]+$/.test(name) ? { type: 7 as const, ip: name } : { type: 2 as const, value: name },
          ),
        },
      ],
    },
    days,
    firstDay,
  );

/** A self-signed server certificate for localhost. */
export const makeSelfSigned = (): Promise<Pair> =>
  make('localhost', {
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2 as const, value: 'localhost' }] }],
  });

/** A client certificate; it expired yesterday when `days` is -1. */
export const makeClient = (
  ca: Pair,
  keyType: KeyType = 'ec',
  days = 30,
  firstDay = days < 0 ? -10 : -1,
): Promise<Pair> =>
  make(
    'Penstock test client',
    { ca, keyType, extensions: [{ name: 'extKeyUsage', clientAuth: true }] },
    days,
    firstDay,
  );
