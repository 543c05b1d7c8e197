import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
