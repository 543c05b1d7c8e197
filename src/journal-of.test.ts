import { expect, it } from 'vitest';
import { checkJournalAddress, journalFolder, openJournal, shownJournal } from './journal-of.ts';

it.each([
  'memory:',
  'file:here',
  'file:///there',
  'postgres://h/d',
  'postgresql://u:p@h:1/d?schema=s',
  'redis://h',
  'mongodb://h1:1,h2:2/d',
  'cassandra://u:p@h1:1,h2:2/k?datacenter=d',
])('%s is a journal', (address) => {
  expect(() => checkJournalAddress(address)).not.toThrow();
});

it.each(['here', 'file:', 'postgres:', 'mysql://h', 'http://h', 'redis://h:port', ''])('"%s" is none', async (address) => {
  expect(() => checkJournalAddress(address)).toThrow(expect.objectContaining({ code: 'SH1305' }));
  await expect(openJournal(address)).rejects.toMatchObject({ code: 'SH1305' });
});

it('names no password, not even of an address that makes no sense', async () => {
  for (const address of ['mysql://user:secret@h/d', 'redis://user:secret@h:port', 'postgres://user:sec/ret@h', 'what?password=secret']) {
    const error = await openJournal(address).catch((reason: unknown) => reason);
    expect(JSON.stringify([error, String(error)])).not.toContain('ret');
  }
  expect(shownJournal('postgres://user:secret@h/d?schema=s')).toBe('postgres://***@h/d?schema=s');
});

it('takes a cluster from the address before all others, if it is a name', () => {
  expect(() => checkJournalAddress('redis://h?cluster=a-1')).not.toThrow();
  expect(() => checkJournalAddress('redis://h?cluster=A{}')).toThrow(expect.objectContaining({ code: 'SH1308' }));
});

it('knows the folder of a file journal', () => {
  expect(journalFolder('file:///there')).toBe('/there');
  expect(journalFolder('redis://h')).toBeUndefined();
});
