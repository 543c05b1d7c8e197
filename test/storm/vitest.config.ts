import { defineConfig } from 'vitest/config';
import base from '../../vitest.config.ts';

/** As long as one likes: `STORM_MINUTES=30 STORM_SEED=7 npm run test:storm`; `npm test` has each of these faults by itself. */
export default defineConfig({ ...base, test: { ...base.test, include: ['test/storm/*.storm.ts'], maxWorkers: 1 } });
