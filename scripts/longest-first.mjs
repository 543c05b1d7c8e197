// @ts-check
/**
 * The order of test files. Without times of an earlier run vitest begins with the largest files; those that take longest are short,
 * because what they do to real servers and whole processes lies in suites. Begun last, they would have the end to themselves.
 */
import { BaseSequencer } from 'vitest/node';

const takesLong = /\/test\/(coordinators|cluster|brokers)\/|\/src\/(journals|brokers)\/\w+\.test\.ts$|\/simulation\//;

export class LongestFirst extends BaseSequencer {
  /**
   * @override
   * @param {import('vitest/node').TestSpecification[]} files
   */
  async sort(files) {
    const sorted = await super.sort(files);
    const isLong = (/** @type {import('vitest/node').TestSpecification} */ { moduleId }) => takesLong.test(moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}
