/**
 * The rules of the MQTT 5 specification for topic names and topic filters (section 4.7, the same in 3.1.1) and for
 * shared subscriptions (section 4.8.2). Each function answers what is wrong as a sentence, or null.
 */

const maxTopicBytes = 65_535;

/** Rules common to names and filters: section 4.7.3, and what section 1.5.4 says of strings. */
function checkTopicText(topic: string): string | null {
  if (topic === '') return 'must not be empty (MQTT 4.7.3)';
  if (topic.includes('\0')) return 'must not hold a NUL character (MQTT 4.7.3)';
  if (!topic.isWellFormed()) return 'must be well-formed Unicode (MQTT 1.5.4)';
  if (Buffer.byteLength(topic) > maxTopicBytes) return 'must not be longer than 65,535 bytes (MQTT 4.7.3)';
  return null;
}

/** Checks a topic to publish to: no wildcards (section 3.3.2.1). */
export function checkTopicName(topic: string): string | null {
  if (/[+#]/.test(topic)) return 'must not hold + or #: a message is published to one topic (MQTT 3.3.2.1)';
  return checkTopicText(topic);
}

/**
 * Checks a topic to subscribe to. `+` stands for one whole level (section 4.7.1.3), `#` for the rest and comes last
 * (section 4.7.1.2); `$share/<name>/<filter>` has a name without wildcards and a filter (section 4.8.2).
 */
export function checkTopicFilter(filter: string): string | null {
  const wrong = checkTopicText(filter);
  if (wrong !== null) return wrong;
  if (filter.startsWith('$share/')) return checkShared(filter);
  return checkLevels(filter.split('/'));
}

function checkShared(filter: string): string | null {
  const { group, filter: inner } = splitShared(filter);
  if (group === '' || /[+#]/.test(group)) {
    return 'needs a share name without + and # after $share/ (MQTT 4.8.2)';
  }
  if (inner === '') return 'needs a topic filter after the share name: $share/<name>/<filter> (MQTT 4.8.2)';
  return checkLevels(inner.split('/'));
}

function checkLevels(levels: string[]): string | null {
  for (const [index, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || index !== levels.length - 1)) {
      return 'may hold # only as its whole last level (MQTT 4.7.1.2)';
    }
    if (level.includes('+') && level !== '+') return 'may hold + only as a whole level (MQTT 4.7.1.3)';
  }
  return null;
}

/** The share name and the filter proper of a `$share/` filter. */
export function splitShared(filter: string): { group: string; filter: string } {
  const rest = filter.slice('$share/'.length);
  const slash = rest.indexOf('/');
  return slash < 0
    ? { group: rest, filter: '' }
    : { group: rest.slice(0, slash), filter: rest.slice(slash + 1) };
}

export const isShared = (filter: string): boolean => filter.startsWith('$share/');

export const hasWildcard = (filter: string): boolean => /[+#]/.test(filter);
