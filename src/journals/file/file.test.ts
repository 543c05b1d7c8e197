import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { journalSuite } from '../journal.suite.ts';
import { openFileJournal } from './journal.ts';

async function store(
  options: Parameters<typeof openFileJournal>[1],
): Promise<Parameters<typeof journalSuite>[1] extends () => Promise<infer S> ? S : never> {
  const directory = await mkdtemp(join(tmpdir(), 'shoal-journal-'));
  return {
    open: () => openFileJournal(directory, options),
    persistent: true,
    stop: () => rm(directory, { recursive: true }),
  };
}

journalSuite('file', () => store({}));
// So small that every few entries begin a new segment, and old ones are compacted under way.
journalSuite('file in tiny segments', () => store({ segmentBytes: 2000 }));

test('a file in the place of its directory is told with what to do (SH4009)', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-journal-'));
  try {
    const path = join(folder, 'notes.txt');
    await writeFile(path, 'mine');
    await expect(openFileJournal(path, {})).rejects.toMatchObject({ code: 'SH4009', why: 'it is no directory' });
    await expect(openFileJournal(join(path, 'below'), {})).rejects.toMatchObject({ code: 'SH4009' });
  } finally {
    await rm(folder, { recursive: true });
  }
});
