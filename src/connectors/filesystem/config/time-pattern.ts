/** Patterns of folders by time, as strftime has them, in UTC. */

const two = (value: number): string => String(value).padStart(2, '0');

const parts: Readonly<Record<string, (time: Date) => string>> = {
  Y: (time) => String(time.getUTCFullYear()).padStart(4, '0'),
  y: (time) => two(time.getUTCFullYear() % 100),
  m: (time) => two(time.getUTCMonth() + 1),
  d: (time) => two(time.getUTCDate()),
  H: (time) => two(time.getUTCHours()),
  M: (time) => two(time.getUTCMinutes()),
  S: (time) => two(time.getUTCSeconds()),
  j: (time) =>
    String(Math.floor((time.getTime() - Date.UTC(time.getUTCFullYear())) / 86_400_000) + 1).padStart(3, '0'),
  F: (time) => time.toISOString().slice(0, 10),
};

/** Returns a sentence without its subject for a pattern that cannot be used. */
export function checkTimePattern(pattern: string): string | undefined {
  const unknown = [...pattern.matchAll(/%(.?)/gs)].find(([, letter = '']) => !(letter in parts));
  if (unknown)
    return `has ${unknown[0]}, which is not supported; use ${Object.keys(parts)
      .map((letter) => `%${letter}`)
      .join(' ')}`;
  if (!/^[\w%=/.-]+$/.test(pattern)) return 'may have letters, digits and = - _ . / beside the %';
  if (pattern.split('/').some((part) => part === '' || part.startsWith('.')))
    return 'has an empty part, or one that begins with a point';
  return undefined;
}

export const formatTime = (pattern: string, time: Date): string =>
  pattern.replaceAll(/%(.)/g, (_, letter: string) => (parts[letter] as (time: Date) => string)(time));
