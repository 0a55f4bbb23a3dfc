/**
 * QoS levels, and the rules of the MQTT 5 specification for topic names and topic filters (section 4.7, the same in
 * 3.1.1) and shared subscriptions (section 4.8.2). Each check returns what is wrong as a predicate, or null.
 */

export const qosNames = ['AtMostOnce', 'AtLeastOnce', 'ExactlyOnce'] as const;

export type Qos = 0 | 1 | 2;

export const qosLevel = (name: (typeof qosNames)[number] = 'AtMostOnce'): Qos =>
  qosNames.indexOf(name) as Qos;

const maxTopicBytes = 65_535;

/** The rules for names and filters alike: sections 4.7.3 and 1.5.4. */
function checkTopicText(topic: string): string | null {
  if (topic === '') return 'must not be empty (MQTT 4.7.3)';
  if (topic.includes('\0')) return 'must not contain a NUL character (MQTT 4.7.3)';
  if (!topic.isWellFormed()) return 'must be well-formed Unicode (MQTT 1.5.4)';
  if (Buffer.byteLength(topic) > maxTopicBytes) return 'must not be longer than 65,535 bytes (MQTT 4.7.3)';
  return null;
}

/** Checks a topic to publish to: no wildcards (section 3.3.2.1). */
export function checkTopicName(topic: string): string | null {
  if (hasWildcard(topic)) return 'must not contain the wildcards + and # (MQTT 3.3.2.1)';
  return checkTopicText(topic);
}

/** Checks a topic filter to subscribe to, with wildcards (section 4.7.1) or as `$share/<name>/<filter>`. */
export function checkTopicFilter(filter: string): string | null {
  const wrong = checkTopicText(filter);
  if (wrong !== null) return wrong;
  if (!isShared(filter)) return checkLevels(filter.split('/'));
  const { group, filter: inner } = splitShared(filter);
  if (group === '' || hasWildcard(group))
    return 'must have a share name without + and # after $share/ (MQTT 4.8.2)';
  if (inner === '')
    return 'must have a topic filter after the share name: $share/<name>/<filter> (MQTT 4.8.2)';
  return checkLevels(inner.split('/'));
}

function checkLevels(levels: string[]): string | null {
  for (const [index, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || index !== levels.length - 1))
      return 'may contain # only as the whole last level (MQTT 4.7.1.2)';
    if (level.includes('+') && level !== '+') return 'may contain + only as a whole level (MQTT 4.7.1.3)';
  }
  return null;
}

export function splitShared(filter: string): { group: string; filter: string } {
  const rest = filter.slice('$share/'.length);
  const slash = rest.indexOf('/');
  return slash < 0
    ? { group: rest, filter: '' }
    : { group: rest.slice(0, slash), filter: rest.slice(slash + 1) };
}

export const isShared = (filter: string): boolean => filter.startsWith('$share/');

export const hasWildcard = (filter: string): boolean => /[+#]/.test(filter);

/** The first level of topics on which brokers report on themselves, beside those that begin with `$`. */
const internal = ['ActiveMQ/Advisory/'];

/**
 * Whether a message on `topic` is the broker's own, and `filter` does not ask for it by name. A wildcard must not match
 * topics that begin with `$` (MQTT 5, section 4.7.2), but some brokers send them: `$MQTT/…` and `$JS/…` of nats-server.
 */
export function isInternal(topic: string, filter: string): boolean {
  const first = filter.charCodeAt(0);
  if (first !== hash && first !== plus) return false;
  return topic.charCodeAt(0) === dollar || internal.some((prefix) => topic.startsWith(prefix));
}

const hash = 0x23;
const plus = 0x2b;
const dollar = 0x24;
