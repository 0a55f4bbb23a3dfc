import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { whyMissing } from '../scripts/servers.ts';
import { Environment, loadConfig } from '../src/config.ts';
import { skipping } from './support/skipping.ts';

/** The chart and the compose files. No container runs here: they are held to what Penstock accepts. */

const root = join(import.meta.dirname, '..');
const chart = join(root, 'deploy/helm/penstock');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const readYaml = (path: string, options = {}) => parse(read(path), options);
const settings = Object.keys(Environment.properties);

const values = readYaml('deploy/helm/penstock/values.yaml');
const valueSets: [name: string, own: object][] = [
  ['values.yaml', {}],
  ...globSync('deploy/helm/penstock/ci/*-values.yaml', { cwd: root })
    .sort()
    .map((path): [string, object] => [basename(path), readYaml(path)]),
];
const templates = globSync('templates/*', { cwd: chart }).map((path) => ({
  path,
  text: readFileSync(join(chart, path), 'utf8'),
}));
const templateText = templates.map(({ text }) => text).join('\n');

/** As Helm does: maps are merged, everything else is replaced. */
function merged(base: unknown, own: unknown): unknown {
  const isMap = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isMap(base) || !isMap(own)) return own;
  const names = new Set([...Object.keys(base), ...Object.keys(own)]);
  return Object.fromEntries(
    [...names].map((name) => [name, name in own ? merged(base[name], own[name]) : base[name]]),
  );
}

/** Whether `path` is in `tree`; an empty map or a list may hold anything. */
function has(tree: unknown, [name, ...rest]: string[]): boolean {
  if (name === undefined || Array.isArray(tree)) return true;
  if (typeof tree !== 'object' || tree === null) return false;
  if (Object.keys(tree).length === 0) return true;
  return name in tree && has((tree as Record<string, unknown>)[name], rest);
}

describe('the chart', () => {
  const schema = JSON.parse(read('deploy/helm/penstock/values.schema.json'));
  const validate = new Ajv({ strict: false, allErrors: true }).compile(schema);

  test('has the version of the package', () => {
    const { appVersion } = readYaml('deploy/helm/penstock/Chart.yaml');
    expect(appVersion).toBe(JSON.parse(read('package.json')).version);
  });

  test.each(valueSets)('has a schema that accepts %s', (_name, own) => {
    validate(merged(values, own));
    expect(validate.errors).toBeNull();
  });

  test.each([
    ['an unknown value', { replicas: 3 }],
    ['a setting that the chart makes', { settings: { PENSTOCK_HOST: '0.0.0.0' } }],
    ['a moving tag', { image: { tag: 'latest' } }],
    ['a group without a name', { workers: [{ replicas: 1 }] }],
    ['a label that no worker accepts', { workers: [{ name: 'a', replicas: 1, labels: { site: 'a,b' } }] }],
    ['autoscaling by nothing', { worker: { autoscaling: { enabled: true, cpu: 0, tasks: 0 } } }],
    ['a port that needs root', { api: { port: 80 } }],
    ['less time to end than a worker needs', { worker: { terminationGracePeriodSeconds: 10 } }],
  ])('refuses %s', (_what, own) => {
    expect(validate(merged(values, own))).toBe(false);
  });

  test('has a place for every setting', () => {
    const made = new Set(templateText.match(/PENSTOCK_[A-Z_]*[A-Z]/g));
    const free = Object.keys(schema.properties.settings.properties);
    // Of the commands for a running Penstock, in the notes.
    const ours = [...made].filter((name) => !['PENSTOCK_SERVER', 'PENSTOCK_KEY'].includes(name));
    expect([...ours, ...free].sort()).toEqual([...settings].sort());
  });

  test.each(templates)('has a template $path that is whole', ({ text }) => {
    expect(text.match(/\{\{/g)?.length).toBe(text.match(/\}\}/g)?.length);
    const words = [...text.matchAll(/\{\{-?\s*(if|range|with|define|end)\b/g)].map(([, word]) => word);
    const ends = words.filter((word) => word === 'end').length;
    expect(ends).toBe(words.length - ends);
    const missing = [...text.matchAll(/\.Values\.([\w.]+)/g)]
      .map(([, path]) => path as string)
      .filter((path) => !has(values, path.split('.')));
    expect(missing).toEqual([]);
    const undefinedParts = [...text.matchAll(/include "([\w.]+)"/g)]
      .map(([, name]) => name as string)
      .filter((name) => !templateText.includes(`define "${name}"`));
    expect(undefinedParts).toEqual([]);
  });

  test('uses every value', () => {
    const unused = Object.keys(values).filter((name) => !templateText.includes(`.Values.${name}`));
    expect(unused).toEqual([]);
  });
});

interface Labels {
  [name: string]: string;
}
interface EnvEntry {
  name: string;
  value?: string;
  valueFrom?: { secretKeyRef?: { name: string; key: string }; fieldRef?: { fieldPath: string } };
}
interface Container {
  args: string[];
  image: string;
  env: EnvEntry[];
  ports?: { name: string; containerPort: number }[];
  volumeMounts: { name: string; mountPath: string }[];
  [name: string]: unknown;
}
interface PodTemplate {
  metadata: { labels: Labels };
  spec: { containers: [Container]; volumes: { name: string }[]; [name: string]: unknown };
}
interface Manifest {
  kind: string;
  metadata: { name: string };
  // Read by the tests as far as they know its form.
  // biome-ignore lint/suspicious/noExplicitAny: every kind has another one
  spec: any;
}

function helm(args: string[]): string {
  // A Helm that was built from its sources may take itself to be an old Kubernetes.
  return execFileSync('helm', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function render(set: string): Manifest[] {
  const own = set === 'values.yaml' ? [] : ['-f', join(chart, 'ci', set)];
  const text = helm(['template', 'plant', chart, '--namespace', 'lines', '--kube-version', '1.30.0', ...own]);
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}

const podOf = ({ kind, spec }: Manifest): PodTemplate | undefined =>
  kind === 'Deployment' || kind === 'Job' ? spec.template : undefined;

const selects = (wanted: Labels, labels: Labels): boolean =>
  Object.entries(wanted).every(([name, value]) => labels[name] === value);

/** The environment of a container as it would be in a cluster. */
function environmentOf({ env }: Container, pod: string): Record<string, string> {
  const secrets: Record<string, string> = {
    PENSTOCK_DATABASE_URL: 'postgresql://penstock:secret@postgres/penstock',
    PENSTOCK_SECRET_KEY: Buffer.alloc(32, 1).toString('base64'),
    PENSTOCK_ADMIN_KEY: 'an-admin-key-of-the-cluster',
  };
  return Object.fromEntries(
    env.map(({ name, value, valueFrom }) => {
      if (valueFrom?.fieldRef) return [name, valueFrom.fieldRef.fieldPath === 'metadata.name' ? pod : ''];
      return [name, valueFrom?.secretKeyRef ? (secrets[name] ?? 'a secret') : (value ?? '')];
    }),
  );
}

const missing = whyMissing('Helm');
const expected: Record<string, string[]> = {
  'values.yaml': ['api', 'migrate', 'worker-default'],
  'bare-values.yaml': ['api'],
  'edge-values.yaml': ['api', 'migrate', 'worker-centre', 'worker-north'],
  'everything-values.yaml': ['api', 'migrate', 'worker-default', 'worker-heavy'],
};

describe.skipIf(missing)(skipping('the chart in Helm', missing), () => {
  describe.each(valueSets.map(([name]) => name))('with %s', (set) => {
    const manifests = missing ? [] : render(set);
    const workloads = manifests.flatMap((manifest) => {
      const pod = podOf(manifest);
      return pod ? [{ ...manifest, pod, container: pod.spec.containers[0] }] : [];
    });
    const deployments = workloads.filter(({ kind }) => kind === 'Deployment');

    test('is accepted, and has the expected processes', () => {
      const own = set === 'values.yaml' ? [] : ['-f', join(chart, 'ci', set)];
      expect(helm(['lint', '--strict', chart, ...own])).toContain('0 chart(s) failed');
      const names = workloads.map(({ metadata }) => /(api|migrate|worker-\w+)$/.exec(metadata.name)?.[0]);
      expect(names.sort()).toEqual(expected[set]);
      for (const { metadata } of manifests) expect(metadata.name.length).toBeLessThanOrEqual(63);
      const ids = manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
      expect(new Set(ids).size).toBe(ids.length);
    });

    test('starts processes with settings that Penstock accepts', () => {
      for (const { metadata, container } of workloads) {
        const names = container.env.map(({ name }) => name);
        expect(new Set(names).size).toBe(names.length);
        const config = loadConfig(environmentOf(container, metadata.name));
        const [role] = container.args;
        const port = { api: config.port, worker: config.workerPort }[role as 'api' | 'worker'];
        expect(container.ports?.map(({ containerPort }) => containerPort)).toEqual(
          role === 'migrate' ? undefined : [port],
        );
        expect(config.dataDir).toBe('/data');
        expect(config.adminKey !== undefined).toBe(role === 'api');
        if (role === 'worker') expect(config.workerName).toBe(metadata.name);
        const secret = container.env.filter(({ name }) => /_(DATABASE_URL|KEY)$/.test(name));
        expect(
          secret.every(({ valueFrom }) => valueFrom?.secretKeyRef?.name && valueFrom.secretKeyRef.key),
        ).toBe(true);
      }
    });

    test('gives no process more rights than it needs', () => {
      for (const { pod, container } of workloads) {
        expect(pod.spec).toMatchObject({
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 1000,
            seccompProfile: { type: 'RuntimeDefault' },
          },
        });
        expect(container).toMatchObject({
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          resources: { requests: { cpu: expect.anything(), memory: expect.anything() } },
        });
        expect(container.image).toMatch(/^[\w./-]+:[\w.-]+$/);
        expect(container.image).not.toMatch(/:latest$/);
        const volumes = pod.spec.volumes.map(({ name }) => name);
        expect(container.volumeMounts.map(({ name }) => name)).toEqual(volumes);
        expect(container.volumeMounts.map(({ mountPath }) => mountPath)).toEqual(
          expect.arrayContaining(['/data', '/tmp']),
        );
      }
    });

    test('asks each process for its health, and leaves it time to end', () => {
      const { paths } = JSON.parse(read('openapi/openapi.json'));
      for (const { pod, container } of deployments) {
        const probes = ['startupProbe', 'livenessProbe', 'readinessProbe'].map(
          (name) => (container[name] as { httpGet: { path: string; port: string } }).httpGet,
        );
        expect(probes.map(({ path }) => path)).toEqual(['/healthz', '/healthz', '/readyz']);
        for (const { path, port } of probes) {
          expect(paths).toHaveProperty([path]);
          expect(container.ports?.map(({ name }) => name)).toEqual([port]);
        }
        expect(pod.spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(30);
      }
    });

    test('connects its objects', () => {
      for (const { spec, pod } of deployments) {
        const own = spec.selector.matchLabels as Labels;
        expect(
          workloads.filter((other) => selects(own, other.pod.metadata.labels)).map((one) => one.pod),
        ).toEqual([pod]);
      }
      const deploymentNames = deployments.map(({ metadata }) => metadata.name);
      for (const { kind, spec } of manifests) {
        const wanted: Labels | undefined = {
          Service: spec?.selector,
          PodDisruptionBudget: spec?.selector?.matchLabels,
          NetworkPolicy: spec?.podSelector?.matchLabels,
          PodMonitor: spec?.selector?.matchLabels,
        }[kind];
        if (wanted) {
          const found = workloads.filter(({ pod }) => selects(wanted, pod.metadata.labels));
          expect(found.length, kind).toBeGreaterThan(0);
          for (const { targetPort } of kind === 'Service' ? spec.ports : [])
            expect(found[0]?.container.ports?.map(({ name }) => name)).toContain(targetPort);
        }
        if (kind === 'HorizontalPodAutoscaler') {
          expect(deploymentNames).toContain(spec.scaleTargetRef.name);
          expect(spec.metrics.length).toBeGreaterThan(0);
          const target = deployments.find(({ metadata }) => metadata.name === spec.scaleTargetRef.name);
          expect(target?.spec).not.toHaveProperty('replicas');
        }
        for (const rule of kind === 'Ingress' ? spec.rules : [])
          for (const { backend } of rule.http.paths) {
            const service = manifests.find(
              (one) => one.kind === 'Service' && one.metadata.name === backend.service.name,
            );
            expect(service?.spec.ports[0].name).toBe(backend.service.port.name);
          }
      }
    });
  });

  test('gives a group of workers its labels, slots and machines', () => {
    const north = render('edge-values.yaml').find(
      ({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'lines-worker-north',
    ) as Manifest;
    const pod = podOf(north) as PodTemplate;
    expect(loadConfig(environmentOf(pod.spec.containers[0], 'north-1'))).toMatchObject({
      workerName: 'north-1',
      workerLabels: { site: 'north', line: '2' },
      workerExclusive: true,
      workerSlots: undefined,
      logLevel: 'warn',
      requestsPerMinute: 0,
    });
    expect(pod.spec).toMatchObject({ nodeSelector: { site: 'north' } });
  });
});

interface ComposeService {
  build?: string;
  image?: string;
  command?: string[];
  environment: Record<string, string | number>;
  ports?: string[];
  volumes?: string[];
  configs?: { source: string }[];
  depends_on?: Record<string, object>;
  deploy?: object;
  stop_grace_period: string;
}
interface Compose {
  services: Record<string, ComposeService>;
  volumes?: object;
  configs?: object;
}

describe.each(['compose.yaml', 'compose.scale.yaml'])('%s', (file) => {
  const { services, volumes = {}, configs = {} }: Compose = readYaml(file, { merge: true });
  const ours = Object.entries(services).filter(([, { build }]) => build === '.');

  test('sets what Penstock accepts', () => {
    expect(ours.length).toBeGreaterThan(0);
    for (const [, { environment }] of ours) {
      const filled = Object.entries(environment).map(([name, value]) => [
        name,
        String(value).replace(/\$\{(\w+)[^}]*\}/g, 'a-value-of-the-user'),
      ]);
      const config = loadConfig({ PENSTOCK_HOST: '0.0.0.0', ...Object.fromEntries(filled) });
      expect(config.databaseUrl).toContain('@postgres/');
    }
  });

  test('names only what it has', () => {
    for (const [name, service] of Object.entries(services)) {
      const { image = 'built:here', depends_on = {}, configs: used = [], volumes: mounted = [] } = service;
      expect(image, name).toMatch(/:(?!latest$)[\w.-]+$/);
      for (const other of Object.keys(depends_on)) expect(services).toHaveProperty(other);
      for (const { source } of used) expect(configs).toHaveProperty(source);
      for (const volume of mounted) expect(volumes).toHaveProperty(volume.split(':')[0] as string);
    }
  });

  test('publishes each port once, to this machine', () => {
    const published = Object.values(services).flatMap(({ ports = [] }) => ports);
    const hosts = published.map((port) => port.split(':').slice(0, 2).join(':'));
    expect(new Set(hosts).size).toBe(hosts.length);
    expect(hosts.every((host) => host.startsWith('127.0.0.1:'))).toBe(true);
  });

  test('names in its first lines the variables that it needs', () => {
    const text = read(file);
    const head = text.slice(0, text.search(/^[^#]/m));
    const needed = new Set([...text.matchAll(/\$\{(\w+)/g)].map(([, name]) => name as string));
    expect([...needed].filter((name) => !head.includes(`${name}=`))).toEqual([]);
  });

  test('leaves Penstock time to end', () => {
    for (const [, { stop_grace_period }] of ours)
      expect(Number.parseInt(stop_grace_period, 10)).toBeGreaterThanOrEqual(30);
  });
});

test('compose.scale.yaml has two APIs and three workers with one secret key', () => {
  const { services }: Compose = readYaml('compose.scale.yaml', { merge: true });
  const running = (role: string) => Object.values(services).filter(({ command = [] }) => command[0] === role);
  expect(running('api')).toHaveLength(2);
  expect(running('worker').map(({ deploy }) => deploy)).toEqual([{ replicas: 3 }]);
  for (const { environment } of [...running('api'), ...running('worker')])
    expect(environment).toHaveProperty('PENSTOCK_SECRET_KEY');
});
