import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { PenstockError } from '../../errors.ts';
import { given, type MqttProfile } from './profile.ts';

/**
 * Loads a profile's certificates and key, one by one, so that the error says which of them cannot be used. Throws
 * `tls_bad_material`; its message holds nothing of the key.
 */
export function secureContext(tls: MqttProfile['tls']): SecureContext {
  const { ca, cert, key } = tls ?? {};
  if (given(ca)) readCertificate(ca, 'The CA certificate (tls.ca)');
  if (given(cert) && given(key)) {
    const certificate = readCertificate(cert, 'The client certificate (tls.cert)');
    if (!certificate.checkPrivateKey(readKey(key))) {
      throw bad('The private key (tls.key) does not belong to the client certificate (tls.cert)');
    }
  }
  try {
    return createSecureContext({
      ...(given(ca) ? { ca } : {}),
      ...(given(cert) ? { cert } : {}),
      ...(given(key) ? { key } : {}),
    });
  } catch (cause) {
    throw bad('The certificates or the key cannot be used', cause);
  }
}

function readCertificate(pem: string, what: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw bad(`${what} is not a certificate in PEM form`, cause);
  }
}

function readKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    const locked = /ENCRYPTED/.test(pem);
    throw bad(
      locked
        ? 'The private key (tls.key) is protected by a passphrase'
        : 'The private key (tls.key) is not a key in PEM form',
      cause,
    );
  }
}

const bad = (message: string, cause?: unknown): PenstockError =>
  new PenstockError('tls_bad_material', message, {
    hint: 'Paste whole PEM blocks, from -----BEGIN to -----END, with a key that has no passphrase.',
    cause,
  });
