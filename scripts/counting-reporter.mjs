// @ts-check
/**
 * Counts what vitest ran, and is loud about what it did not: each skipped test is listed with its reason, and with
 * CI=true a skip is a failure, unless the test says that CI can do without it. Leaves the counts in the file that SHOAL_TEST_COUNTS names (scripts/test.mjs adds the
 * static checks to them), or prints the closing line itself.
 */
import { writeFileSync } from 'node:fs';
import { closingLine } from './closing-line.mjs';

export default class CountingReporter {
  /**
   * @param {readonly import('vitest/node').TestModule[]} modules
   * @param {readonly unknown[]} unhandledErrors
   */
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    const skips = [];
    let indispensable = 0;
    for (const module of modules) {
      const brokenFile = module.errors().length > 0;
      if (brokenFile) counts.failed++;
      for (const suite of module.children.allSuites()) if (suite.errors().length > 0) counts.failed++;
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === 'passed') counts.passed++;
        else if (result.state === 'failed') counts.failed++;
        else {
          counts.skipped++;
          if (!test.meta().isDispensable) indispensable++;
          const why = ('note' in result && result.note) || "no reason given: use context.skip('why')";
          skips.push(`${module.relativeModuleId} > ${test.fullName}\n     ${why}`);
        }
      }
    }
    if (skips.length > 0) {
      console.error(`\n!!! ${skips.length} NOT RUN${process.env.CI ? `, of which CI counts ${indispensable} as failed` : ''}`);
      for (const skip of skips) console.error(`  ! ${skip}`);
      if (process.env.CI && indispensable > 0) {
        counts.failed += indispensable;
        counts.skipped -= indispensable;
        process.exitCode = 1;
      }
    }
    const file = process.env.SHOAL_TEST_COUNTS;
    if (file) writeFileSync(file, JSON.stringify(counts));
    else console.log(`\n${closingLine(counts)}`);
  }
}
