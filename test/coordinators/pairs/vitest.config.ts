import { defineConfig } from 'vitest/config';
import base from '../../../vitest.config.ts';

/** Each journal with each election takes half an hour: `npm run test:pairs`; `npm test` has some pairs of each. */
export default defineConfig({ ...base, test: { ...base.test, include: ['test/coordinators/pairs/*.pairs.ts'], maxWorkers: 2 } });
