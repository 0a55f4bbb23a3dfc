import type { MqttClient } from 'mqtt';
import { beforeAll, beforeEach } from 'vitest';
import { Mosquitto, type MosquittoOptions } from './mosquitto.ts';
import { plainClient } from './mqtt.ts';
import { Penstock } from './penstock.ts';
import { createPipeline, jobOf } from './resources.ts';
import { type Service, type ServiceOptions, startService } from './service.ts';
import { until } from './until.ts';

/**
 * The set-up of most tests: a broker, Penstock, and a client of the broker. All parts end by themselves: see `atEnd`.
 * `useRig` runs Penstock in the process of the test, `useProcessRig` in one of its own. For a pipeline over links that
 * fail, see `FaultyPipeline`.
 */

interface RigOptions {
  broker?: MosquittoOptions;
  service?: ServiceOptions;
  /** Options of the client, such as its login. */
  client?: object;
  /** Whether all tests use one client and one service, because none minds what another has stored. */
  shared?: boolean;
}

/** A message that the client has received. */
export interface Received {
  topic: string;
  seq: number;
}

class Rig {
  broker!: Mosquitto;
  service!: Service;
  client!: MqttClient;

  get request(): Service['request'] {
    return this.service.request;
  }

  /** Waits until the job of a pipeline is in a state, and returns the job; throws if it fails instead. */
  inState(pipeline: string, state: string, ms?: number): ReturnType<typeof jobOf> {
    const reached = async () => {
      const job = await jobOf(this.request, pipeline);
      if (job.state === 'Failed' && state !== 'Failed') throw new Error(JSON.stringify(job.failure_reason));
      return job.state === state && job;
    };
    return until(`the job is ${state}`, reached, ms);
  }

  /** Subscribes the client; what arrives is added to the list. */
  async collect(filter: string): Promise<string[]> {
    const messages: string[] = [];
    this.client.on('message', (_topic, payload) => messages.push(payload.toString()));
    await this.client.subscribeAsync(filter, { qos: 1 });
    return messages;
  }

  /** The same for JSON with a number. */
  async receive(filter: string): Promise<Received[]> {
    const received: Received[] = [];
    this.client.on('message', (topic, payload) =>
      received.push({ topic, ...JSON.parse(payload.toString()) }),
    );
    await this.client.subscribeAsync(filter, { qos: 1 });
    return received;
  }

  /** Creates a pipeline with one task, and returns its id when it runs. */
  async run(query: string, name = 'p'): Promise<string> {
    const id = await createPipeline(this.request, query, name);
    await this.inState(id, 'Running');
    return id;
  }

  async stop(pipeline: string): Promise<void> {
    await this.request.patch(`/api/v1/pipelines/${pipeline}`).send({ stop: 'graceful' }).expect(200);
    await this.inState(pipeline, 'Stopped');
  }

  async start(pipeline: string): Promise<void> {
    await this.request.patch(`/api/v1/pipelines/${pipeline}`).send({ stop: 'none' }).expect(200);
    await this.inState(pipeline, 'Running');
  }
}

/** A broker for all tests of a file or a `describe`; for each test a client, and a service with an empty database. */
export function useRig({ broker, service, client, shared = false }: RigOptions = {}): Rig {
  const rig = new Rig();
  beforeAll(async () => {
    rig.broker = await Mosquitto.start(broker);
  });
  (shared ? beforeAll : beforeEach)(async () => {
    rig.client = await plainClient(rig.broker.url, client);
    rig.service = await startService(service);
  });
  return rig;
}

interface ProcessRig {
  broker: Mosquitto;
  penstock: Penstock;
}

/** A broker and a process of Penstock for all tests of a file or a `describe`. */
export function useProcessRig(broker?: MosquittoOptions, settings?: Record<string, string>): ProcessRig {
  const rig = {} as ProcessRig;
  beforeAll(async () => {
    [rig.broker, rig.penstock] = await Promise.all([Mosquitto.start(broker), Penstock.start(settings)]);
  });
  return rig;
}
