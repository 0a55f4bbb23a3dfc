/**
 * The patterns of LIKE: `%` stands for any text, `_` for one character. Matching goes forward without ever starting
 * over, so that no pattern is slow.
 */
export function likeMatcher(pattern: string): (text: string) => boolean {
  if (pattern.includes('_')) return characterMatcher(Array.from(pattern));
  const [head = '', ...rest] = pattern.split('%');
  const tail = rest.pop();
  if (tail === undefined) return (text) => text === head;
  const middle = rest.filter((part) => part !== '');
  return (text) => {
    if (!text.startsWith(head) || !text.endsWith(tail)) return false;
    let at = head.length;
    for (const part of middle) {
      const found = text.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return at <= text.length - tail.length;
  };
}

/** With one step back only: to the last `%`, which takes one more character. */
function characterMatcher(pattern: readonly string[]): (text: string) => boolean {
  return (text) => {
    const characters = Array.from(text);
    let [at, to, star, from] = [0, 0, -1, 0];
    while (at < characters.length) {
      if (to < pattern.length && pattern[to] === '%') {
        [star, from] = [to, at];
        to += 1;
      } else if (to < pattern.length && (pattern[to] === '_' || pattern[to] === characters[at])) {
        at += 1;
        to += 1;
      } else if (star >= 0) {
        from += 1;
        [at, to] = [from, star + 1];
      } else {
        return false;
      }
    }
    while (pattern[to] === '%') to += 1;
    return to === pattern.length;
  };
}
