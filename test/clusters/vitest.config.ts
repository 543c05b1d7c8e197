import { defineConfig } from 'vitest/config';
import base from '../../vitest.config.ts';

/** Clusters of servers take a minute to start and gigabytes of memory: `npm run test:clusters`, one after the other. */
export default defineConfig({ ...base, test: { ...base.test, include: ['test/clusters/*.clusters.ts'], maxWorkers: 1 } });
