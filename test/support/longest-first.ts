import { BaseSequencer, type TestSpecification } from 'vitest/node';

const folders = ['/test/faults/', '/console/test/', '/test/worker/', '/test/api/', '/test/'];
const rank = ({ moduleId, project }: TestSpecification): number => {
  const found = folders.findIndex((folder) => moduleId.includes(folder));
  // A process goes on to the next file only if that is of the same project.
  return (project.config.isolate ? 0 : 10) + (found < 0 ? folders.length : found);
};

/** Starts the files that wait longest first, so that none is left to run alone at the end. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // In a folder, by what each took last time.
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => rank(a) - rank(b));
  }
}
