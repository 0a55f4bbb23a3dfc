import { setTimeout as sleep } from 'node:timers/promises';

/** What the demo reads of the answers. */
interface Answer {
  id: string;
  error: boolean;
  message: string;
  steps: { name: string; outcome: string; durationMs: number; message: string }[];
  data: { state: string; failure_reason: { error: string } | null }[];
}

/** A client of Penstock's own HTTP API. */
export class Api {
  readonly #base: string;

  constructor(address: string) {
    this.#base = `${address}/api/v1`;
  }

  async post(path: string, body: object): Promise<Answer> {
    return this.#call(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(body),
    });
  }

  /** Waits until the pipeline's job runs; throws when it failed or the deadline passed. */
  async untilRunning(pipeline: string, deadlineMs: number): Promise<void> {
    const deadline = Date.now() + deadlineMs;
    for (;;) {
      const { data } = await this.#call(`/pipelines/${pipeline}/jobs`, {});
      const [job] = data;
      if (job?.state === 'Running') return;
      if (job?.state === 'Failed') throw new Error(`the job failed: ${job.failure_reason?.error}`);
      if (Date.now() > deadline) throw new Error(`the job is still ${job?.state}`);
      await sleep(50);
    }
  }

  async #call(path: string, init: RequestInit): Promise<Answer> {
    const response = await fetch(`${this.#base}${path}`, init);
    const answer = (await response.json()) as Answer;
    if (!response.ok) throw new Error(`${init.method ?? 'GET'} ${path}: ${JSON.stringify(answer)}`);
    return answer;
  }
}
