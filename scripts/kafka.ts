// Apache Kafka for tests, from Maven Central: a folder of JAR files in node_modules/.cache. `node scripts/kafka.ts` fetches it.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const version = '4.1.1';
const cache = join(import.meta.dirname, '..', 'node_modules', '.cache');

/** The folder with the JAR files of Kafka, undefined without them or without Java. */
export function kafkaFolder(): string | undefined {
  const folder = join(cache, `kafka-${version}`);
  if (!existsSync(join(folder, `kafka_2.13-${version}.jar`))) return undefined;
  return hasProgram('java', '-version') ? folder : undefined;
}

const hasProgram = (name: string, argument: string): boolean =>
  spawnSync(name, [argument], { stdio: 'ignore' }).error === undefined;

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>test</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${version}</version>
  </dependency><dependency>
    <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version>
  </dependency></dependencies>
</project>
`;

/** Fetches the JAR files with Maven. Returns an exit code. */
export function fetchKafka(): number {
  if (kafkaFolder() !== undefined) return 0;
  if (!hasProgram('mvn', '-v') || !hasProgram('java', '-version')) {
    console.error('Kafka needs Java and Maven: apt-get install default-jre-headless maven');
    return 1;
  }
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'kafka-new-'));
  writeFileSync(join(work, 'pom.xml'), pom);
  const goal = [
    'dependency:copy-dependencies',
    '-DincludeScope=runtime',
    `-DoutputDirectory=${join(work, 'jars')}`,
  ];
  const { status } = spawnSync('mvn', ['-q', '-B', ...goal], {
    cwd: work,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status === 0) renameSync(join(work, 'jars'), join(cache, `kafka-${version}`));
  rmSync(work, { recursive: true, force: true });
  return status ?? 1;
}

if (import.meta.main) process.exitCode = fetchKafka();
