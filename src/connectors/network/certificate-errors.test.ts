import { once } from 'node:events';
import { createServer } from 'node:tls';
import { beforeAll, describe, expect, test } from 'vitest';
import { atEnd } from '../../../test/support/at-end.ts';
import {
  makeAuthority,
  makeIntermediate,
  makeSelfSigned,
  makeServer,
  type Pair,
} from '../../../test/support/certificates.ts';
import { checked } from '../../../test/support/mqtt.ts';
import type { MqttProfile } from '../mqtt/config/profile.ts';

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
async function step(own: Pair, issuers: Pair[], ca?: string, more: Partial<MqttProfile> = {}) {
  const cert = [own, ...issuers].map((pair) => pair.cert).join('\n');
  const tls = createServer({ cert, key: own.key }, (socket) => {
    socket.on('error', () => undefined).once('data', () => socket.destroy());
  });
  tls.on('tlsClientError', () => undefined).listen(0, '127.0.0.1');
  await once(tls, 'listening');
  atEnd(async () => void tls.close());
  const { port } = tls.address() as { port: number };
  const profile = { url: `mqtts://127.0.0.1:${port}`, ...(ca === undefined ? {} : { tls: { ca } }), ...more };
  const found = (await checked(profile)).find(({ name }) => name === 'tls');
  return { outcome: found?.outcome, code: found?.code, text: `${found?.message} ${found?.hint}`, found };
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
