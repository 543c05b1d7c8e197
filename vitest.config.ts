import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './scripts/longest-first.mjs';

const built = (path: string): string => fileURLToPath(new URL(`./dist/${path}`, import.meta.url));

export default defineConfig({
  resolve: {
    // As users import it: the built package, the same files that threads and children load.
    alias: [
      { find: /^shoal$/, replacement: built('index.js') },
      { find: /^shoal\/codecs\/protobuf$/, replacement: built('codecs/protobuf.js') },
    ],
  },
  test: {
    include: ['{src,test,scripts,examples,bench,simulation}/**/*.test.ts'],
    globalSetup: ['./scripts/fresh-build.mjs'],
    reporters: ['default', './scripts/counting-reporter.mjs'],
    // A process a file: tests end threads, spawn children and read process-wide state.
    pool: 'forks',
    sequence: { sequencer: LongestFirst },
    // One more than CI's cores: tests of servers mostly wait for them.
    maxWorkers: 3,
    // Whole processes start in some of them, on machines that have other things to do. A hanging test still ends.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 60_000 } },
    server: {
      deps: {
        // Node itself loads dist/, so that a test and the fixtures that it imports share one copy of the package.
        external: [/\/dist\//],
      },
    },
  },
});
