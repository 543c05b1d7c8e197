/** Journals by their addresses. */
import { resolve } from 'node:path';
import type { Journal } from './journals/journal.ts';
import { memoryJournal } from './journals/memory.ts';
import { ShoalError } from './lib/errors.ts';

/** `memory:` or `file:DIR`. `isElected`: by whoever leads by an election, who may have to take it from the last one. */
export async function openJournal(url: string, options: { isElected?: boolean } = {}): Promise<Journal> {
  if (url === 'memory:') return memoryJournal();
  const folder = journalFolder(url);
  if (folder === undefined) {
    throw new ShoalError('SH1305', `"${url}" is no journal that shoal knows`, { hint: 'use memory: or file:DIR' });
  }
  const { openFileJournal } = await import('./journals/file/journal.ts');
  return openFileJournal(folder, { takeOver: options.isElected === true && 'elected' });
}

/** Where a `file:` journal lies, absolute; undefined for others. */
export function journalFolder(url: string): string | undefined {
  const folder = /^file:(?:\/\/)?(.+)$/.exec(url)?.[1];
  return folder === undefined ? undefined : resolve(folder);
}
