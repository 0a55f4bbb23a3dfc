import { unique } from './objects.ts';

const url = 'mqtt://127.0.0.1:1';
const fields = [
  { name: 'device', type: 'string' },
  { name: 'celsius', type: 'float64' },
];
const schema = { format: { type: 'json' }, bad_data: { behavior: 'drop' }, fields };

export interface Bundle {
  connection_profiles: {
    name: string;
    connector: string;
    config: Record<string, unknown>;
    labels: Record<string, string>;
  }[];
  connection_tables: {
    name: string;
    connector: string;
    connection_profile: string;
    config: Record<string, unknown>;
    schema: { fields: object[] };
    labels: Record<string, string>;
  }[];
  pipelines: { name: string; query: string; parallelism: number; labels: Record<string, string> }[];
  prune?: { label_selector: string };
}

/** A profile with a password, a source, a sink and a pipeline, with unique names and a label. */
export function bundleOf(password = 'first-canary') {
  const app = unique('app');
  const labels = { app };
  const table = (name: string, topic: string, type: object) => ({
    name: `${app}_${name}`,
    connector: 'mqtt',
    connection_profile: app,
    config: { topic, qos: 'AtLeastOnce', type },
    schema: structuredClone(schema),
    labels,
  });
  const bundle: Bundle = {
    connection_profiles: [
      { name: app, connector: 'mqtt', config: { url, username: 'me', password }, labels },
    ],
    connection_tables: [table('in', 'plant/+/readings', {}), table('out', 'plant/alerts', { retain: false })],
    pipelines: [
      {
        name: app,
        query: `INSERT INTO ${app}_out SELECT device, celsius FROM ${app}_in WHERE celsius > 90`,
        parallelism: 1,
        labels,
      },
    ],
  };
  return { app, bundle, selector: `app=${app}` };
}
