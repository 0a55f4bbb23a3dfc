import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { PenstockError } from '../../../errors.ts';
import { given, type MqttProfile } from '../config/profile.ts';

/**
 * Loads a profile's certificates and key, one by one, so that the error says which of them cannot be used. Throws
 * `tls_bad_material`; its message holds nothing of the key.
 */
export function secureContext(tls: MqttProfile['tls']): SecureContext {
  const { ca, cert, key, passphrase } = tls ?? {};
  if (given(ca)) readCertificate(ca, 'The CA certificate (tls.ca)');
  const own = given(cert) && given(key) ? readPair(cert, key, passphrase) : {};
  try {
    return createSecureContext({ ...(given(ca) ? { ca } : {}), ...own });
  } catch (cause) {
    throw bad('The certificates or the key cannot be used', cause);
  }
}

/** The client certificate with its key, which is in clear PKCS#8 whatever form it was given in. */
function readPair(cert: string, pem: string, passphrase: string | undefined): { cert: string; key: string } {
  const certificate = readCertificate(cert, 'The client certificate (tls.cert)');
  const key = readKey(pem, passphrase);
  if (!certificate.checkPrivateKey(key)) {
    throw bad('The private key (tls.key) does not belong to the client certificate (tls.cert)');
  }
  return { cert, key: key.export({ type: 'pkcs8', format: 'pem' }) as string };
}

function readCertificate(pem: string, what: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw bad(`${what} is not a certificate in PEM form`, cause);
  }
}

function readKey(pem: string, passphrase: string | undefined): KeyObject {
  const locked = /ENCRYPTED/.test(pem);
  if (locked && !given(passphrase)) {
    throw bad('The private key (tls.key) is encrypted and there is no passphrase (tls.passphrase)');
  }
  try {
    return createPrivateKey({ key: pem, ...(given(passphrase) ? { passphrase } : {}) });
  } catch (cause) {
    throw bad(
      locked
        ? 'The private key (tls.key) cannot be decrypted with the passphrase (tls.passphrase)'
        : 'The private key (tls.key) is not a key in PEM form',
      cause,
    );
  }
}

const bad = (message: string, cause?: unknown): PenstockError =>
  new PenstockError('tls_bad_material', message, {
    hint:
      'Give whole PEM blocks, from -----BEGIN to -----END, and with an encrypted key its passphrase. ' +
      'Keys may be PKCS#8, PKCS#1 or SEC1.',
    cause,
  });
