import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { FieldError } from '../../../errors.ts';
import { type Endpoint, parseUrls } from './address.ts';
import { given, type MqttProfile } from './profile.ts';
import { checkTopicName } from './topic.ts';

type Refuse = (path: string, message: string) => void;

/** What the schema cannot say about a profile: the URL, and options that contradict each other. */
export function validateProfile(profile: MqttProfile): FieldError[] {
  const errors: FieldError[] = [];
  const refuse: Refuse = (path, message) => errors.push({ path, message });
  const endpoints = parseUrls(profile.url);
  if (typeof endpoints === 'string') refuse('/url', endpoints);
  else if (!endpoints.some(({ tls }) => tls)) refuseTlsOptions(profile, endpoints, refuse);
  checkMaterial(profile.tls ?? {}, refuse);
  if (profile.will !== undefined) checkWill(profile.will, profile, refuse);
  if (given(profile.password) && !given(profile.username) && profile.protocolVersion !== '5') {
    refuse('/username', 'is needed with a password before MQTT 5 (MQTT 3.1.1, section 3.1.2.9)');
  }
  if (/[^0-9A-Za-z_-]/.test(profile.clientPrefix ?? '')) {
    refuse(
      '/clientPrefix',
      'may hold letters, digits, _ and - only, as some brokers accept no other client ids',
    );
  }
  return errors;
}

/** Refuses what has a meaning with TLS only. */
function refuseTlsOptions(profile: MqttProfile, endpoints: Endpoint[], refuse: Refuse): void {
  const secure = endpoints.some(({ path }) => path !== undefined) ? 'wss://' : 'mqtts:// or ssl://';
  const unused = `is only used with ${secure}: change the URL or remove it`;
  if (Object.values(profile.tls ?? {}).some(given)) refuse('/tls', unused);
  if (given(profile.serverName)) refuse('/serverName', unused);
  if (profile.alpn !== undefined && profile.alpn.length > 0) refuse('/alpn', unused);
  if (profile.rejectUnauthorized === false) refuse('/rejectUnauthorized', unused);
}

const variable = /\{\{.*\}\}/s;
const isPem = (text: string): boolean => text.trimStart().startsWith('-----BEGIN');

/** A value that can be looked into: not left to a variable or a file. */
const inline = (text: string | undefined): text is string =>
  given(text) && !variable.test(text) && isPem(text);

function checkMaterial(tls: NonNullable<MqttProfile['tls']>, refuse: Refuse): void {
  const { ca, cert, key, passphrase } = tls;
  for (const [name, value] of Object.entries({ ca, cert, key })) {
    if (given(value) && !variable.test(value)) checkSource(`/tls/${name}`, value, name === 'key', refuse);
  }
  if (given(cert) && !given(key)) refuse('/tls/key', 'is needed with a client certificate');
  if (given(key) && !given(cert)) refuse('/tls/cert', 'is needed with a private key');
  if (given(passphrase) && !given(key)) refuse('/tls/passphrase', 'is only used with a private key');
  if (!inline(key)) return;
  const encrypted = /ENCRYPTED/.test(key);
  if (encrypted && !given(passphrase)) refuse('/tls/passphrase', 'is needed: the private key is encrypted');
  if (!encrypted && given(passphrase)) {
    refuse('/tls/passphrase', 'is not needed: the private key is not encrypted');
  }
}

/** PEM must be readable; anything else is taken for the path of a file, which is looked at when connecting. */
function checkSource(path: string, value: string, isKey: boolean, refuse: Refuse): void {
  if (isPem(value)) {
    if (!readable(value, isKey)) refuse(path, 'is not a whole PEM block, from -----BEGIN to -----END');
  } else if (/[\n\r\0]/.test(value) || value.length > 1_024) {
    refuse(path, 'must be PEM text that begins with -----BEGIN, or the path of a file that holds it');
  } else if (value.split(/[/\\]/).includes('..')) {
    refuse(path, 'must be a path without .. in it');
  }
}

function readable(pem: string, isKey: boolean): boolean {
  if (isKey && /ENCRYPTED/.test(pem)) return true;
  try {
    if (isKey) createPrivateKey(pem);
    else new X509Certificate(pem);
    return true;
  } catch {
    // Why is of no use: OpenSSL says where its parser was.
    return false;
  }
}

function checkWill(will: NonNullable<MqttProfile['will']>, profile: MqttProfile, refuse: Refuse): void {
  const wrong = checkTopicName(will.topic);
  if (wrong !== null) refuse('/will/topic', wrong);
  else if (will.topic.startsWith('$'))
    refuse('/will/topic', "must not begin with $: those topics are the broker's own");
  if (Buffer.byteLength(will.payload ?? '') > 65_535) {
    refuse('/will/payload', 'must not be longer than 65,535 bytes (MQTT 3.1.3.3)');
  }
  if (profile.protocolVersion === '3.1.1' && (will.delaySecs ?? 0) > 0) {
    refuse('/will/delaySecs', 'needs MQTT 5: set protocolVersion to auto or 5, or remove it');
  }
  const expiry = profile.sessionExpirySecs;
  if (expiry !== undefined && (will.delaySecs ?? 0) > expiry) {
    refuse('/will/delaySecs', 'must not be longer than sessionExpirySecs, with which it ends');
  }
}
