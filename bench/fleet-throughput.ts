export async function measureThroughput(
  _plan: { workers: number; seconds: number; rounds: number; parallelism: number },
  _signal: AbortSignal,
): Promise<void> {}
