import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { electionSuite } from './election.suite.ts';
import { fileStore } from './file.ts';

electionSuite('file', 'files', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-election-'));
  return {
    url: `file:${folder}`,
    store: (options) => fileStore(folder, options),
    removeLease: async (cluster) => {
      for (const name of await readdir(folder)) if (name.startsWith(`${encodeURIComponent(cluster)}.term-`)) await rm(join(folder, name));
    },
    stop: () => rm(folder, { recursive: true }),
  };
});
