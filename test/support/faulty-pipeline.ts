import { FaultyLink } from './faulty-link.ts';
import { Ledger } from './ledger.ts';
import { Penstock, retryingSoon } from './penstock.ts';
import { created, jobOf, profileBody, tableBody } from './resources.ts';
import { Traffic } from './traffic.ts';
import { until } from './until.ts';

/** A broker at one end of a pipeline. */
export interface Broker {
  url: string;
  port: number;
}

interface FaultyPipelineOptions {
  source: Broker;
  sink: Broker;
  qos: 1 | 2;
  /** QoS of the sink table, if different from the source table's. */
  sinkQos?: 1 | 2;
  /** Prefix of the topics, if pipelines share a broker. */
  topics?: string;
  /** QoS of the publisher, if different from the source table's. */
  publishQos?: 1 | 2;
  /** QoS of the subscriber, if different from the publisher's. */
  watchQos?: 1 | 2;
  /** Fields of both profiles besides the URL. */
  profile?: object;
  /** Fields of the source's profile alone, such as a login. */
  sourceProfile?: object;
  /** Fields of the source table's schema, such as `bad_data`. */
  schema?: object;
  /** Settings of the process, besides those of a test. Except in a soak it also tries again sooner. */
  settings?: Record<string, string>;
  /** The source table's `type`. */
  read?: object;
  /** Number of tasks; 1 by default. */
  parallelism?: number;
}

const pace = process.env.PENSTOCK_SOAK === '1' ? {} : retryingSoon();

const qosNames = { 1: 'AtLeastOnce', 2: 'ExactlyOnce' } as const;

const topicsOf = ({ topics = 'test' }: FaultyPipelineOptions) => ({
  from: `${topics}/in`,
  to: `${topics}/out`,
});

const fields = [
  { name: 'device', type: 'string', required: true },
  { name: 'seq', type: 'int64', required: true },
  { name: 'celsius', type: 'float64' },
];

/**
 * One pipeline of a real Penstock, from a source broker to a sink broker, each over a link that can fail and whose traffic is
 * recorded; and traffic from one end to the other, which bypasses these links.
 */
export class FaultyPipeline {
  readonly penstock: Penstock;
  readonly ledger: Ledger;
  readonly source: FaultyLink;
  readonly sink: FaultyLink;
  readonly traffic: Traffic;
  readonly #options: FaultyPipelineOptions;
  #id = '';

  private constructor(
    options: FaultyPipelineOptions,
    parts: Pick<FaultyPipeline, 'penstock' | 'ledger' | 'source' | 'sink' | 'traffic'>,
  ) {
    this.#options = options;
    this.penstock = parts.penstock;
    this.ledger = parts.ledger;
    this.source = parts.source;
    this.sink = parts.sink;
    this.traffic = parts.traffic;
  }

  /** Starts everything; messages can be published when it resolves. It ends by itself: see `atEnd`. */
  static async start(options: FaultyPipelineOptions): Promise<FaultyPipeline> {
    const ledger = new Ledger();
    const source = await FaultyLink.start(options.source.port, ledger.sourceTap);
    const sink = await FaultyLink.start(options.sink.port, ledger.sinkTap);
    const penstock = await Penstock.start({ ...pace, ...options.settings });
    const { from, to } = topicsOf(options);
    const traffic = await Traffic.open(
      { url: options.source.url, topic: from },
      { url: options.sink.url, topic: to },
      options.publishQos ?? options.qos,
      options.watchQos,
    );
    const pipeline = new FaultyPipeline(options, { penstock, ledger, source, sink, traffic });
    await pipeline.#create();
    return pipeline;
  }

  /** The pipeline's id. */
  get id(): string {
    return this.#id;
  }

  /** The pipeline's job as the API shows it now. */
  job(): ReturnType<typeof jobOf> {
    return jobOf(this.penstock.request, this.#id);
  }

  /** Changes the pipeline: its parallelism, or whether it runs. */
  async patch(body: { parallelism?: number; stop?: string }): Promise<void> {
    this.ledger.tasks = Math.max(this.ledger.tasks, body.parallelism ?? 1);
    await this.penstock.request.patch(`/api/v1/pipelines/${this.#id}`).send(body).expect(200);
  }

  /** Waits until the job runs with this number of tasks. */
  async runsWith(tasks: number): Promise<void> {
    await until(
      `${tasks} tasks run`,
      async () => {
        const job = await this.job();
        return job.state === 'Running' && job.tasks === tasks;
      },
      60_000,
    );
  }

  async delete(): Promise<void> {
    await this.penstock.request.delete(`/api/v1/pipelines/${this.#id}`).expect(200);
  }

  async restart(): Promise<void> {
    await this.penstock.request.post(`/api/v1/pipelines/${this.#id}/restart`).send({}).expect(200);
  }

  /** Waits until the sink's broker has confirmed a number above `mark`; returns the time, as `performance.now()` has it. */
  async passed(mark: number, ms = 120_000): Promise<number> {
    await until(`numbers above ${mark} get through`, async () => this.ledger.highestTaken > mark, ms);
    return performance.now();
  }

  async #create(): Promise<void> {
    const { request } = this.penstock;
    const { qos, sinkQos = qos, read = {} } = this.#options;
    const { from, to } = topicsOf(this.#options);
    const schema = {
      format: { type: 'json' },
      bad_data: { behavior: 'drop' },
      fields,
      ...this.#options.schema,
    };
    const ends = [
      { name: 'readings', url: this.source.url, table: { topic: from, type: read, qos: qosNames[qos] } },
      {
        name: 'out',
        url: this.sink.url,
        table: { topic: to, type: { retain: false }, qos: qosNames[sinkQos] },
      },
    ];
    for (const { name, url, table } of ends) {
      const own = name === 'readings' ? this.#options.sourceProfile : {};
      const config = { url, ...this.#options.profile, ...own };
      const profile = await created(
        request,
        '/connection_profiles',
        profileBody(url, { name: `at ${name}`, config }),
      );
      await created(request, '/connection_tables', tableBody(name, profile.id, table, schema));
    }
    const query = 'INSERT INTO out SELECT * FROM readings';
    const { parallelism = 1 } = this.#options;
    this.ledger.tasks = parallelism;
    const { id } = await created(request, '/pipelines', { name: 'all', query, parallelism });
    this.#id = id;
    await until('the job runs', async () => (await this.job()).state === 'Running');
  }
}
