import type supertest from 'supertest';

type Client = ReturnType<typeof supertest>;

/** A dead letter in a list. */
export interface DeadLetter {
  id: string;
  stage: string;
  code: string;
  bytes: number;
  errors: { stage: string; row: number | null; path: string }[];
  failed_rows: number[] | null;
  row_count: number | null;
  state: string;
  replays: number;
  replayed_at: number | null;
}

interface DeadLetterContent extends DeadLetter {
  payload: { base64: string; text: string | null };
  metadata: { topic: string };
  attempt: { error: boolean }[];
}

/** All dead letters of a pipeline, newest first. */
export async function allDeadLetters(client: Client, pipeline: string): Promise<DeadLetter[]> {
  const found: DeadLetter[] = [];
  for (let after = ''; ; after = `&starting_after=${found.at(-1)?.id}`) {
    const { body } = await client
      .get(`/api/v1/pipelines/${pipeline}/dead_letters?limit=100${after}`)
      .expect(200);
    found.push(...body.data);
    if (!body.hasMore) return found;
  }
}

export async function deadLetterOf(client: Client, pipeline: string, id: string): Promise<DeadLetterContent> {
  const { body } = await client.get(`/api/v1/pipelines/${pipeline}/dead_letters/${id}`).expect(200);
  return body;
}

export const topicOf = ({ metadata }: DeadLetterContent): string => metadata.topic;

/** Messages that fail between a source with `device, seq, level, text` and a topic made of `device`. */
export const badKinds: Record<
  string,
  { payload(seq: number): string | Buffer; code: string; stage: string }
> = {
  'not UTF-8': {
    payload: (seq) => Buffer.from([0xff, 0xfe, seq % 256]),
    code: 'bad_data',
    stage: 'decode',
  },
  'broken JSON': { payload: (seq) => `{"device":"d","seq":${seq}`, code: 'bad_data', stage: 'decode' },
  'required and missing': { payload: (seq) => `{"seq":${seq}}`, code: 'bad_data', stage: 'decode' },
  'of the wrong type': { payload: () => '{"device":"d","seq":"x"}', code: 'bad_data', stage: 'decode' },
  'out of range': {
    payload: (seq) => `{"device":"d","seq":${seq},"level":3000000000}`,
    code: 'bad_data',
    stage: 'decode',
  },
  'a cast that fails': {
    payload: (seq) => `{"device":"d","seq":${seq},"text":"many"}`,
    code: 'bad_row',
    stage: 'transform',
  },
  'no topic': { payload: (seq) => `{"device":"#","seq":${seq}}`, code: 'bad_row', stage: 'write' },
  'refused by the broker': {
    payload: (seq) => `{"device":"secret","seq":${seq}}`,
    code: 'mqtt_publish_refused',
    stage: 'write',
  },
};
