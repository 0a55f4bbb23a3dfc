const maxRemembered = 1_000;

/** Keeps what this process has learnt, the newest last; beyond 1,000 entries the oldest is forgotten. */
export function remember<V>(memory: Map<string, V>, key: string, value: V): void {
  memory.delete(key);
  memory.set(key, value);
  if (memory.size <= maxRemembered) return;
  const oldest = memory.keys().next();
  if (!oldest.done) memory.delete(oldest.value);
}
