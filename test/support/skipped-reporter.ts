import type { Reporter, TestCase, TestModule, TestSuite } from 'vitest/node';

/** The reason in the name of a test, or of a group that it belongs to. */
function reasonOf(skipped: TestCase): string | undefined {
  for (let at: TestCase | TestSuite | TestModule = skipped; at.type !== 'module'; at = at.parent) {
    const [, reason] = /\(skipped: (.+)\)$/.exec(at.name) ?? [];
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/** Ends the report with one line for each reason to skip tests. A test gives it in its name: see `skipping`. */
export default class SkippedReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = new Map<string, number>();
    for (const module of modules)
      for (const skipped of module.children.allTests('skipped')) {
        const reason = reasonOf(skipped);
        if (reason !== undefined) counts.set(reason, (counts.get(reason) ?? 0) + 1);
      }
    for (const [reason, count] of counts)
      console.log(`↓ ${count} ${count === 1 ? 'test' : 'tests'} skipped: ${reason}`);
  }
}
