import { expect, it } from 'vitest';
import { all, entry, journalSuite } from './journal.suite.ts';
import { memoryJournal } from './memory.ts';

journalSuite('memory', async () => ({
  open: async () => memoryJournal(),
  persistent: false,
  stop: async () => {},
}));

it('copies nothing: slices and chunks are windows of what was appended', async () => {
  const journal = memoryJournal();
  const chunk = Buffer.from('hello world');
  await journal.append([{ stream: 'a', seq: 0, writer: 'w', head: chunk, body: [Buffer.from('before '), chunk] }]);
  const [slice] = await journal.readBodies('a', [{ seq: 0, offset: 13, length: 5 }]);
  expect(slice?.buffer).toBe(chunk.buffer);
  expect((await all(journal, 'a'))[0]?.body[1]).toBe(chunk);
  await journal.close();
});

it('hands a long stream out in bounded batches', async () => {
  const journal = memoryJournal();
  for (let seq = 0; seq < 3000; seq += 1) await journal.append([entry('a', seq)]);
  const sizes: number[] = [];
  for await (const some of journal.read('a', { from: 0, part: 'head' })) sizes.push(some.length);
  expect(sizes).toEqual([1024, 1024, 952]);
  await journal.close();
});

it('promises no durability', () => {
  expect(memoryJournal().durability).toBe('none');
});
