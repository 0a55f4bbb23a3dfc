import { BaseSequencer, type TestSpecification } from 'vitest/node';

const folders = ['/test/faults/', '/test/worker/', '/test/api/'];
const rank = ({ moduleId }: TestSpecification): number => {
  const found = folders.findIndex((folder) => moduleId.includes(folder));
  return found < 0 ? folders.length : found;
};

/** Starts the files that wait longest first, so that none is left to run alone at the end. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // In a folder, by what each took last time.
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => rank(a) - rank(b));
  }
}
