import { once } from 'node:events';
import { createServer, type TlsOptions } from 'node:tls';
import { beforeAll, describe, expect, test } from 'vitest';
import { atEnd } from '../../../test/support/at-end.ts';
import {
  makeAuthority,
  makeClient,
  makeIntermediate,
  makeSelfSigned,
  makeServer,
  type Pair,
} from '../../../test/support/certificates.ts';
import { faulty } from '../../../test/support/fixtures.ts';
import { checked, errorOf, targets } from '../../../test/support/mqtt.ts';
import type { MqttProfile } from '../mqtt/config/profile.ts';
import { connect } from '../mqtt/connection/client.ts';
import { probeClient } from '../mqtt/connection/connect-request.ts';
import { someTlsPeer, tlsError } from './socket-errors.ts';

let root: Pair;
let other: Pair;
let renewedRoot: Pair;
let intermediate: Pair;
let server: Pair;
beforeAll(async () => {
  [root, other, renewedRoot] = await Promise.all([
    makeAuthority('Acme Root'),
    makeAuthority('Other Root'),
    makeAuthority('Acme Root'),
  ]);
  intermediate = await makeIntermediate(root, 'Acme Issuing CA 1');
  server = await makeServer(intermediate);
});

/** The `tls` step of a test of a server that presents these certificates. */
async function step(
  own: Pair,
  issuers: Pair[],
  ca?: string,
  more: Partial<MqttProfile> = {},
  options: TlsOptions = {},
) {
  const cert = [own, ...issuers].map((pair) => pair.cert).join('\n');
  const tls = createServer({ cert, key: own.key, ...options }, (socket) => {
    socket.on('error', () => undefined).once('data', () => socket.destroy());
  });
  tls.on('tlsClientError', () => undefined).listen(0, '127.0.0.1');
  await once(tls, 'listening');
  atEnd(async () => void tls.close());
  const { port } = tls.address() as { port: number };
  const profile = { url: `mqtts://127.0.0.1:${port}`, ...(ca === undefined ? {} : { tls: { ca } }), ...more };
  const found = (await checked(profile)).find(({ name }) => name === 'tls');
  return {
    url: profile.url,
    outcome: found?.outcome,
    code: found?.code,
    text: `${found?.message} ${found?.hint}`,
    found,
  };
}

describe('a server certificate whose issuer is not trusted', () => {
  test('names the intermediate that the server does not send', async () => {
    const { code, text, found } = await step(server, [], root.cert);
    expect(code).toBe('tls_unknown_issuer');
    expect(text).toContain('issued by "CN=Acme Issuing CA 1"');
    expect(text).toContain('the server does not send');
    expect(text).toContain('certificate file of the server');
    expect(found?.details).toMatchObject({
      missingIssuer: 'CN=Acme Issuing CA 1',
      sent: ['CN=localhost'],
      trusted: ['CN=Acme Root'],
    });
    expect((await step(server, [])).text).toMatch(
      /not a CA of this system, .*certificate file of the server/,
    );
  });

  test('names the CA to trust if there is none, sent by the server or not', async () => {
    const sent = await step(server, [intermediate, root]);
    expect(sent.text).toContain('issued by "CN=Acme Root", which is not a CA of this system');
    expect(sent.text).not.toContain('If "CN=Acme Root" is an intermediate');
    expect((await step(server, [intermediate])).text).toContain(
      'Set tls.ca to the certificate of "CN=Acme Root".',
    );
  });

  test('names both CAs if another one is trusted', async () => {
    for (const issuers of [[intermediate], [intermediate, root]]) {
      const { code, text } = await step(server, issuers, other.cert);
      expect(code).toBe('tls_unknown_issuer');
      expect(text).toContain('issued by "CN=Acme Root", which is not in tls.ca');
      expect(text).toContain('tls.ca has "CN=Other Root"');
    }
  });

  test('says that a CA was created anew under its name', async () => {
    const { text } = await step(server, [intermediate], renewedRoot.cert);
    expect(text).toContain('but with another key');
    const again = await makeSelfSigned();
    const self = await step(await makeSelfSigned(), [], again.cert);
    expect(self).toMatchObject({ code: 'tls_self_signed' });
    expect(self.text).toContain('The server has a new certificate');
  });

  test('is accepted if only its intermediate, or only itself, is trusted', async () => {
    expect(await step(server, [intermediate], intermediate.cert)).toMatchObject({ outcome: 'ok' });
    expect(await step(server, [], intermediate.cert)).toMatchObject({ outcome: 'ok' });
    expect(await step(server, [], server.cert)).toMatchObject({ outcome: 'ok' });
    expect(await step(server, [], `${root.cert}\n${intermediate.cert}`)).toMatchObject({ outcome: 'ok' });
    const neighbour = await makeIntermediate(root, 'Acme Issuing CA 2');
    expect((await step(server, [intermediate], neighbour.cert)).code).toBe('tls_unknown_issuer');
  });

  test('is explained too if the connection goes on unverified', async () => {
    const { outcome, text } = await step(server, [], root.cert, { insecureSkipVerify: true });
    expect(outcome).toBe('warning');
    expect(text).toContain('issued by "CN=Acme Issuing CA 1"');
  });
});

describe('a certificate that is out of date', () => {
  test('is named: that of the server, or that of its issuer', async () => {
    const { text } = await step(await makeServer(intermediate, ['127.0.0.1'], -1), [intermediate], root.cert);
    expect(text).toMatch(/^The server certificate expired on \d{4}-/);
    const old = await makeIntermediate(root, 'Acme Old CA', -1);
    const below = await step(await makeServer(old), [old], root.cert);
    expect(below).toMatchObject({ code: 'tls_certificate_expired' });
    expect(below.text).toMatch(/^The issuer certificate "CN=Acme Old CA" expired on \d{4}-/);
  });

  test('may not be valid yet, and the clock is shown', async () => {
    const { code, text } = await step(await makeServer(root, ['127.0.0.1'], 30, 5), [], root.cert);
    expect(code).toBe('tls_certificate_expired');
    expect(text).toMatch(/is not valid before \d{4}-.*clock of this machine, which says \d{4}-/);
  });
});

describe('a certificate that is not meant for its use', () => {
  test('is that of a client, or of no CA', async () => {
    const client = await makeClient(root);
    const asServer = await step(client, [], root.cert);
    expect(asServer.code).toBe('tls_failed');
    expect(asServer.text).toMatch(
      /"CN=Penstock test client" of the server is not meant for servers.*certificate of a client/,
    );
    const issued = await step(await makeServer(client), [client], root.cert);
    expect(issued.text).toContain('is not one of a CA');
    expect(issued.code).toBe('tls_unknown_issuer');
  });

  test.each([
    ['permitted subtree violation', 'nameConstraints'],
    ['EE certificate key too weak', '2048 bits'],
    ['CA signature digest algorithm too weak', 'SHA-256'],
    ['', 'issued again'],
  ])('is refused by OpenSSL in its own words: %s', (sentence, hint) => {
    const peer = { ...someTlsPeer(), chain: [] };
    const error = tlsError(Object.assign(new Error(sentence), { code: 'UNSPECIFIED' }), peer);
    expect(error.code).toBe('tls_failed');
    expect(error.message).toContain(sentence.replace('EE', 'server') || 'names no reason');
    expect(error.hint).toContain(hint);
  });
});

describe.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'a client certificate that a server of %s refuses',
  (version) => {
    const refusing = {
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: version,
      maxVersion: version,
    };
    const refused = async (client: Pair | undefined) => {
      const tls =
        client === undefined ? { ca: root.cert } : { ca: root.cert, cert: client.cert, key: client.key };
      const pair = await makeServer(root);
      const found = await step(pair, [], undefined, { tls }, { ...refusing, ca: root.cert });
      const job = await errorOf(
        connect({ ...probeClient({ profile: { url: found.url, tls }, targets }), signal }),
      );
      return { ...found, job };
    };
    const { signal } = new AbortController();

    test.each([
      ['has expired', () => makeClient(root, 'ec', -1), /expired on \d{4}-/],
      ['is not valid yet', () => makeClient(root, 'ec', 30, 5), /not valid before .* clock of this machine/],
      ['is for servers', () => makeServer(root), /lacks clientAuth/],
    ])('%s, which test and job say', async (_why, make, words) => {
      const { code, text, job } = await refused(await make());
      expect(code).toBe('tls_client_certificate_refused');
      expect(text).toMatch(words);
      expect(job).toMatchObject({
        code: 'tls_client_certificate_refused',
        message: expect.stringMatching(words),
      });
    });

    test('may be of another CA, or missing', async () => {
      const { text } = await refused(await makeClient(other));
      expect(text).toMatch(/"CN=Penstock test client", issued by "CN=Other Root".*trusts this issuer/);
      expect((await refused(undefined)).text).toMatch(/requires? a client certificate/);
    });
  },
);

test('an accepted client certificate that is out of date, or soon will be, is named all the same', async () => {
  const client = await makeClient(root, 'ec', 5);
  const tls = { ca: root.cert, cert: client.cert, key: client.key };
  const accepting = { requestCert: true, rejectUnauthorized: false };
  expect((await step(await makeServer(root), [], undefined, { tls }, accepting)).text).toMatch(
    /The client certificate expires in [45] days/,
  );
  const old = await makeClient(root, 'ec', -1);
  const found = await step(await makeServer(root), [], undefined, { tls: { ...tls, ...old } }, accepting);
  expect(found.outcome).toBe('ok');
  expect(found.text).toMatch(/expired on .*accepted it all the same/);
});

test.each([
  [70, 'neither TLS 1.2 nor TLS 1.3'],
  [71, 'no secure cipher'],
  [112, 'does not know the host name'],
])('a server that ends the handshake with the alert %i says why', async (alert, words) => {
  const server = await faulty((socket) => socket.write(Buffer.from([0x15, 3, 1, 0, 2, 2, alert])));
  const steps = await checked({ url: `mqtts://127.0.0.1:${server.port}` });
  const found = steps.find(({ name }) => name === 'tls');
  expect(found).toMatchObject({ code: 'tls_failed', message: expect.stringContaining(words) });
});

describe('a certificate for another name', () => {
  const hint = async (names: string[], serverName: string) => {
    const pair = await makeServer(root, names);
    const { code, text } = await step(pair, [], root.cert, { serverName });
    expect(code).toBe('tls_name_mismatch');
    const [, suggested = ''] = /set serverName to (?:one, such as )?([^\s,]+)/.exec(text) ?? [];
    const followed =
      suggested === '' ? undefined : await step(pair, [], root.cert, { serverName: suggested });
    return { text, suggested, outcome: followed?.outcome };
  };

  test.each([
    [['broker.acme.example'], 'broker.acme.example'],
    [['127.0.0.1'], '127.0.0.1'],
    [['*.acme.example'], 'broker.acme.example'],
    [['*.acme.example', 'mqtt.acme.example'], 'mqtt.acme.example'],
    [['*.local', '10.1.2.3'], '10.1.2.3'],
  ])('gets a hint that works when it is followed: %j', async (names, expected) => {
    const { suggested, outcome } = await hint(names, 'a.b.acme.example');
    expect(suggested).toBe(expected);
    expect(outcome).toBe('ok');
  });

  test('needs another certificate if no name can match', async () => {
    const { text, suggested } = await hint(['*.local'], 'broker.local');
    expect(suggested).toBe('');
    expect(text).toContain('issued again with the subject alternative name DNS:broker.local');
    expect((await hint(['*.local'], '192.0.2.7')).text).toContain('subject alternative name IP:192.0.2.7');
  });
});
