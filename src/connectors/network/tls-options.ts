import { createPrivateKey } from 'node:crypto';
import Type from 'typebox';
import { certificatesOf, hasPrivateKey, isContent, isPem, privateKeyOf } from './pem.ts';
import { given, type TlsProfile } from './tls.ts';

/** TLS in the config of a connector: its fields, and the rules that their schema cannot express. */

const pem = (title: string, subject: string) =>
  Type.Optional(
    Type.String({
      title,
      description: `${subject}: PEM text, or the path of a PEM file in the folder PENSTOCK_CERT_DIR`,
      format: 'var-str',
      file: true,
      maxLength: 200_000,
    }),
  );

/** Of connectors whose servers are reached by https:// or wss://. */
export const tlsFields = {
  tls: Type.Optional(
    Type.Object(
      {
        ca: pem('CA', 'CA certificates to trust instead of the system ones'),
        cert: pem('Cert', 'Client certificate, followed by its intermediates'),
        key: pem('Key', 'Private key of the client certificate'),
        passphrase: Type.Optional(
          Type.String({
            title: 'Passphrase',
            description: 'Passphrase of an encrypted private key',
            format: 'var-str',
            maxLength: 1_024,
          }),
        ),
      },
      { title: 'TLS', additionalProperties: false },
    ),
  ),
  insecureSkipVerify: Type.Optional(
    Type.Boolean({
      title: 'Skip Certificate Verification',
      description:
        'Whether to connect to a server whose certificate cannot be verified. Turn this on for experiments only.',
      default: false,
    }),
  ),
};

/** The secrets among them. */
export const tlsSecrets = ['tls/key', 'tls/passphrase'];

type Refuse = (path: string, message: string) => void;

/** Refuses what is only used with TLS. `secure` names the beginning of URLs with TLS. */
export function refuseTls({ tls, insecureSkipVerify }: TlsProfile, secure: string, refuse: Refuse): void {
  const unused = `is only used with ${secure}: change the URL or remove this field`;
  if (Object.values(tls ?? {}).some(given)) refuse('/tls', unused);
  if (insecureSkipVerify) refuse('/insecureSkipVerify', unused);
}

const variable = /\{\{.*\}\}/s;

/** Checks certificates and keys for themselves and together. */
export function checkTlsFiles(tls: TlsProfile['tls'], refuse: Refuse): void {
  const { ca, cert, key, passphrase } = tls ?? {};
  for (const [name, value] of Object.entries({ ca, cert, key })) {
    if (given(value) && !variable.test(value)) checkPemOrPath(`/tls/${name}`, value, name === 'key', refuse);
  }
  if (given(cert) && !given(key)) refuse('/tls/key', 'is required with a client certificate');
  if (given(key) && !given(cert)) refuse('/tls/cert', 'is required with a private key');
  if (given(passphrase) && !given(key)) refuse('/tls/passphrase', 'is only used with a private key');
  if (!given(key) || variable.test(key) || !isPem(key)) return;
  const read = privateKeyOf(key);
  if (typeof read === 'string') return;
  const { encrypted } = read;
  if (encrypted && !given(passphrase))
    refuse('/tls/passphrase', 'is required because the private key is encrypted');
  if (!encrypted && given(passphrase))
    refuse('/tls/passphrase', 'must be removed because the private key is not encrypted');
}

/** PEM text is parsed here. A path is only checked for its form: the file is read when connecting. */
function checkPemOrPath(path: string, value: string, isKey: boolean, refuse: Refuse): void {
  if (isContent(value)) {
    const wrong = isKey ? wrongKey(value) : wrongCertificates(value);
    if (wrong !== null) refuse(path, wrong);
  } else if (value.includes('\0')) {
    refuse(path, 'must be PEM text that begins with -----BEGIN, or the path of a PEM file');
  } else if (/^[a-z][a-z0-9+.-]*:\/\//i.test(value)) {
    refuse(path, 'must be PEM text or a path below PENSTOCK_CERT_DIR, not a URL');
  } else if (value.split(/[/\\]/).includes('..')) {
    refuse(path, 'must be a path without ..');
  }
}

function wrongCertificates(pem: string): string | null {
  if (hasPrivateKey(pem))
    return 'must not have a private key, because it is stored readable: move it to tls.key';
  const certificates = certificatesOf(pem);
  return typeof certificates === 'string' ? certificates : null;
}

function wrongKey(pem: string): string | null {
  const key = privateKeyOf(pem);
  if (typeof key === 'string') return key;
  if (key.encrypted) return null;
  try {
    createPrivateKey(key.pem);
    return null;
  } catch {
    // OpenSSL's reason names a place in its parser, which does not help.
    return 'has a private key that cannot be read: copy it again. Supported formats are PKCS#8, PKCS#1 and SEC1';
  }
}
