/** FAULTS V04: what a released version wrote is read for ever. A new format gets a sample of its own; these stay. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { entry, expectConflict, story } from '../journal.suite.ts';
import { trial } from './trial.suite.ts';

const { directory, open } = trial();

/** Three streams, one of them dropped. */
const FORMAT_1 = [
  'c2hvYWxqbmwBAAAAMC4xLjAAAAAAAAAAAAAAAAytdbiKtDAsAQAAAAAAAAAAAAAAUdIeVb3IZvs0AAAANAAAAAEAAAAIAAUABgAAAAAAAAAAAAAAAAAAAO3I',
  'mxAAAAAAcmVnaXN0cnlmaXJzdHRlcm0gMUW8IDFzAAAAcwAAAAEAAAADAAUABgAAAAYAAAAAAAAAAAAAAL0qJqFFgRGMam9iZmlyc3RpbnB1dHNvbmV0d2/T',
  'g47hswAAALMAAAABAAAAAwAFAAEAAAABAAAAAAAAAAAAAABAhe1VFSbb+29sZGZpcnN0eHnWYj2B6QAAAOkAAAACAAAAAwAAAAAAAAAAAAAAAAAAAAAAAADl',
  '1F0/AAAAAG9sZA==',
];

it('V04: reads format 1', async () => {
  const path = await directory();
  await writeFile(join(path, '00000001.log'), Buffer.from(FORMAT_1.join(''), 'base64'));
  const journal = await open(path);
  expect(await story(journal, 'registry')).toEqual(['registry/0 by first: term 1 | ']);
  expect(await story(journal, 'job')).toEqual(['job/0 by first: inputs | onetwo']);
  expect(await story(journal, 'old')).toEqual([]);
  await expectConflict(journal.append([entry('old', 1)]), 'old', 1);
});
